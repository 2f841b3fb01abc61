// Package docker runs a cluster in containers: real images, real networks, real kernels. It is the only package
// that imports testcontainers-go and the Docker client.
//
// Every container, network, volume and image that it makes carries the label raftlab.run, so that Sweep finds what a
// killed lab has left.
// Links are cut by a side-car in the member's network namespace (see chaos/agent). Nothing is ever pulled.
package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"raftlab/harness"
)

// Options say how many members to run and under which name. Zero values mean the default.
type Options struct {
	Nodes int    // default 5, at most 200
	RunID string // required: the value of the label raftlab.run
	Port  int    // on which every member listens, default 8000
	Data  string // directory of the member's volume, default /data
	// AgentImage holds the side-car's program at AgentPath. Default: the image of the first member, /raftlab-agent.
	AgentImage string
	AgentPath  string
	// Disks puts a disk that can be broken under each member: see CheckDisks for what it takes. Its files are in the volume of
	// the member, below /raftlab-disk.
	Disks bool
	// DiskSize, in bytes, makes each of these disks a tmpfs of that size, which can be filled. Its files are in memory, and outlive
	// the member's process, but not the cluster. Zero: a volume as any other.
	DiskSize   int64
	FuseDevice string // of the engine's machine, default /dev/fuse
	// Grace is how long the first member may take alone before the others are started: a store that is founded
	// by one member is ready by then, one that needs a majority never will be. Default 3 s.
	Grace time.Duration
	// Failed, if set, gets what there is of a cluster that did not start, before it is removed and its logs with it.
	Failed func(harness.Cluster)
}

func (o *Options) defaults() error {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.Nodes, 5}, {&o.Port, 8000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Data == "" {
		o.Data = "/data"
	}
	if o.AgentPath == "" {
		o.AgentPath = "/raftlab-agent"
	}
	if o.FuseDevice == "" {
		o.FuseDevice = "/dev/fuse"
	}
	if o.Grace == 0 {
		o.Grace = 3 * time.Second
	}
	if o.RunID == "" || o.Nodes < 0 || o.Nodes > membersMax {
		return fmt.Errorf("docker: run id %q, %d nodes: there must be an id, and 1 to %d nodes", o.RunID, o.Nodes, membersMax)
	}
	return nil
}

// Cluster is a set of containers on one network. It is safe for concurrent use.
type Cluster struct {
	system   harness.System
	options  Options
	engine   *engine
	provider *testcontainers.DockerProvider
	host     string // where published ports are reached
	subnet   netip.Prefix
	cuts     cuts
	disks    disks

	mu      sync.RWMutex
	places  []harness.Place
	members map[string]*member // by name, those that were dropped too
	former  []string
	made    int // members so far: names and addresses are never given twice
}

// member is one container. It keeps its id over restarts; its process, its network namespace and its published
// port are new each time. One that is wiped gets another container, for its arguments are those of a newcomer.
type member struct {
	name    string
	address netip.Addr
	image   string

	mu        sync.Mutex
	container string   // id
	earlier   []string // ids of the containers before it was wiped, which are kept for their logs
	endpoint  string   // empty: ask the engine
}

var (
	_ harness.Cluster   = (*Cluster)(nil)
	_ harness.Killer    = (*Cluster)(nil)
	_ harness.Pauser    = (*Cluster)(nil)
	_ harness.Networker = (*Cluster)(nil)
	_ harness.Member    = (*Cluster)(nil)
	_ harness.Shaper    = (*Cluster)(nil)
)

// membersMax is how many addresses there are for members, with those that come later.
const membersMax = 200

// closeTimeout bounds the removal of everything, on a context of its own: the run's may have ended.
const closeTimeout = 60 * time.Second

