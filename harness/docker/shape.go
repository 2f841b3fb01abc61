package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"raftlab/harness"
)

// shaping is what one call of Shape holds: one `agent shape` for each member at which packets are held. It is guarded by
// cuts.mu.
type shaping struct {
	cluster *Cluster
	number  int
	shape   harness.Shape
	plan    map[string][]harness.Link // by the member at which they are shaped
	shapers map[string]*shaper
	carried map[harness.Link]harness.Passed // by shapers that are gone
}

// Shape holds the packets of these links in user space (NFQUEUE), in the network namespace of one of their ends.
func (c *Cluster) Shape(ctx context.Context, links []harness.Link, shape harness.Shape) (harness.Shaping, error) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	for _, link := range links {
		_, from := c.member(link.From)
		_, to := c.member(link.To)
		if from != nil || to != nil || link.From == link.To {
			return nil, fmt.Errorf("docker: shape: there is no link from %q to %q", link.From, link.To)
		}
	}
	running, err := c.running(ctx)
	if err != nil {
		return nil, err
	}
	c.cuts.shaped++
	s := &shaping{cluster: c, number: c.cuts.shaped, shape: shape, plan: map[string][]harness.Link{},
		shapers: map[string]*shaper{}, carried: map[harness.Link]harness.Passed{}}
	if s.plan = owners(links, running); shape.Duplicate > 0 { // copies are made where packets are sent
		s.plan = map[string][]harness.Link{}
		for _, link := range links {
			s.plan[link.From] = append(s.plan[link.From], link)
		}
	}
	c.cuts.shapes = append(c.cuts.shapes, s)
	var mu sync.Mutex
	nodes := slices.DeleteFunc(slices.Collect(maps.Keys(s.plan)), func(node string) bool { return !running[node] })
	return s, c.parallel(nodes, func(node string) error { return s.begin(ctx, node, &mu) })
}

// CanShape refuses nothing: whether the kernel queues packets to user space shows when it is asked to.
func (c *Cluster) CanShape(harness.Shape) error { return nil }

// begin shapes what is to be shaped at a member that runs. mu guards the maps.
func (s *shaping) begin(ctx context.Context, node string, mu *sync.Mutex) error {
	c := s.cluster
	mu.Lock()
	have := c.cuts.agents[node]
	mu.Unlock()
	a, err := c.agentFor(ctx, node, have)
	if err != nil {
		return err
	}
	mu.Lock()
	c.cuts.agents[node] = a
	mu.Unlock()
	args := []string{"shape", fmt.Sprintf("--number=%d", s.number), fmt.Sprintf("--loss=%g", s.shape.Loss),
		fmt.Sprintf("--reorder=%g", s.shape.Reorder), fmt.Sprintf("--duplicate=%g", s.shape.Duplicate),
		"--delay=" + s.shape.Delay.String(), "--jitter=" + s.shape.Jitter.String(), fmt.Sprintf("--rate=%d", s.shape.Rate)}
	made, err := c.engine.converse(ctx, a.container, c.options.AgentPath, append(args, c.peers(node, s.plan[node])...)...)
	if err != nil {
		return fmt.Errorf("docker: shape at %s: %w", node, err)
	}
	mu.Lock()
	defer mu.Unlock()
	s.shapers[node] = &shaper{session: made}
	return nil
}

// Passed asks every shaper.
func (s *shaping) Passed(ctx context.Context) (map[harness.Link]harness.Passed, error) {
	s.cluster.cuts.mu.Lock()
	defer s.cluster.cuts.mu.Unlock()
	var mu sync.Mutex
	passed := maps.Clone(s.carried)
	err := s.cluster.parallel(slices.Collect(maps.Keys(s.shapers)), func(node string) error {
		counted, err := s.shapers[node].passed(ctx)
		mu.Lock()
		defer mu.Unlock()
		for _, p := range counted {
			link, err := s.cluster.linkOf(node, p.Peer, p.Direction)
			if err != nil {
				return err
			}
			passed[link] = passed[link].Add(p.Passed)
		}
		return err
	})
	return passed, err
}

// Heal ends every shaper: it takes its rules with it, and says so by its exit code.
func (s *shaping) Heal(ctx context.Context) error {
	c := s.cluster
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var mu sync.Mutex
	err := c.parallel(slices.Collect(maps.Keys(s.shapers)), func(node string) error {
		mu.Lock()
		made, a := s.shapers[node], c.cuts.agents[node]
		mu.Unlock()
		probe, err := c.Probe(ctx, node)
		if gone := a == nil || err == nil && !probe.Started.Equal(a.started); !gone {
			if err := made.end(ctx); err != nil {
				return fmt.Errorf("docker: shape at %s: %w", node, err)
			}
		} else {
			made.attached.Close() // its namespace is gone, and its rules with it
		}
		mu.Lock()
		defer mu.Unlock()
		delete(s.shapers, node)
		return nil
	})
	if err == nil {
		clear(s.carried)
		c.cuts.shapes = slices.DeleteFunc(c.cuts.shapes, func(other *shaping) bool { return other == s })
	}
	return err
}

// reshape gives a member that was just started the shapers that it had before.
func (c *Cluster) reshape(ctx context.Context, node string) error {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var errs []error
	var mu sync.Mutex
	for _, s := range c.cuts.shapes {
		if old := s.shapers[node]; old != nil {
			old.attached.Close()
			for _, p := range old.last {
				if link, err := c.linkOf(node, p.Peer, p.Direction); err == nil {
					s.carried[link] = s.carried[link].Add(p.Passed)
				}
			}
			delete(s.shapers, node)
		}
		if len(s.plan[node]) > 0 {
			errs = append(errs, s.begin(ctx, node, &mu))
		}
	}
	return errors.Join(errs...)
}

// shaper is one `agent shape` that runs. It ends when its standard input does, also where that is because the lab is gone.
type shaper struct {
	*session
	last []peerPassed
}

type peerPassed struct {
	Peer      netip.Addr    `json:"peer"`
	Direction string        `json:"direction"`
	Held      time.Duration `json:"held_ns"`
	harness.Passed
}

func (s *shaper) passed(ctx context.Context) ([]peerPassed, error) {
	var read []peerPassed
	if err := s.ask(ctx, nil, &read); err != nil {
		return s.last, err
	}
	for i := range read {
		read[i].Passed.Held = read[i].Held
	}
	s.last = read
	return read, nil
}
