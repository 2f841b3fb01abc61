package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// model is what a log must hold after a crash: the state after some batch, none of those before the
// last one that Sync has acknowledged.
type model struct {
	states []Recovered // after each batch; Base is where the log was restarted
	synced int         // states[synced] and later ones may be found
	// Base may be found anywhere from floor, where a DropPrefix left it, up to drop, the most that was
	// asked for: files are dropped whole.
	floor, drop raft.Index
	dropping    bool // the last step was a DropPrefix
}

func (m *model) now() Recovered { return m.states[len(m.states)-1] }

// find returns which state was found, or -1.
func (m *model) find(got Recovered) int {
	got.Torn = 0
	if got.Base.Index < m.floor {
		return -1
	}
	for i := len(m.states) - 1; i >= m.synced; i-- {
		if equal(m.states[i].from(got.Base.Index, m.drop), got) {
			return i
		}
	}
	return -1
}

// from is r without the entries up to base, if they may have been dropped.
func (r Recovered) from(base, drop raft.Index) Recovered {
	if n := int(base) - int(r.Base.Index); n > 0 && n <= len(r.Entries) && base <= drop {
		r.Base = Position{Index: base, Term: r.Entries[n-1].Term}
		r.Entries = r.Entries[n:]
	}
	return r
}

func (r Recovered) last() raft.Index { return r.Base.Index + raft.Index(len(r.Entries)) }

func equal(a, b Recovered) bool {
	return a.Identity == b.Identity && a.HardState == b.HardState && a.Base == b.Base && a.Torn == b.Torn &&
		slices.EqualFunc(a.Entries, b.Entries, func(x, y raft.Entry) bool {
			return x.Index == y.Index && x.Term == y.Term && x.Type == y.Type && bytes.Equal(x.Data, y.Data)
		})
}

// step draws one call and makes it on the log and the model.
func (m *model) step(rng *rand.Rand, l *Log) error {
	next := m.now()
	next.Entries = slices.Clone(next.Entries)
	m.dropping = false
	last := next.last()
	settled := max(next.Base.Index, m.drop) // a member drops and restarts at committed entries only
	switch {
	case rng.IntN(12) == 0:
		m.drop = settled + raft.Index(rng.IntN(int(max(last, settled)-settled)+1))
		m.dropping = true
		err := l.DropPrefix(m.drop)
		if err == nil {
			m.synced, m.floor = len(m.states)-1, l.Base().Index
		}
		return err
	case rng.IntN(25) == 0:
		p := Position{Index: settled + raft.Index(rng.IntN(5)), Term: next.HardState.Term + 1}
		if at := int(p.Index) - int(next.Base.Index) - 1; at < 0 || at < len(next.Entries) && rng.IntN(2) == 0 {
			return nil
		}
		next.Base, next.Entries = p, nil
		m.states = append(m.states, next)
		return l.Restart(p)
	case rng.IntN(20) == 0 && next.Identity.Cluster == 0:
		next.Identity.Cluster = raft.ClusterID(rng.Uint64() | 1)
		m.states = append(m.states, next)
		return l.SetCluster(next.Identity.Cluster)
	case rng.IntN(3) > 0:
		var hs *raft.HardState
		if rng.IntN(3) == 0 {
			next.HardState = raft.HardState{Term: next.HardState.Term + 1, Vote: raft.ID(rng.IntN(5))}
			hs = &next.HardState
		}
		first := last + 1
		if rng.IntN(4) == 0 {
			first = settled + 1 + raft.Index(rng.IntN(int(last-settled)+1))
		}
		var data []string
		for range rng.IntN(4) {
			data = append(data, strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(1<<rng.IntN(12))))
		}
		es := entries(next.HardState.Term+1, first, data...)
		if len(es) > 0 {
			next.Entries = append(next.Entries[:first-next.Base.Index-1], es...)
		}
		if len(next.Entries) == 0 {
			next.Entries = nil
		}
		m.states = append(m.states, next)
		return l.Append(hs, es)
	}
	if err := l.Sync(); err != nil {
		return err
	}
	m.synced = len(m.states) - 1
	return nil
}

func TestCrashAtEveryStepKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(40) {
		for _, o := range []options{small, tiny} {
			crashRun(t, fmt.Sprintf("seed %d, options %+v", seed, o), rand.New(rand.NewPCG(seed, uint64(o.segment))), o, 30, 3)
		}
	}
}

// crashRun makes calls; before every step that they take on the disk, and at the end, it looks at what
// a crash would leave. generations: a log that comes out of a crash runs on and is crashed again.
func crashRun(t *testing.T, what string, rng *rand.Rand, o options, calls, generations int) {
	t.Helper()
	disk := vfs.NewMem()
	m := &model{}
	created := false
	look := func() {
		t.Helper()
		after := disk.CrashClone(rng)
		l, got, err := openLog(after, dir, o)
		if errors.Is(err, ErrNotExist) && !created {
			_, err = create(after, dir, self, o)
			must(t, err)
			return
		}
		if err != nil {
			t.Fatalf("%s: after %d batches, %d synced: %v", what, len(m.states), m.synced, err)
		}
		if created && m.find(got) < 0 {
			t.Fatalf("%s: after %d batches, %d synced, recovered %.300v", what, len(m.states), m.synced, got)
		}
		must(t, l.lock.Close())
	}
	fsys := vfs.Hook{FS: disk, Before: func(vfs.Op, string) error { look(); return nil }}
	id := self
	id.Cluster = 0
	l, err := create(fsys, dir, id, o)
	must(t, err)
	created = true
	m.states = []Recovered{{Identity: id}}
	for range generations {
		for range calls {
			if err := m.step(rng, l); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		look()
		if rng.IntN(2) == 0 {
			must(t, l.write())      // handed to the kernel, not synced: a killed process leaves it,
			must(t, l.lock.Close()) // and what the next one reads must be durable from then on
		} else {
			disk.Crash(rng)
		}
		var got Recovered
		if l, got, err = openLog(fsys, dir, o); err != nil { // crashes during the repair are looked at too
			t.Fatalf("%s: %v", what, err)
		}
		i := m.find(got)
		if i < 0 {
			t.Fatalf("%s: recovered %v", what, got)
		}
		m.states, m.synced = m.states[i:i+1], 0
	}
}

// The checker above must be able to fail: a log that forgets its fsync is found.
func TestTheCrashCheckerFindsALogThatDoesNotSync(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := vfs.NewMem()
		l, err := create(disk, dir, self, small)
		must(t, err)
		l.file = lyingFile{l.file}
		m := &model{states: []Recovered{{Identity: self}}}
		for range 20 {
			must(t, m.step(rng, l))
		}
		disk.Crash(rng)
		if _, got, err := openLog(disk, dir, small); err == nil && m.find(got) < 0 {
			return
		}
	}
	t.Fatal("not found in 50 seeds")
}

type lyingFile struct{ vfs.File }

func (lyingFile) Sync() error { return nil }

// Any calls in any order, with a look at what a crash would leave before every step on the disk, against a log in
// memory. The bytes are the choices, so that the fuzzer can change one and keep the rest.
func FuzzAgainstALogInMemory(f *testing.F) {
	f.Add([]byte("\x10append\x80\x20sync\x01\x02\x03restart\xff\xfedrop"))
	f.Add(bytes.Repeat([]byte{0x31, 0xc7, 0x05, 0x9a, 0xe2}, 40))
	f.Fuzz(func(t *testing.T, choices []byte) {
		o := small
		if len(choices)%2 == 1 {
			o = tiny
		}
		crashRun(t, fmt.Sprintf("choices %x", choices), rand.New(&chosen{choices, 1}), o, 15, 2)
	})
}

// chosen is a source of random numbers that are given, and then of some.
type chosen struct {
	bytes []byte
	after uint64
}

func (c *chosen) Uint64() uint64 {
	c.after = c.after*6364136223846793005 + 1442695040888963407
	if len(c.bytes) == 0 {
		return c.after
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return uint64(b)<<56 | c.after>>8
}
