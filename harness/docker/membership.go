package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/moby/moby/client"

	"raftlab/harness"
)

// addresses of all that are or were members.
func (c *Cluster) addresses() map[string]netip.Addr {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := map[string]netip.Addr{}
	for name, m := range c.members {
		all[name] = m.address
	}
	return all
}

// Add starts a container with a name, an address and a volume that nothing in this run has had.
func (c *Cluster) Add(ctx context.Context) (harness.Place, error) {
	c.mu.Lock()
	c.made++
	n, places := c.made, slices.Clone(c.places)
	c.mu.Unlock()
	if n > membersMax {
		return harness.Place{}, fmt.Errorf("docker: add: %d members in one run: no address is left", n)
	}
	m := &member{name: fmt.Sprintf("n%d", n), address: c.addressOf(n)}
	place := harness.Place{
		Name: m.name, Address: fmt.Sprintf("%s:%d", m.address, c.options.Port),
		Listen: fmt.Sprintf("0.0.0.0:%d", c.options.Port), Data: c.options.Data, Join: joins(places),
	}
	if err := c.createContainer(ctx, m, place, append(places, place)); err != nil {
		return harness.Place{}, err
	}
	if _, err := c.engine.api.ContainerStart(ctx, m.container, client.ContainerStartOptions{}); err != nil {
		return harness.Place{}, fmt.Errorf("docker: add %s: %w", place.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[place.Name] = m
	c.places = append(c.places, place)
	return place, nil
}

func joins(places []harness.Place) []string {
	var all []string
	for _, place := range places {
		all = append(all, place.Address)
	}
	return all
}

// Drop ends the container with SIGKILL and takes the member off the list. The container stays until Close, for its log.
func (c *Cluster) Drop(ctx context.Context, node string) error {
	probe, err := c.Probe(ctx, node)
	if err != nil {
		return err
	}
	if probe.State != harness.Exited {
		if err := c.Kill(ctx, node, syscall.SIGKILL); err != nil {
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

// Wipe puts another container, on another volume, in the place of one that has ended. The old one gets another name and
// stays until Close, for its log.
func (c *Cluster) Wipe(ctx context.Context, node string) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	probe, err := c.Probe(ctx, node)
	if err != nil {
		return err
	}
	if probe.State != harness.Exited {
		return fmt.Errorf("docker: wipe %s: it is %s: kill it first", node, probe.State)
	}
	places := c.Places()
	i := slices.IndexFunc(places, func(p harness.Place) bool { return p.Name == node })
	if i < 0 {
		return fmt.Errorf("docker: wipe: %s is no member any more", node)
	}
	place, others := places[i], slices.Delete(slices.Clone(places), i, i+1)
	place.Join = joins(others)
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.container
	name := fmt.Sprintf("%s.%d", c.objectName(node), len(m.earlier)+1)
	if _, err := c.engine.api.ContainerRename(ctx, old, client.ContainerRenameOptions{NewName: name}); err != nil {
		return fmt.Errorf("docker: wipe %s: %w", node, err)
	}
	m.earlier, m.endpoint = append(m.earlier, old), ""
	if err := c.createContainer(ctx, m, place, append(others, place)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i = slices.IndexFunc(c.places, func(p harness.Place) bool { return p.Name == node })
	if i < 0 {
		return errors.New("docker: wipe: " + node + " was dropped meanwhile")
	}
	c.places[i] = place
	return nil
}

// Former are those that were dropped.
func (c *Cluster) Former() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.former)
}
