package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// soak is a long load on one cluster, and what its members' memory did meanwhile.
type soak struct {
	raftd       string
	dir         string
	writes      int
	keys        int
	connections int
	valueBytes  int
	slice       time.Duration // of one load process; then acknowledged values are read back

	self, work string
	cluster    *cluster
	done       int
	errors     int // writes that were not acknowledged, as in an election
	samples    []reading
}

// reading is the memory of every member, in bytes, by position.
type reading struct {
	at     time.Duration
	writes int
	rss    []int64
}

const soakUsage = `raftbench soak writes for a long time to three members of raftd, and says what became of their memory.

  raftbench soak -raftd bin/raftd                        ten million writes on a thousand keys
  raftbench soak -raftd bin/raftd -writes 500000         a shorter one

It ends with exit code 1 if a member's memory grew in the second half, or an acknowledged write is gone.

`

// runSoak is the subcommand.
func runSoak(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s := &soak{}
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, soakUsage); f.PrintDefaults() }
	f.StringVar(&s.raftd, "raftd", "", "path of raftd")
	f.StringVar(&s.dir, "dir", ".", "where to make the directory for data, which is removed; on a real disk")
	f.IntVar(&s.writes, "writes", 10_000_000, "how many writes must be acknowledged")
	f.IntVar(&s.keys, "keys", 1000, "on how many keys")
	f.IntVar(&s.connections, "conns", 64, "connections")
	f.IntVar(&s.valueBytes, "value", 256, "bytes of a value")
	f.DurationVar(&s.slice, "slice", 20*time.Second, "after so long of writing some values are read back")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("bench: unexpected argument %q", f.Arg(0))
	case s.raftd == "":
		return errors.New("bench: say with -raftd where raftd is")
	case s.writes < 1 || s.connections < 1 || s.keys < s.connections || s.slice < time.Second:
		return errors.New("bench: -writes and -conns must be at least 1, -keys at least -conns, -slice at least 1s")
	case s.valueBytes < valueBytesMin || s.valueBytes > replyBytesMax/4:
		return fmt.Errorf("bench: -value %d must be from %d to %d", s.valueBytes, valueBytesMin, replyBytesMax/4)
	}
	if s.raftd, err = filepath.Abs(s.raftd); err != nil {
		return err
	}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.work, err = os.MkdirTemp(s.dir, "raftbench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	if s.work, err = filepath.Abs(s.work); err != nil {
		return err
	}
	s.cluster, err = startRaftd(ctx, s.work, "raftd", s.raftd, false)
	if s.cluster != nil {
		defer func() {
			for _, p := range s.cluster.members {
				p.kill()
			}
		}()
	}
	if err != nil {
		return err
	}
	return s.run(ctx, stdout)
}

func (s *soak) run(ctx context.Context, stdout io.Writer) error {
	fmt.Fprintf(stdout, "%d writes of %d bytes on %d keys over %d connections; three members (%s), default settings\n",
		s.writes, s.valueBytes, s.keys, s.connections, buildOf(s.raftd))
	fmt.Fprintln(stdout, "   time     writes  writes/s       RSS now, MiB      data, MiB")
	began := time.Now()
	s.cluster.number = 1
	for s.done < s.writes {
		from := time.Now()
		m, err := s.load(ctx, began)
		if ctx.Err() != nil && len(s.samples) > 0 {
			return errors.Join(fmt.Errorf("bench: interrupted after %d of %d writes", s.done, s.writes), s.judge(stdout))
		}
		if err != nil {
			return err
		}
		s.done += m.Ops
		s.errors += m.Errors
		if m.Wrong > 0 {
			return fmt.Errorf("bench: after %d writes: %d acknowledged ones are gone: %s", s.done, m.Wrong, m.FirstWrong)
		}
		fmt.Fprintf(stdout, "%6.0f s %10d  %8.0f  %16s  %13s\n", time.Since(began).Seconds(), s.done,
			float64(m.Ops)/time.Since(from).Seconds(), mebibytes(s.samples[len(s.samples)-1].rss), mebibytes(s.sizes()))
	}
	return s.judge(stdout)
}

