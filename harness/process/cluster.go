// Package process runs a cluster as processes of this machine: real sockets, real disks, no containers. It
// needs Linux (/proc, and the death signal that ends every member when the lab is killed).
//
// Members reach each other through a relay with one CONNECT proxy per member, which is where links are cut.
// Clients and the monitor reach the members directly.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"raftlab/harness"
	"raftlab/harness/scratch"
)

// Options say how many members to run and where their files go.
type Options struct {
	Nodes int    // default 5
	Dir   string // required: <Dir>/<node>/data and <Dir>/<node>/log
	// Grace is how long the first member may take alone before the others are started: a store that is founded
	// by one member is ready by then, one that needs a majority never will be. Default 3 s.
	Grace time.Duration
	// DiskAgent, if set, is the command of the agent (chaos/agent) that puts a disk which can be broken under each member. It
	// needs /dev/fuse, and root or user namespaces.
	DiskAgent []string
	// Failed, if set, gets what there is of a cluster that did not start, before it is closed.
	Failed func(harness.Cluster)
}

// Cluster is a set of member processes. It is safe for concurrent use.
type Cluster struct {
	system harness.System
	dir    string
	relay  *relay
	parent *parent

	mu      sync.Mutex
	places  []harness.Place
	members map[string]*member // by name, those that were dropped too
	former  []string
	made    int // members so far: names are never given twice
	closed  bool

	diskAgent []string
	sockets   *scratch.Dir // of the disks, if there are any
}

// member is one place and the process that runs there now.
type member struct {
	place harness.Place
	spec  harness.Spec
	log   string   // path
	wiped int      // times
	proc  *process // the latest, running or not; nil before the first start
}

var (
	_ harness.Cluster   = (*Cluster)(nil)
	_ harness.Killer    = (*Cluster)(nil)
	_ harness.Pauser    = (*Cluster)(nil)
	_ harness.Networker = (*Cluster)(nil)
	_ harness.Member    = (*Cluster)(nil)
	_ harness.Shaper    = (*Cluster)(nil)
)

