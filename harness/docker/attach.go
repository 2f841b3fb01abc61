package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/client"

	"raftlab/harness"
	"raftlab/internal/nearest"
)

// Labels that compose gives to its containers, old and new alike.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
)

// Attach takes the members of a cluster that docker compose runs: one container per service, on one network. The cluster
// stays compose's own; Close ends only the connection, so that what was cut stays cut. Without a project there must be
// only one that has an agent's image.
func Attach(ctx context.Context, system harness.System, project string) (*Cluster, error) {
	e, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{system: system, engine: e, members: map[string]*member{}}
	c.cuts.init()
	if err = c.attach(ctx, project); err != nil {
		return nil, errors.Join(err, c.Detach())
	}
	return c, nil
}

func (c *Cluster) attach(ctx context.Context, project string) (err error) {
	if c.provider, err = c.engine.provider(); err != nil {
		return err
	}
	c.host = "127.0.0.1"
	filters := client.Filters{}.Add("label", composeProject)
	list, err := c.engine.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return fmt.Errorf("docker: list containers: %w", err)
	}
	var projects, all []string
	for _, found := range list.Items {
		name, service := found.Labels[composeProject], found.Labels[composeService]
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
		if project != "" && name != project || project == "" && !strings.HasPrefix(found.Image, "raftlab/node") {
			continue
		}
		if !slices.Contains(projects, name) {
			projects = append(projects, name)
		}
		if err := c.adopt(ctx, found.ID, service); err != nil {
			return err
		}
	}
	slices.Sort(projects)
	switch len(projects) {
	case 0:
		if project != "" && len(all) > 0 {
			return fmt.Errorf("docker: project %q of docker compose is not known; %s", project, nearest.Hint(project, all, ""))
		}
		return fmt.Errorf("docker: no cluster of docker compose was found: `make up` starts one, or name its project")
	case 1:
	default:
		return fmt.Errorf("docker: there are several projects: %s; name one", strings.Join(projects, ", "))
	}
	slices.SortFunc(c.places, func(a, b harness.Place) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	first, err := c.member(c.places[0].Name)
	if err != nil {
		return err
	}
	c.options = Options{RunID: "by-hand-" + projects[0], AgentImage: first.image}
	if err := c.options.defaults(); err != nil {
		return err
	}
	return c.findAgents(ctx)
}

// Project is the name of the compose project.
func (c *Cluster) Project() string { return strings.TrimPrefix(c.options.RunID, "by-hand-") }

// adopt makes a member of a container. One that does not run has no address on the network.
func (c *Cluster) adopt(ctx context.Context, id, service string) error {
	inspected, err := c.engine.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("docker: %s: %w", service, err)
	}
	found := inspected.Container
	m := &member{name: service, container: id, image: found.Config.Image}
	if found.NetworkSettings != nil {
		for _, n := range found.NetworkSettings.Networks {
			m.address = n.IPAddress
		}
	}
	place := harness.Place{Name: service, Address: service + ":8000"}
	for i, arg := range found.Config.Cmd {
		if arg == "--advertise" && i+1 < len(found.Config.Cmd) {
			place.Address = found.Config.Cmd[i+1]
		}
	}
	c.members[service] = m
	c.places = append(c.places, place)
	return nil
}

// findAgents takes over the side-cars that an earlier call has left in members that are the same process still.
func (c *Cluster) findAgents(ctx context.Context) error {
	filters := client.Filters{}.Add("label", labelRun+"="+c.options.RunID).Add("label", labelRole+"=agent")
	list, err := c.engine.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return fmt.Errorf("docker: list agents: %w", err)
	}
	for _, found := range list.Items {
		node := found.Labels[labelNode]
		a := &agent{container: found.ID}
		probe, err := c.Probe(ctx, node)
		counted, unread := c.counters(ctx, a)
		if err != nil || unread != nil || probe.State == harness.Exited {
			if err := c.remove(ctx, a); err != nil { // its namespace is gone, and its rules with it
				return err
			}
			continue
		}
		a.started = probe.Started
		c.cuts.agents[node] = a
		for _, rule := range counted.Rules {
			if link, err := c.linkOf(node, rule.Peer, rule.Direction); err == nil {
				c.cuts.owner[link], c.cuts.holders[link] = node, map[*cut]bool{nil: true}
			}
		}
	}
	return nil
}

// Rules counts what the rules that are in force have dropped.
func (c *Cluster) Rules(ctx context.Context) (map[harness.Link]uint64, error) {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	return c.dropped(ctx)
}

// HealAttached removes every rule of an attached cluster, and the side-cars.
func (c *Cluster) HealAttached(ctx context.Context) error {
	c.cuts.mu.Lock()
	defer c.cuts.mu.Unlock()
	var errs []error
	for node, a := range c.cuts.agents {
		_, err := c.exec(ctx, a, "heal")
		if err == nil {
			err = c.remove(ctx, a)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("docker: heal %s: %w", node, err))
			continue
		}
		delete(c.cuts.agents, node)
	}
	return errors.Join(errs...)
}

// Detach ends the connection to the engine, and nothing else.
func (c *Cluster) Detach() error {
	var err error
	if c.provider != nil {
		err = c.provider.Close()
	}
	return errors.Join(err, c.engine.close())
}