// load runs one slice in a process of its own, and reads the members' memory meanwhile.
func (s *soak) load(ctx context.Context, began time.Time) (*measured, error) {
	leader, err := s.cluster.leader(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(load{
		Protocol: speakRaftd, Target: s.cluster.addresses[leader], Members: s.cluster.addresses, Op: opPut, Connections: s.connections,
		Keys: s.keys, ValueBytes: s.valueBytes, ContentType: "application/json", Mark: 1, FirstNumber: s.cluster.number,
		Measure: s.slice, Verify: 200,
	})
	if err != nil {
		return nil, err
	}
	var out, errOut bytes.Buffer
	cmd := child(ctx, s.self, "load")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(spec), &out, &errOut
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(time.Second / 4)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return nil, fmt.Errorf("bench: load: %w\n%s", err, bytes.TrimSpace(errOut.Bytes()))
			}
			m := new(measured)
			if err := json.Unmarshal(out.Bytes(), m); err != nil {
				return nil, fmt.Errorf("bench: what the load printed: %w", err)
			}
			s.cluster.number = m.LastNumber
			return m, s.sample(began)
		case <-ticker.C:
			if err := s.sample(began); err != nil {
				return nil, errors.Join(err, <-ended)
			}
		}
	}
}

func (s *soak) sample(began time.Time) error {
	m := reading{at: time.Since(began), writes: s.done}
	for _, p := range s.cluster.members {
		if err := p.ended(); err != nil {
			return err
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			return err
		}
		m.rss = append(m.rss, int64(field(status, "VmRSS:", 1))<<10)
	}
	s.samples = append(s.samples, m)
	return nil
}

// sizes are the bytes of each member's data directory.
func (s *soak) sizes() []int64 {
	var all []int64
	for _, p := range s.cluster.members {
		var size int64
		filepath.WalkDir(filepath.Join(s.work, p.name), func(_ string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if info, err := d.Info(); err == nil {
					size += info.Size()
				}
			}
			return nil
		})
		all = append(all, size)
	}
	return all
}

// growthMax is what a peak of the second half may be above that of the first: a collection that comes a little later.
const growthMax = 1.10

// judge compares peaks. The first half may grow to what the settings ask for; the second may not grow any more.
func (s *soak) judge(stdout io.Writer) error {
	half := s.samples[len(s.samples)-1].at / 2
	first, second := make([]int64, len(s.cluster.members)), make([]int64, len(s.cluster.members))
	for _, m := range s.samples {
		peak := first
		if m.at > half {
			peak = second
		}
		for i, rss := range m.rss {
			peak[i] = max(peak[i], rss)
		}
	}
	fmt.Fprintf(stdout, "%d writes acknowledged, %d not\n", s.done, s.errors)
	fmt.Fprintf(stdout, "peak RSS, MiB: first half %s, second half %s; %d readings of each of %d members over %.0f s\n",
		mebibytes(first), mebibytes(second), len(s.samples), len(first), s.samples[len(s.samples)-1].at.Seconds())
	for i := range first {
		if float64(second[i]) > growthMax*float64(first[i]) {
			return fmt.Errorf("bench: the memory of %s grew: at most %s MiB in the first half and %s in the second",
				s.cluster.members[i].name, mebibytes(first[i:i+1]), mebibytes(second[i:i+1]))
		}
	}
	fmt.Fprintln(stdout, "memory is bounded: no peak of the second half is more than a tenth above that of the first")
	return nil
}

func mebibytes(sizes []int64) string {
	var words []string
	for _, size := range sizes {
		words = append(words, fmt.Sprintf("%.0f", float64(size)/(1<<20)))
	}
	return strings.Join(words, " ")
}
