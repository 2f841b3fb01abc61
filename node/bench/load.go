package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a load does.
const (
	opFill = "fill" // write every key once, without measuring
	opPut  = "put"
	opGet  = "get"
)

// load is one measurement, as the process that makes it reads it from its standard input.
type load struct {
	Protocol    string
	Target      string   // the address that gets the load: the leader
	Members     []string // all addresses, for reading back
	Op          string
	Connections int
	Keys        int
	ValueBytes  int
	ContentType string
	Mark        uint64 // of this run's values, and the seed of its choices
	FirstNumber uint64 // of this load's writes: beyond those of all before
	Warmup      time.Duration
	Measure     time.Duration
	Verify      int   // how many keys to read back
	PIDs        []int // processes whose CPU to count
	Disk        string
}

// measured is what a load came to, as it is printed.
type measured struct {
	Ops           int
	Seconds       float64
	P50, P99, Max time.Duration
	Errors        int
	FirstError    string  `json:",omitempty"`
	LastNumber    uint64  // of the writes
	CPUSeconds    float64 // of the load generator
	CPUOf         map[int]float64
	CPUOther      float64  // of everything that is not this benchmark
	Flushes       *float64 // of the disk; nil if it does not say
	DiskBytes     *float64 // written to it; nil if it does not say
	Verified      int      // keys whose value was the last acknowledged one
	Wrong         int
	FirstWrong    string `json:",omitempty"`
}

// loop is one connection's closed loop: it owns a share of the keys, so that it knows the last acknowledged
// write of each, whatever the others do.
type loop struct {
	client  client
	spec    *load
	values  values
	random  *rand.Rand
	key     []byte
	value   []byte
	number  uint64         // of the next write; loops take turns
	last    map[int]uint64 // by key: the last acknowledged write; 0 if its end is not known
	took    []time.Duration
	errors  int
	firstEr error
}

// runLoad is the whole life of a load process.
func runLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	var spec load
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("bench: read the load: %w", err)
	}
	// The load generator has little to keep and shares the cores: it should not collect all the time.
	debug.SetGCPercent(400)
	m, err := spec.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(m)
}

const (
	drainMax = 30 * time.Second // for the last replies, and for reading back
	fillMax  = 2 * time.Minute
)

