package process

import (
	"context"
	"fmt"
	"maps"

	"raftlab/harness"
)

// cut is some links of a relay that are held shut.
type cut struct {
	relay *relay
	links map[harness.Link]uint64 // what its gate had withheld before; nothing once it is healed
}

// cut shuts the gates of these links, or none of them.
func (r *relay) cut(links []harness.Link) (*cut, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, link := range links {
		if r.gates[link] == nil {
			return nil, fmt.Errorf("process: cut: there is no link from %q to %q", link.From, link.To)
		}
	}
	c := &cut{relay: r, links: map[harness.Link]uint64{}}
	for _, link := range links {
		if _, named := c.links[link]; !named {
			c.links[link] = r.gates[link].Shut()
		}
	}
	r.cuts[c] = true
	return c, nil
}

// restore heals every cut; what was withheld then arrives.
func (r *relay) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.cuts {
		c.open()
	}
}

// Dropped counts what the gates have withheld since this cut began.
func (c *cut) Dropped(context.Context) (map[harness.Link]uint64, error) {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	dropped := maps.Clone(c.links)
	for link, before := range c.links {
		dropped[link] = c.relay.gates[link].Withheld() - before
	}
	return dropped, nil
}

// Heal opens the gates that no other cut holds shut; what was withheld there then arrives.
func (c *cut) Heal(context.Context) error {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	c.open()
	return nil
}

// open needs relay.mu.
func (c *cut) open() {
	for link := range c.links {
		c.relay.gates[link].Open()
	}
	clear(c.links)
	delete(c.relay.cuts, c)
}