// Start runs all members and returns when every one is Ready. On an error nothing is left behind.
func Start(ctx context.Context, system harness.System, o Options) (*Cluster, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	e, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{system: system, options: o, engine: e, members: map[string]*member{}}
	c.cuts.init()
	if err = c.create(ctx); err == nil {
		err = c.startAll(ctx)
	}
	if err != nil {
		if o.Failed != nil {
			o.Failed(c)
		}
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// create makes the network, the volumes and the containers, all not yet running.
func (c *Cluster) create(ctx context.Context) error {
	var err error
	if c.provider, err = c.engine.provider(); err != nil {
		return err
	}
	c.host = "127.0.0.1"
	if !c.engine.local {
		if c.host, err = c.provider.DaemonHost(ctx); err != nil {
			return fmt.Errorf("docker: %w", err)
		}
	}
	for i := range c.options.Nodes {
		c.places = append(c.places, harness.Place{
			Name: fmt.Sprintf("n%d", i+1), Listen: fmt.Sprintf("0.0.0.0:%d", c.options.Port), Data: c.options.Data,
			// The images are looked for before anything is made; the address comes with the network.
		})
	}
	for _, place := range c.places {
		spec := c.system.Spec(place, c.places)
		if spec.Image == "" {
			return fmt.Errorf("docker: %s has no image: it can only run as a process: %w", c.system.Name(), harness.ErrUnsupported)
		}
		if _, err := c.engine.findImage(ctx, spec.Image); err != nil {
			return err
		}
		if c.options.AgentImage == "" {
			c.options.AgentImage = spec.Image
		}
	}
	if _, err := c.engine.findImage(ctx, c.options.AgentImage); err != nil {
		return err
	}
	if c.options.Disks {
		if err := c.prepareDisks(ctx); err != nil {
			return err
		}
	}
	if c.subnet, err = c.engine.createNetwork(ctx, c.objectName("net"), c.labels("network", "")); err != nil {
		return err
	}
	for i := range c.places {
		c.places[i].Address = fmt.Sprintf("%s:%d", c.addressOf(i+1), c.options.Port)
	}
	for i, place := range c.places {
		m := &member{name: place.Name, address: c.addressOf(i + 1)}
		if err := c.createContainer(ctx, m, place, c.places); err != nil {
			return err
		}
		c.members[place.Name] = m
	}
	c.made = len(c.places)
	return nil
}

// addressOf is where the nth member is reached by the others.
func (c *Cluster) addressOf(n int) netip.Addr { return host(c.subnet, 10+n) }

func (c *Cluster) objectName(what string) string { return "raftlab-" + c.options.RunID + "-" + what }

func (c *Cluster) labels(role, node string) map[string]string {
	return map[string]string{labelRun: c.options.RunID, labelRole: role, labelNode: node}
}

// createContainer makes the member's container, on a new volume. It does not run yet.
func (c *Cluster) createContainer(ctx context.Context, m *member, place harness.Place, all []harness.Place) error {
	spec := c.system.Spec(place, all)
	volume := c.objectName(place.Name)
	if n := len(m.earlier); n > 0 {
		volume += fmt.Sprintf(".%d", n+1)
	}
	if err := c.createVolume(ctx, volume, place.Name); err != nil {
		return fmt.Errorf("docker: volume of %s: %w", place.Name, err)
	}
	env := map[string]string{}
	for _, pair := range spec.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	port, err := network.ParsePort(fmt.Sprintf("%d/tcp", c.options.Port))
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	binding := network.PortBinding{} // the engine chooses the port
	if c.engine.local {
		binding.HostIP = netip.MustParseAddr("127.0.0.1")
	}
	request := testcontainers.ContainerRequest{
		Image: spec.Image, Name: c.objectName(place.Name), Cmd: spec.Args, Env: env,
		Labels:       c.labels("member", place.Name),
		Networks:     []string{c.objectName("net")},
		ExposedPorts: []string{port.String()},
		Mounts:       testcontainers.Mounts(testcontainers.VolumeMount(volume, testcontainers.ContainerMountTarget(place.Data))),
		ConfigModifier: func(config *container.Config) {
			config.Hostname = place.Name
			config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} // the lab asks by itself
		},
		HostConfigModifier: func(hc *container.HostConfig) {
			hc.PortBindings = network.PortMap{port: {binding}}
			hc.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled} // who is killed stays dead
		},
		EndpointSettingsModifier: func(settings map[string]*network.EndpointSettings) {
			for _, s := range settings {
				s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: m.address}
			}
		},
	}
	if c.options.Disks {
		if err := c.onDisk(ctx, &request, place.Data, volume); err != nil {
			return fmt.Errorf("docker: disk of %s: %w", place.Name, err)
		}
	}
	created, err := c.provider.CreateContainer(ctx, request)
	if err != nil {
		return fmt.Errorf("docker: create %s: %w", place.Name, err)
	}
	m.container, m.image = created.GetContainerID(), spec.Image
	if c.options.Disks {
		return c.giveAgent(ctx, m.container)
	}
	return nil
}

// World is "docker".
func (c *Cluster) World() string { return "docker" }

// Places lists the members, the oldest first.
func (c *Cluster) Places() []harness.Place {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.places)
}

func (c *Cluster) member(node string) (*member, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m := c.members[node]
	if m == nil {
		return nil, fmt.Errorf("docker: there is no member %q", node)
	}
	return m, nil
}

// Endpoint is the published port of the member's container. It is asked for once per start of the container:
// the engine gives another port each time.
func (c *Cluster) Endpoint(ctx context.Context, node string) (string, error) {
	m, err := c.member(node)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.endpoint != "" {
		return m.endpoint, nil
	}
	inspected, err := c.engine.api.ContainerInspect(ctx, m.container, client.ContainerInspectOptions{})
	if err != nil {
		return "", fmt.Errorf("docker: endpoint of %s: %w", node, err)
	}
	if !inspected.Container.State.Running || inspected.Container.NetworkSettings == nil {
		return "", fmt.Errorf("docker: %s does not run", node)
	}
	for _, bindings := range inspected.Container.NetworkSettings.Ports {
		for _, b := range bindings {
			m.endpoint = net.JoinHostPort(c.host, b.HostPort)
			return m.endpoint, nil
		}
	}
	return "", fmt.Errorf("docker: %s runs, but its port is not published yet", node)
}

// id is of the container that the member has now.
func (m *member) id() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.container
}

// forget makes the next Endpoint ask the engine.
func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endpoint = ""
}

// Start runs a member whose process has ended, in the same container and on the same volume. What is cut stays
// cut: the container gets a new network namespace without rules, so the other ends take them over before.
func (c *Cluster) Start(ctx context.Context, node string) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	probe, err := c.Probe(ctx, node)
	if err != nil {
		return err
	}
	if probe.State != harness.Exited {
		return fmt.Errorf("docker: start %s: it is %s: kill it first", node, probe.State)
	}
	left, err := c.handOver(ctx, node)
	if err != nil {
		return err
	}
	m.forget()
	if _, err := c.engine.api.ContainerStart(ctx, m.id(), client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("docker: start %s: %w", node, err)
	}
	return errors.Join(c.reapply(ctx, node, left), c.reshape(ctx, node))
}
