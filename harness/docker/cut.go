package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"raftlab/harness"
)

// cuts are the links that are cut and the agents that hold the rules. mu is held over whole changes: two at a
// time would each undo a part of the other.
type cuts struct {
	mu sync.Mutex
	// owner says at which end of a link the rule is. One end is enough, and isolating one member then
	// takes one agent.
	owner   map[harness.Link]string
	agents  map[string]*agent
	carried map[harness.Link]uint64 // counted by agents that are gone
}

func (c *cuts) init() {
	c.owner, c.agents, c.carried = map[harness.Link]string{}, map[string]*agent{}, map[harness.Link]uint64{}
}

// Cut drops every packet on these links until Restore. A one-way cut stops the TCP connections of both ways in the
// end, since the acknowledgements of the other way are lost.
func (c *Cluster) Cut(ctx context.Context, links []harness.Link) error {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var fresh []harness.Link
	for _, link := range links {
		if c.members[link.From] == nil || c.members[link.To] == nil || link.From == link.To {
			return fmt.Errorf("docker: cut: there is no link from %q to %q", link.From, link.To)
		}
		if _, cut := c.cuts.owner[link]; !cut {
			fresh = append(fresh, link)
		}
	}
	running, err := c.running(ctx)
	if err != nil {
		return err
	}
	// What is noted before it is tried will be healed even if it fails half-way.
	plan := owners(fresh, running)
	for owner, links := range plan {
		for _, link := range links {
			c.cuts.owner[link] = owner
		}
	}
	return c.apply(ctx, plan, running)
}

// owners chooses for each link the end that holds the rule: again and again the running member that has most links
// left. A link between two members that do not run is held by its sender, once that is started.
func owners(links []harness.Link, running map[string]bool) map[string][]harness.Link {
	plan := map[string][]harness.Link{}
	left := slices.Clone(links)
	for len(left) > 0 {
		count := map[string]int{}
		for _, link := range left {
			count[link.From]++
			count[link.To]++
		}
		best := ""
		for _, node := range slices.Sorted(maps.Keys(count)) {
			if running[node] && (best == "" || count[node] > count[best]) {
				best = node
			}
		}
		if best == "" {
			for _, link := range left {
				plan[link.From] = append(plan[link.From], link)
			}
			return plan
		}
		left = slices.DeleteFunc(left, func(link harness.Link) bool {
			mine := link.From == best || link.To == best
			if mine {
				plan[best] = append(plan[best], link)
			}
			return mine
		})
	}
	return plan
}

func (c *Cluster) running(ctx context.Context) (map[string]bool, error) {
	var mu sync.Mutex
	running := map[string]bool{}
	err := c.parallel(slices.Collect(maps.Keys(c.members)), func(node string) error {
		probe, err := c.Probe(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		running[node] = err == nil && probe.State != harness.Exited
		return err
	})
	return running, err
}

// apply puts rules into the namespaces of running owners. The others get theirs in Start.
func (c *Cluster) apply(ctx context.Context, plan map[string][]harness.Link, running map[string]bool) error {
	var mu sync.Mutex // of c.cuts.agents: the owners are served at once
	owners := slices.DeleteFunc(slices.Collect(maps.Keys(plan)), func(node string) bool { return !running[node] })
	return c.parallel(owners, func(node string) error {
		mu.Lock()
		a := c.cuts.agents[node]
		mu.Unlock()
		a, err := c.agentFor(ctx, node, a)
		if err != nil {
			return err
		}
		mu.Lock()
		c.cuts.agents[node] = a
		mu.Unlock()
		args := []string{"cut"}
		for _, link := range plan[node] {
			if link.From == node {
				args = append(args, "--peer", c.addresses[link.To].String()+"/out")
			} else {
				args = append(args, "--peer", c.addresses[link.From].String()+"/in")
			}
		}
		_, err = c.exec(ctx, a, args...)
		return err
	})
}

// Restore removes every rule and looks whether it is gone.
func (c *Cluster) Restore(ctx context.Context) error {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var mu sync.Mutex
	err := c.parallel(slices.Collect(maps.Keys(c.cuts.agents)), func(node string) error {
		a := c.cuts.agents[node]
		probe, err := c.Probe(ctx, node)
		if err == nil && !probe.Started.Equal(a.started) {
			// The namespace of a process that has ended dies with the agent, and its rules with it.
			mu.Lock()
			delete(c.cuts.agents, node)
			mu.Unlock()
			return c.remove(ctx, a)
		}
		if _, err := c.exec(ctx, a, "heal"); err != nil {
			return err
		}
		left, err := c.counters(ctx, a)
		if err == nil && (left.Table || len(left.Rules) > 0) {
			err = fmt.Errorf("docker: restore %s: the rules are still there: %+v", node, left.Rules)
		}
		return err
	})
	if err != nil {
		return err // what is cut stays known, so that a second Restore tries again
	}
	clear(c.cuts.owner)
	clear(c.cuts.carried)
	return nil
}

// Dropped reads the counters of all rules that the kernel has now, whether we remember them or not.
func (c *Cluster) Dropped(ctx context.Context) (map[harness.Link]uint64, error) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var mu sync.Mutex
	dropped := maps.Clone(c.cuts.carried)
	err := c.parallel(slices.Collect(maps.Keys(c.cuts.agents)), func(node string) error {
		counted, err := c.links(ctx, node, c.cuts.agents[node])
		mu.Lock()
		defer mu.Unlock()
		for link, packets := range counted {
			dropped[link] += packets
		}
		return err
	})
	return dropped, err
}