// Start runs all members and returns when every one is Ready. On an error nothing is left running.
func Start(ctx context.Context, system harness.System, o Options) (*Cluster, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if o.Nodes == 0 {
		o.Nodes = 5
	}
	if o.Nodes < 0 || o.Dir == "" {
		return nil, fmt.Errorf("process: %d nodes in %q: both must be given", o.Nodes, o.Dir)
	}
	if o.Grace == 0 {
		o.Grace = 3 * time.Second
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	c := &Cluster{system: system, dir: dir, members: map[string]*member{}, parent: newParent(), relay: newRelay(), diskAgent: o.DiskAgent}
	if len(o.DiskAgent) > 0 {
		if c.sockets, err = scratch.Make(); err != nil {
			return nil, err
		}
	}
	if err = c.prepare(o.Nodes); err == nil {
		err = c.startAll(ctx, o.Grace)
	}
	if err != nil {
		if o.Failed != nil {
			o.Failed(c)
		}
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// prepare makes the places that the cluster begins with.
func (c *Cluster) prepare(nodes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ports, err := freePorts(nodes)
	if err != nil {
		return err
	}
	for i, port := range ports {
		place, err := c.place(i+1, port)
		if err != nil {
			return err
		}
		c.places = append(c.places, place)
	}
	c.made = nodes
	for _, place := range c.places {
		if err := c.furnish(&member{place: place}, c.places); err != nil {
			return err
		}
	}
	return nil
}

// place is the nth, with a proxy of its own. It needs c.mu, as the next one does.
func (c *Cluster) place(n, port int) (harness.Place, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	place := harness.Place{Name: fmt.Sprintf("n%d", n), Address: address, Listen: address}
	place.Data = filepath.Join(c.dir, place.Name, "data")
	var err error
	place.PeerProxy, err = c.relay.add(place.Name, address)
	return place, err
}

// furnish makes the member's directories and finds out how it is started.
func (c *Cluster) furnish(m *member, all []harness.Place) error {
	if err := os.MkdirAll(m.place.Data, 0o755); err != nil {
		return fmt.Errorf("process: data directory: %w", err)
	}
	m.spec, m.log = c.system.Spec(m.place, all), filepath.Join(c.dir, m.place.Name, "log")
	if m.spec.Binary == "" {
		return fmt.Errorf("process: %s has no binary: it can only run in containers: %w", c.system.Name(), harness.ErrUnsupported)
	}
	c.members[m.place.Name] = m
	return nil
}

func (c *Cluster) startAll(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel(nil)
	for i, place := range c.Places() {
		if err := c.Start(ctx, place.Name); err != nil {
			return err
		}
		m, err := c.member(place.Name)
		if err != nil {
			return err
		}
		// A member that ends by itself will never be ready: say why now instead of waiting.
		watchers.Go(func() {
			select {
			case <-m.proc.done:
				cancel(fmt.Errorf("process: %s ended with code %d: %s", place.Name, m.proc.exit, tail(m.log)))
			case <-ctx.Done():
			}
		})
		if i == 0 {
			alone, stop := context.WithTimeout(ctx, grace)
			err := harness.AwaitReady(alone, c, c.system, place.Name)
			stop()
			if err != nil && ctx.Err() != nil {
				return err
			}
		}
	}
	return harness.AwaitReady(ctx, c, c.system)
}

// member returns a copy, with the process that is the latest now.
func (c *Cluster) member(node string) (member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[node]
	if m == nil {
		return member{}, fmt.Errorf("process: there is no member %q", node)
	}
	return *m, nil
}

// World is "process".
func (c *Cluster) World() string { return "process" }

// Places lists the members, the oldest first.
func (c *Cluster) Places() []harness.Place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.places)
}

// Endpoint is the member's own address: a restarted process has the same.
func (c *Cluster) Endpoint(_ context.Context, node string) (string, error) {
	m, err := c.member(node)
	if err != nil {
		return "", err
	}
	return m.place.Address, nil
}

// Start runs a member whose process has ended, on the data that it left.
func (c *Cluster) Start(_ context.Context, node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[node]
	switch {
	case m == nil:
		return fmt.Errorf("process: there is no member %q", node)
	case c.closed:
		return errors.New("process: start: the cluster is closed")
	case m.proc != nil && !m.proc.ended():
		return fmt.Errorf("process: start %s: its process %d still runs: kill it first", node, m.proc.pid)
	}
	return c.run(m)
}

// run needs c.mu.
func (c *Cluster) run(m *member) error {
	spec, attr := m.spec, attributes()
	if len(c.diskAgent) > 0 {
		var err error
		if spec, err = c.onDisk(m); err != nil {
			return fmt.Errorf("process: disk of %s: %w", m.place.Name, err)
		}
		inOwnMounts(attr)
	}
	proc, err := c.parent.start(spec, attr, m.log)
	if err != nil {
		return fmt.Errorf("process: start %s: %w", m.place.Name, err)
	}
	m.proc = proc
	return nil
}

func (c *Cluster) running(node string) (*process, error) {
	m, err := c.member(node)
	switch {
	case err != nil:
		return nil, err
	case m.proc == nil || m.proc.ended():
		return nil, fmt.Errorf("process: %s does not run", node)
	}
	return m.proc, nil
}

// Probe reads /proc.
func (c *Cluster) Probe(_ context.Context, node string) (harness.Probe, error) {
	m, err := c.member(node)
	switch {
	case err != nil:
		return harness.Probe{}, err
	case m.proc == nil:
		return harness.Probe{}, fmt.Errorf("process: %s was never started", node)
	}
	return m.proc.probe()
}

// Log copies what all processes of the member have written: nothing, where it was never started.
func (c *Cluster) Log(_ context.Context, node string, w io.Writer) error {
	m, err := c.member(node)
	if err != nil || m.proc == nil {
		return err
	}
	f, err := os.Open(m.log)
	if err != nil {
		return fmt.Errorf("process: log: %w", err)
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Cut withholds everything on these links until it is healed.
func (c *Cluster) Cut(_ context.Context, links []harness.Link) (harness.Cut, error) {
	made, err := c.relay.cut(links)
	if err != nil {
		return nil, err // and not a *cut that is nil
	}
	return made, nil
}

// Restore opens every link; what was withheld then arrives.
func (c *Cluster) Restore(context.Context) error { c.relay.restore(); return nil }

// Close kills every member, waits for all, and closes the relay. Data and logs stay.
func (c *Cluster) Close(context.Context) error {
	c.mu.Lock()
	c.closed = true
	var procs []*process
	for _, m := range c.members {
		if m.proc != nil && !m.proc.ended() {
			procs = append(procs, m.proc)
		}
	}
	c.mu.Unlock()
	var errs []error
	for _, p := range procs {
		if err := p.signal(syscall.SIGKILL); err != nil && !p.ended() {
			errs = append(errs, err)
		}
	}
	for _, p := range procs {
		// Nothing may outlive the lab, so this wait has no deadline: SIGKILL cannot be refused.
		errs = append(errs, p.wait(context.Background()))
	}
	c.relay.close()
	errs = append(errs, c.sockets.Close())
	c.parent.close()
	return errors.Join(errs...)
}

// Leftovers names the members that have not ended. Ask it after Close: a chaos.Experiment does.
func (c *Cluster) Leftovers(context.Context) ([]string, error) {
	var left []string
	for _, node := range harness.Everybody(c) {
		m, err := c.member(node)
		if err != nil {
			return nil, err
		}
		if m.proc == nil {
			continue // it was never started
		}
		p, err := m.proc.state()
		if err != nil {
			return nil, err
		}
		if p.State != harness.Exited {
			left = append(left, fmt.Sprintf("%s (pid %d, %s)", node, p.PID, p.State))
			continue
		}
		for _, pid := range outlivers(m.proc.mark) {
			left = append(left, fmt.Sprintf("%s (process %d, which it started)", node, pid))
		}
	}
	return left, nil
}
