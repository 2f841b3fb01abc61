package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"raftlab/harness"
)

// cuts are the links that are cut and the agents that hold the rules. mu is held over whole changes: two at a
// time would each undo a part of the other.
type cuts struct {
	mu sync.Mutex
	// holders are the cuts that a link is in: its one rule stays until the last of them is healed.
	holders map[harness.Link]map[*cut]bool
	// owner says at which end of a link the rule is. One end is enough, and isolating one member then
	// takes one agent.
	owner   map[harness.Link]string
	agents  map[string]*agent
	carried map[harness.Link]uint64 // counted by agents that are gone
	shapes  []*shaping
	shaped  int // shapings so far
}

func (c *cuts) init() {
	c.holders = map[harness.Link]map[*cut]bool{}
	c.owner, c.agents, c.carried = map[harness.Link]string{}, map[string]*agent{}, map[harness.Link]uint64{}
}

// cut is what one call of Cut holds. It is guarded by cuts.mu.
type cut struct {
	cluster *Cluster
	links   map[harness.Link]uint64 // what the link's rule had dropped before
	healed  []harness.Link
}

// Cut drops every packet on these links until it is healed. A one-way cut stops the TCP connections of both ways in the
// end, since the acknowledgements of the other way are lost.
func (c *Cluster) Cut(ctx context.Context, links []harness.Link) (harness.Cut, error) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	for _, link := range links {
		_, from := c.member(link.From)
		_, to := c.member(link.To)
		if from != nil || to != nil || link.From == link.To {
			return nil, fmt.Errorf("docker: cut: there is no link from %q to %q", link.From, link.To)
		}
	}
	before := map[harness.Link]uint64{}
	if len(c.cuts.owner) > 0 {
		var err error
		if before, err = c.dropped(ctx); err != nil {
			return nil, err
		}
	}
	running, err := c.running(ctx)
	if err != nil {
		return nil, err
	}
	// What is noted before it is tried will be healed even if it fails half-way.
	made := &cut{cluster: c, links: map[harness.Link]uint64{}}
	var fresh []harness.Link
	for _, link := range links {
		if c.cuts.holders[link] == nil {
			c.cuts.holders[link] = map[*cut]bool{}
			fresh = append(fresh, link)
		}
		c.cuts.holders[link][made] = true
		made.links[link] = before[link]
	}
	plan := owners(fresh, running)
	for owner, links := range plan {
		for _, link := range links {
			c.cuts.owner[link] = owner
		}
	}
	return made, c.apply(ctx, plan, running)
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
	err := c.parallel(slices.Collect(maps.Keys(c.addresses())), func(node string) error {
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
		_, err = c.exec(ctx, a, append([]string{"cut"}, c.peers(node, plan[node])...)...)
		return err
	})
}

// peers names links to the agent of one of their ends.
func (c *Cluster) peers(node string, links []harness.Link) []string {
	var args []string
	addresses := c.addresses()
	for _, link := range links {
		if link.From == node {
			args = append(args, "--peer", addresses[link.To].String()+"/out")
		} else {
			args = append(args, "--peer", addresses[link.From].String()+"/in")
		}
	}
	return args
}

// Heal removes the rules that no other cut needs and looks whether they are gone.
func (m *cut) Heal(ctx context.Context) error {
	c := m.cluster
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	open := map[string][]harness.Link{}
	for link := range m.links {
		if len(c.cuts.holders[link]) == 1 {
			open[c.cuts.owner[link]] = append(open[c.cuts.owner[link]], link)
		}
	}
	if err := c.open(ctx, open); err != nil {
		return err // what is cut stays known, so that a second Heal tries again
	}
	for link := range m.links {
		delete(c.cuts.holders[link], m)
		if len(c.cuts.holders[link]) == 0 {
			c.forget(link)
		}
		m.healed = append(m.healed, link)
	}
	clear(m.links)
	return nil
}

func (c *Cluster) forget(link harness.Link) {
	delete(c.cuts.holders, link)
	delete(c.cuts.owner, link)
	delete(c.cuts.carried, link)
}

// open removes the rules of these links from the agents that hold them.
func (c *Cluster) open(ctx context.Context, links map[string][]harness.Link) error {
	var mu sync.Mutex
	return c.parallel(slices.Collect(maps.Keys(links)), func(node string) error {
		mu.Lock()
		a := c.cuts.agents[node]
		mu.Unlock()
		if a == nil {
			return nil // it never ran while they were cut, so it never got its rules
		}
		probe, err := c.Probe(ctx, node)
		if err == nil && !probe.Started.Equal(a.started) {
			// The namespace of a process that has ended dies with the agent, and its rules with it.
			mu.Lock()
			delete(c.cuts.agents, node)
			mu.Unlock()
			return c.remove(ctx, a)
		}
		if _, err := c.exec(ctx, a, append([]string{"heal"}, c.peers(node, links[node])...)...); err != nil {
			return err
		}
		left, err := c.links(ctx, node, a)
		for _, link := range links[node] {
			if _, there := left[link]; there && err == nil {
				err = fmt.Errorf("docker: heal: the rule for %s → %s at %s is still there", link.From, link.To, node)
			}
		}
		return err
	})
}

// Restore heals every cut.
func (c *Cluster) Restore(ctx context.Context) error {
	c.cuts.mu.Lock()
	all := map[*cut]bool{}
	for _, holders := range c.cuts.holders {
		maps.Copy(all, holders)
	}
	c.cuts.mu.Unlock()
	var errs []error
	for m := range all {
		errs = append(errs, m.Heal(ctx))
	}
	return errors.Join(errs...)
}

// Dropped reads the counters that the kernel has now, also of rules that should be gone.
func (m *cut) Dropped(ctx context.Context) (map[harness.Link]uint64, error) {
	c := m.cluster
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	all, err := c.dropped(ctx)
	if err != nil {
		return nil, err
	}
	mine := map[harness.Link]uint64{}
	for link, before := range m.links {
		if packets, found := all[link]; found {
			mine[link] = packets - min(before, packets)
		}
	}
	for _, link := range m.healed {
		if packets, found := all[link]; found && c.cuts.holders[link] == nil {
			mine[link] = packets
		}
	}
	return mine, nil
}

// dropped needs cuts.mu.
func (c *Cluster) dropped(ctx context.Context) (map[harness.Link]uint64, error) {
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
		link, err := c.linkOf(node, rule.Peer, rule.Direction)
		if err != nil {
			return nil, err
		}
		links[link] += rule.Packets
	}
	return links, nil
}

// linkOf is the link that a rule at node for a peer and a direction is about.
func (c *Cluster) linkOf(node string, address netip.Addr, direction string) (harness.Link, error) {
	for name, known := range c.addresses() {
		switch {
		case known != address:
		case direction == "in":
			return harness.Link{From: name, To: node}, nil
		default:
			return harness.Link{From: node, To: name}, nil
		}
	}
	return harness.Link{}, fmt.Errorf("docker: a rule at %s names %s, which is no member", node, address)
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
