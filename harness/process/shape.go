package process

import (
	"context"
	"fmt"

	"raftlab/harness"
	"raftlab/harness/internal/stream"
)

// Shape delays and slows what the relay carries on these links. A loss is seen as what TCP makes of it: what was lost comes
// 200 ms later or more, and what is behind it waits. Order and copies of packets are TCP's own business, so a relay can
// change neither.
func (c *Cluster) Shape(_ context.Context, links []harness.Link, s harness.Shape) (harness.Shaping, error) {
	if err := c.CanShape(s); err != nil {
		return nil, err
	}
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	for _, link := range links {
		if c.relay.gates[link] == nil {
			return nil, fmt.Errorf("process: shape: there is no link from %q to %q", link.From, link.To)
		}
	}
	made := &shaping{relay: c.relay, shaped: map[harness.Link]*stream.Shaped{}}
	for _, link := range links {
		if made.shaped[link] == nil {
			made.shaped[link] = c.relay.gates[link].Shape(stream.Shape{Loss: s.Loss, Delay: s.Delay, Jitter: s.Jitter, Rate: s.Rate})
		}
	}
	return made, nil
}

// CanShape refuses to reorder and to duplicate.
func (c *Cluster) CanShape(s harness.Shape) error {
	if s.Reorder > 0 || s.Duplicate > 0 {
		return fmt.Errorf("process: shape: a relay carries streams, in which packets have no order and no copies: %w", harness.ErrUnsupported)
	}
	return nil
}

// shaping is guarded by relay.mu.
type shaping struct {
	relay  *relay
	shaped map[harness.Link]*stream.Shaped
}

func (s *shaping) Passed(context.Context) (map[harness.Link]harness.Passed, error) {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	passed := map[harness.Link]harness.Passed{}
	for link, shaped := range s.shaped {
		p := shaped.Passed()
		passed[link] = harness.Passed{Packets: p.Chunks, Bytes: p.Bytes, Lost: p.Lost, Released: p.Released, Held: p.Held}
	}
	return passed, nil
}

func (s *shaping) Heal(context.Context) error {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	for link, shaped := range s.shaped {
		s.relay.gates[link].Unshape(shaped)
	}
	clear(s.shaped)
	return nil
}
