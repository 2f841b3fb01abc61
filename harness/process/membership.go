package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"

	"raftlab/harness"
)

// Add starts a process at a new place: a name, a port and a directory that nothing in this run has had.
func (c *Cluster) Add(context.Context) (harness.Place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return harness.Place{}, errors.New("process: add: the cluster is closed")
	}
	port, err := c.freshPort()
	if err != nil {
		return harness.Place{}, err
	}
	c.made++
	place, err := c.place(c.made, port)
	if err != nil {
		return harness.Place{}, err
	}
	place.Join = addresses(c.places)
	m := &member{place: place}
	if err := c.furnish(m, append(slices.Clone(c.places), place)); err != nil {
		return harness.Place{}, err
	}
	if err := c.run(m); err != nil {
		delete(c.members, place.Name)
		return harness.Place{}, err
	}
	c.places = append(c.places, place)
	return place, nil
}

// freshPort is free, and was never a member's: who still knows a member that was dropped must not take a newcomer for it.
func (c *Cluster) freshPort() (int, error) {
	for {
		ports, err := freePorts(1)
		if err != nil {
			return 0, err
		}
		taken := false
		for _, m := range c.members {
			taken = taken || m.place.Address == fmt.Sprintf("127.0.0.1:%d", ports[0])
		}
		if !taken {
			return ports[0], nil
		}
	}
}

func addresses(places []harness.Place) []string {
	var all []string
	for _, place := range places {
		all = append(all, place.Address)
	}
	return all
}

// Drop ends the process with SIGKILL and takes the member off the list. Its log and its data stay.
func (c *Cluster) Drop(ctx context.Context, node string) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	if m.proc != nil && !m.proc.ended() {
		if err := c.Kill(ctx, node, syscall.SIGKILL); err != nil && !m.proc.ended() {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.places)
	c.places = slices.DeleteFunc(slices.Clone(c.places), func(p harness.Place) bool { return p.Name == node })
	if len(c.places) < before {
		c.former = append(c.former, node)
	}
	return nil
}

// Wipe gives the member another directory; the old one stays beside it, to be looked at.
func (c *Cluster) Wipe(_ context.Context, node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.places, func(p harness.Place) bool { return p.Name == node })
	if i < 0 {
		return fmt.Errorf("process: wipe: there is no member %q", node)
	}
	m := c.members[node]
	if m.proc != nil && !m.proc.ended() {
		return fmt.Errorf("process: wipe %s: its process %d still runs: kill it first", node, m.proc.pid)
	}
	others := slices.Delete(slices.Clone(c.places), i, i+1)
	m.wiped++
	m.place.Data = filepath.Join(c.dir, node, fmt.Sprintf("data.%d", m.wiped+1))
	m.place.Join = addresses(others)
	if err := c.furnish(m, append(others, m.place)); err != nil {
		return err
	}
	c.places[i] = m.place
	return nil
}

// Former are those that were dropped.
func (c *Cluster) Former() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.former)
}