func (spec *load) run(ctx context.Context) (*measured, error) {
	limit := spec.Warmup + spec.Measure + drainMax
	if spec.Op == opFill {
		limit = fillMax
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	clients, closeAll, err := connect(ctx, spec.Protocol, spec.Target, spec.ContentType, spec.Connections, deadline)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	loops := make([]*loop, len(clients))
	for i, c := range clients {
		loops[i] = &loop{
			client: c, spec: spec, values: newValues(spec.ValueBytes, spec.Mark), number: spec.FirstNumber + uint64(i),
			random: rand.New(rand.NewPCG(spec.Mark, spec.FirstNumber<<16|uint64(i))), last: make(map[int]uint64),
			took: make([]time.Duration, 0, 1<<14),
		}
	}
	m := &measured{LastNumber: spec.FirstNumber}
	if spec.Op == opFill {
		each(loops, func(i int, l *loop) { l.fill(i, len(loops)) })
	} else if err := spec.measure(loops, m); err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, l := range loops {
		took = append(took, l.took...)
		m.LastNumber = max(m.LastNumber, l.number)
		if m.Errors += l.errors; m.FirstError == "" && l.firstEr != nil {
			m.FirstError = l.firstEr.Error()
		}
	}
	slices.Sort(took)
	m.Ops, m.P50, m.P99 = len(took), percentile(took, 50), percentile(took, 99)
	m.Max = percentile(took, 100)
	if spec.Op != opGet && spec.Protocol != speakBare {
		if err := spec.verify(ctx, loops, m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func each(loops []*loop, do func(int, *loop)) {
	var wait sync.WaitGroup
	for i, l := range loops {
		wait.Go(func() { do(i, l) })
	}
	wait.Wait()
}

// measure runs the loops, and takes the kernel's counts at both ends of the window that counts.
func (spec *load) measure(loops []*loop, m *measured) error {
	begin := time.Now().Add(spec.Warmup)
	end := begin.Add(spec.Measure)
	done := make(chan struct{})
	go func() {
		defer close(done)
		each(loops, func(i int, l *loop) { l.measure(i, len(loops), begin, end) })
	}()
	time.Sleep(time.Until(begin))
	before, err1 := takeSample(spec.PIDs, spec.Disk)
	time.Sleep(time.Until(end))
	after, err2 := takeSample(spec.PIDs, spec.Disk)
	<-done
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	m.Seconds = spec.Measure.Seconds()
	m.CPUSeconds = after.self - before.self
	m.CPUOf = make(map[int]float64)
	m.CPUOther = after.busy - before.busy - m.CPUSeconds
	for _, pid := range spec.PIDs {
		m.CPUOf[pid] = after.of[pid] - before.of[pid]
		m.CPUOther -= m.CPUOf[pid]
	}
	m.CPUOther = max(0, m.CPUOther) // the two are not counted at the same instant
	if flushes := after.flushes - before.flushes; flushes >= 0 {
		m.Flushes = &flushes
	}
	if written := after.written - before.written; written >= 0 {
		m.DiskBytes = &written
	}
	return nil
}

// fail counts, and says whether the connection can go on. A write whose end is not known is not judged later.
func (l *loop) fail(err error) bool {
	if l.errors++; l.firstEr == nil {
		l.firstEr = err
	}
	var status statusError
	return errors.As(err, &status)
}

func (l *loop) put(key int) error {
	l.key = appendKey(l.key[:0], key)
	number := l.number
	l.number += uint64(l.spec.Connections)
	l.value = l.values.fill(l.value, l.key, number)
	l.last[key] = 0
	if err := l.client.Put(l.key, l.value); err != nil {
		return err
	}
	l.last[key] = number
	return nil
}

func (l *loop) get(key int) error {
	l.key = appendKey(l.key[:0], key)
	value, err := l.client.Get(l.key)
	if err == nil && l.spec.Protocol != speakBare && !l.values.belongs(value, l.key) {
		err = fmt.Errorf("bench: %d bytes under key %s that were never written to it", len(value), l.key)
	}
	return err
}

func (l *loop) fill(i, loops int) {
	for key := i; key < l.spec.Keys; key += loops {
		if err := l.put(key); err != nil && !l.fail(err) {
			return
		}
	}
}

// measure loops until the end, over the keys i, i+loops, i+2*loops... What is answered within the window counts.
func (l *loop) measure(i, loops int, begin, end time.Time) {
	do := l.put
	if l.spec.Op == opGet {
		do = l.get
	}
	own := (l.spec.Keys - i + loops - 1) / loops
	for start := time.Now(); start.Before(end); {
		err := do(i + loops*l.random.IntN(own))
		now := time.Now()
		switch {
		case err != nil && !l.fail(err):
			return
		case err == nil && !now.Before(begin) && now.Before(end):
			l.took = append(l.took, now.Sub(start))
		}
		start = now
	}
}

// verify reads a sample of what was acknowledged, from one member after the other, and compares every byte.
// All writers have stopped, so a linearizable read has only one right answer.
func (spec *load) verify(ctx context.Context, loops []*loop, m *measured) error {
	deadline := time.Now().Add(drainMax)
	var readers []client
	for _, address := range spec.Members {
		clients, closeAll, err := connect(ctx, spec.Protocol, address, spec.ContentType, 1, deadline)
		if err != nil {
			return fmt.Errorf("bench: read back from %s: %w", address, err)
		}
		defer closeAll()
		readers = append(readers, clients...)
	}
	acknowledged := make(map[int]uint64)
	var keys []int
	for _, l := range loops {
		for key, number := range l.last {
			if number != 0 {
				acknowledged[key] = number
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	rand.New(rand.NewPCG(spec.Mark, spec.FirstNumber)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	expected := newValues(spec.ValueBytes, spec.Mark)
	var want []byte
	for n, key := range keys[:min(len(keys), spec.Verify)] {
		name := appendKey(nil, key)
		want = expected.fill(want, name, acknowledged[key])
		member := n % len(readers)
		got, err := readers[member].Get(name)
		if err == nil && bytes.Equal(got, want) {
			m.Verified++
			continue
		}
		if m.Wrong++; m.FirstWrong == "" {
			m.FirstWrong = fmt.Sprintf("%s at %s: %v, %s instead of %s", name, spec.Members[member], err, begins(got), begins(want))
		}
		if err != nil && !errors.As(err, new(statusError)) {
			return nil // the connection is gone, and one wrong answer is enough
		}
	}
	return nil
}

// begins is as much of a value as tells which write it is.
func begins(value []byte) string {
	if len(value) == 0 {
		return "nothing"
	}
	return strings.ToValidUTF8(string(value[:min(len(value), valuePadAt)]), "?")
}
