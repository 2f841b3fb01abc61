package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// cell is one measurement in its place: which repetition, of what, with how many connections, on which system.
type cell struct {
	Rep         int
	Op          string
	Connections int
	System      string
	measured
	CPULeader     float64   // seconds; of the only process, if there is one
	CPUFollowers  []float64 // seconds of each
	CPUNeighbours float64   // seconds of the other systems, which are idle
	LeaderChanged bool      // while it was measured
}

// comparison is a run: the systems, side by side, and what was measured.
type comparison struct {
	options
	self     string // our own binary
	work     string // the directory with all data
	stderr   io.Writer
	systems  []system
	clusters []*cluster
	cells    []cell
	filled   int // keys read back after filling
	machine  machine
}

// compare is a whole run. Whatever happens, it leaves no process and no data behind.
func compare(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	c := &comparison{options: o, stderr: stderr}
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	if inMemory(o.dir) {
		return fmt.Errorf("bench: -dir %s is in memory, where fsync costs nothing; name a directory on a disk", o.dir)
	}
	cores := 0
	if o.cores > 0 {
		if cores, err = useCores(o.cores); err != nil {
			return fmt.Errorf("bench: -cores %d: %w", o.cores, err)
		}
	}
	if c.work, err = os.MkdirTemp(o.dir, "raftbench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.work)) }()
	if c.work, err = filepath.Abs(c.work); err != nil {
		return err
	}
	if c.disk == "" {
		c.disk = diskOf(c.work)
	}
	c.machine = describeMachine(o, c.work, c.disk, cores)
	took := c.estimate()
	fmt.Fprintf(stderr, "about %v: %d cells\n", took.Round(time.Second), c.planned())
	ctx, cancel := context.WithTimeoutCause(ctx, 2*took+2*time.Minute, errors.New("bench: it took more than twice as long as it should"))
	defer cancel()
	defer func() {
		for _, k := range c.clusters {
			for _, p := range k.members {
				p.kill()
			}
		}
	}()
	err = c.start(ctx)
	if err == nil {
		err = c.all(ctx)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if len(c.cells) > 0 {
		c.report(stdout)
	}
	return errors.Join(err, c.doubts())
}

func (c *comparison) planned() int {
	perRep := 0
	for _, s := range c.options.systems {
		if perRep++; s == speakRaftd {
			perRep += len(c.raftd) - 1
		}
	}
	return perRep * len(c.ops) * len(c.connections) * c.reps
}

// estimate counts a quarter of a second around each cell, and fifteen to start.
func (c *comparison) estimate() time.Duration {
	return time.Duration(c.planned())*(c.warmup+c.measure+c.pause+250*time.Millisecond) + 15*time.Second
}

// start starts every cluster and writes every key once, so that no read misses.
func (c *comparison) start(ctx context.Context) error {
	add := func(k *cluster, err error, systems ...system) error {
		if k != nil {
			c.clusters = append(c.clusters, k) // also when it has started in part: it is killed with the others
			k.number = 1
		}
		for _, s := range systems {
			s.cluster = k
			c.systems = append(c.systems, s)
		}
		return err
	}
	var etcd *cluster
	for _, name := range c.options.systems {
		var err error
		switch name {
		case speakRaftd:
			for _, r := range c.raftd {
				if c.profile != "" && !canProfile(ctx, r.path) {
					return fmt.Errorf("bench: -profile: %s has no --pprof", r.path)
				}
				k, e := startRaftd(ctx, c.work, r.name, r.path, c.profile != "")
				if err = add(k, e, system{name: r.name, protocol: speakRaftd}); err != nil {
					break
				}
			}
		case speakEtcdHTTP, speakEtcdGRPC:
			if etcd == nil { // both are ways to the same members
				etcd, err = startEtcd(ctx, c.work, c.self)
				err = add(etcd, err)
			}
			c.systems = append(c.systems, system{name: name, protocol: name, cluster: etcd})
		case speakBare:
			k, e := startBare(ctx, c.work, c.self, c.valueBytes)
			err = add(k, e, system{name: name, protocol: speakBare})
		}
		if err != nil {
			return err
		}
	}
	if c.profile != "" {
		if err := os.MkdirAll(c.profile, 0o755); err != nil {
			return err
		}
	}
	done := make(map[*cluster]bool)
	for _, s := range c.systems {
		if s.protocol == speakBare || done[s.cluster] {
			continue
		}
		done[s.cluster] = true
		m, _, err := c.load(ctx, s, opFill, 64)
		if err == nil && m.Errors+m.Wrong > 0 {
			err = fmt.Errorf("bench: fill %s: %s %s", s.name, m.FirstError, m.FirstWrong)
		}
		if err != nil {
			return err
		}
		c.filled += m.Verified
	}
	return nil
}

// all measures every cell. Neighbours in time are the systems under the same load, so that their ratio means
// something on a machine that drifts; who begins changes from one repetition to the next.
func (c *comparison) all(ctx context.Context) error {
	var lines io.Writer = io.Discard
	if c.json != "" {
		f, err := os.Create(c.json)
		if err != nil {
			return err
		}
		defer f.Close()
		lines = f
	}
	for rep := range c.reps {
		for _, n := range c.connections {
			for _, op := range c.ops {
				for i := range c.systems {
					measured, err := c.cell(ctx, rep, op, n, c.systems[(i+rep)%len(c.systems)])
					if err != nil {
						return err
					}
					c.cells = append(c.cells, measured)
					if err := json.NewEncoder(lines).Encode(measured); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (c *comparison) cell(ctx context.Context, rep int, op string, connections int, s system) (cell, error) {
	profiled := make(chan error, 1)
	if c.profile != "" && s.protocol == speakRaftd && rep == 0 {
		leader, err := s.cluster.leader(ctx)
		if err != nil {
			return cell{}, err
		}
		file := filepath.Join(c.profile, fmt.Sprintf("%s-%s-%d.pprof", s.name, op, connections))
		go func() { profiled <- saveProfile(ctx, s.cluster.debug[leader], file, c.warmup+c.measure) }()
	} else {
		profiled <- nil
	}
	m, leader, err := c.load(ctx, s, op, connections)
	if err := errors.Join(err, <-profiled); err != nil {
		return cell{}, err
	}
	out := cell{Rep: rep, Op: op, Connections: connections, System: s.name, measured: *m, CPUFollowers: []float64{}}
	after, err := s.cluster.leader(ctx)
	out.LeaderChanged = err != nil || after != leader
	for _, k := range c.clusters {
		for i, p := range k.members {
			cpu := m.CPUOf[p.cmd.Process.Pid]
			switch {
			case k != s.cluster:
				out.CPUNeighbours += cpu
				continue
			case i == leader:
				out.CPULeader = cpu
			default:
				out.CPUFollowers = append(out.CPUFollowers, cpu)
			}
		}
	}
	fmt.Fprintf(c.stderr, "%d/%d %s %3d %-9s %7.0f/s  p50 %-9v p99 %-9v other cpu %.2f%s\n", rep+1, c.reps, op, connections, s.name,
		float64(m.Ops)/m.Seconds, m.P50.Round(time.Microsecond), m.P99.Round(time.Microsecond), m.CPUOther/m.Seconds, out.remark())
	time.Sleep(c.pause)
	return out, nil
}

// remark is what is wrong with the cell.
func (c cell) remark() (s string) {
	if c.LeaderChanged {
		s += "  leader changed"
	}
	if c.Errors > 0 {
		s += fmt.Sprintf("  %d errors: %s", c.Errors, c.FirstError)
	}
	if c.Wrong > 0 {
		s += fmt.Sprintf("  %d WRONG: %s", c.Wrong, c.FirstWrong)
	}
	return s
}

// load runs a load process against the system's leader, and says who that was.
func (c *comparison) load(ctx context.Context, s system, op string, connections int) (*measured, int, error) {
	var pids []int
	for _, k := range c.clusters {
		for _, p := range k.members {
			if err := p.ended(); err != nil {
				return nil, 0, err
			}
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	leader, err := s.cluster.leader(ctx)
	if err != nil {
		return nil, 0, err
	}
	spec, err := json.Marshal(load{
		Protocol: s.protocol, Target: s.cluster.addresses[leader], Members: s.cluster.addresses, Op: op, Connections: connections,
		Keys: c.keys, ValueBytes: c.valueBytes, ContentType: c.contentType, Mark: c.seed, FirstNumber: s.cluster.number,
		Warmup: c.warmup, Measure: c.measure, Verify: c.verify, PIDs: pids, Disk: c.disk,
	})
	if err != nil {
		return nil, 0, err
	}
	var out, errOut bytes.Buffer
	cmd := child(ctx, c.self, "load")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(spec), &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("bench: load of %s, %s with %d connections: %w\n%s", s.name, op, connections, err, bytes.TrimSpace(errOut.Bytes()))
	}
	m := new(measured)
	if err := json.Unmarshal(out.Bytes(), m); err != nil {
		return nil, 0, fmt.Errorf("bench: what the load of %s printed: %w", s.name, err)
	}
	s.cluster.number = m.LastNumber
	return m, leader, nil
}