func (c *Cluster) links(ctx context.Context, node string, a *agent) (map[harness.Link]uint64, error) {
	counters, err := c.counters(ctx, a)
	if err != nil {
		return nil, err
	}
	links := map[harness.Link]uint64{}
	for _, rule := range counters.Rules {
		peer := ""
		for name, address := range c.addresses {
			if address == rule.Peer {
				peer = name
			}
		}
		if peer == "" {
			return nil, fmt.Errorf("docker: a rule at %s names %s, which is no member", node, rule.Peer)
		}
		link := harness.Link{From: node, To: peer}
		if rule.Direction == "in" {
			link = harness.Link{From: peer, To: node}
		}
		links[link] += rule.Packets
	}
	return links, nil
}

// handOver gives the rules of a member that is about to get a new namespace to the other ends of the links, and
// returns those that no running member can take.
func (c *Cluster) handOver(ctx context.Context, node string) ([]harness.Link, error) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	old := c.cuts.agents[node]
	if old != nil {
		counted, err := c.links(ctx, node, old)
		if err != nil {
			return nil, err
		}
		for link, packets := range counted {
			c.cuts.carried[link] += packets
		}
		if err := c.remove(ctx, old); err != nil {
			return nil, err
		}
		delete(c.cuts.agents, node)
	}
	var mine []harness.Link
	for link, owner := range c.cuts.owner {
		if owner == node {
			mine = append(mine, link)
		}
	}
	if len(mine) == 0 {
		return nil, nil
	}
	running, err := c.running(ctx)
	if err != nil {
		return nil, err
	}
	running[node] = false
	var left []harness.Link
	plan := map[string][]harness.Link{}
	for _, link := range mine {
		other := link.To
		if other == node {
			other = link.From
		}
		if !running[other] {
			left = append(left, link)
			continue
		}
		c.cuts.owner[link] = other
		plan[other] = append(plan[other], link)
	}
	return left, c.apply(ctx, plan, running)
}

// reapply puts rules into the new namespace of a member that was just started.
func (c *Cluster) reapply(ctx context.Context, node string, links []harness.Link) error {
	if len(links) == 0 {
		return nil
	}
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	links = slices.DeleteFunc(links, func(link harness.Link) bool { return c.cuts.owner[link] != node }) // restored since
	if len(links) == 0 {
		return nil
	}
	return c.apply(ctx, map[string][]harness.Link{node: links}, map[string]bool{node: true})
}

// parallel does one thing for every node at once and joins the errors.
func (c *Cluster) parallel(nodes []string, do func(node string) error) error {
	slices.Sort(nodes)
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { errs[i] = do(node) })
	}
	all.Wait()
	return errors.Join(errs...)
}
