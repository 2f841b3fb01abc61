package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"raftlab/harness"
	"raftlab/harness/diskfault"
)

var _ harness.Disker = (*Cluster)(nil)

// Paths in the container of a member whose disk can be broken.
const (
	diskBack  = "/raftlab-disk"       // its volume, which the disk keeps the member's files in
	diskAgent = "/raftlab-disk-agent" // a copy of the agent, for the image may be anybody's
)

// onDisk puts the disk that can be broken between the member and its volume: the agent is the container's first process,
// mounts itself over the member's directory and runs above it what the image would have run, as the user that it would have
// been. The mount is in the container's own namespace and ends with it, however that ends.
func (c *Cluster) onDisk(ctx context.Context, r *testcontainers.ContainerRequest, data, volume string) error {
	image, err := c.engine.findImage(ctx, r.Image)
	if err != nil {
		return err
	}
	program := slices.Concat(image.EntryPoint, image.Cmd)
	if len(r.Cmd) > 0 {
		program = slices.Concat(image.EntryPoint, r.Cmd)
	}
	r.Entrypoint = []string{diskAgent}
	r.Cmd = []string{"disk", "--back", diskBack, "--mount", data, "--control", path.Join(diskBack, diskfault.Socket), "--forward"}
	if image.User != "" {
		r.Cmd = append(r.Cmd, "--user", image.User)
	}
	r.Cmd = append(append(r.Cmd, "--"), program...)
	r.Mounts = testcontainers.Mounts(testcontainers.VolumeMount(volume, diskBack))
	configure, host := r.ConfigModifier, r.HostConfigModifier
	r.ConfigModifier = func(config *container.Config) {
		configure(config)
		config.User = "0:0"
	}
	r.HostConfigModifier = func(hc *container.HostConfig) {
		host(hc)
		hc.Tmpfs = map[string]string{data: ""} // something empty to mount over
		c.disks.grant(hc, c.options.FuseDevice)
	}
	return nil
}

// disks is what containers need of the engine to mount a disk.
type disks struct {
	security []string // options that let mount(2) be called
	agent    []byte   // a tar of the agent as diskAgent
}

// grant gives a container the device and the capability.
func (d disks) grant(hc *container.HostConfig, device string) {
	hc.Devices = append(hc.Devices, container.DeviceMapping{PathOnHost: device, PathInContainer: "/dev/fuse", CgroupPermissions: "rw"})
	hc.CapAdd = append(hc.CapAdd, "SYS_ADMIN")
	hc.SecurityOpt = append(hc.SecurityOpt, d.security...)
}

// securityFor lifts what forbids a mount in spite of SYS_ADMIN, where the engine has it at all.
func (e *engine) securityFor(ctx context.Context) ([]string, error) {
	found, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker: info: %w", err)
	}
	var lifted []string
	for _, option := range found.Info.SecurityOptions {
		switch {
		case strings.HasPrefix(option, "name=apparmor"):
			lifted = append(lifted, "apparmor=unconfined")
		case strings.HasPrefix(option, "name=selinux"):
			lifted = append(lifted, "label=disable")
		}
	}
	return lifted, nil
}

// prepareDisks reads the agent out of its image, once for all members.
func (c *Cluster) prepareDisks(ctx context.Context) (err error) {
	if c.disks.security, err = c.engine.securityFor(ctx); err != nil {
		return err
	}
	fail := func(err error) error {
		return fmt.Errorf("docker: read %s of %s: %w", c.options.AgentPath, c.options.AgentImage, err)
	}
	holder, err := c.engine.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   c.objectName("agent"),
		Config: &container.Config{Image: c.options.AgentImage, Entrypoint: []string{c.options.AgentPath}, Labels: c.labels("agent", "")},
	})
	if err != nil {
		return fail(err)
	}
	defer c.remove(ctx, &agent{container: holder.ID})
	program, err := c.engine.readFile(ctx, holder.ID, c.options.AgentPath)
	if err != nil {
		return fail(err)
	}
	c.disks.agent, err = archive(file{strings.TrimPrefix(diskAgent, "/"), 0o755, program})
	return err
}

// readFile reads one file of a container, which need not run.
func (e *engine) readFile(ctx context.Context, id, path string) ([]byte, error) {
	copied, err := e.api.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: path})
	if err != nil {
		return nil, err
	}
	defer copied.Content.Close()
	archived := tar.NewReader(copied.Content)
	if _, err := archived.Next(); err != nil {
		return nil, err
	}
	return io.ReadAll(archived)
}

// giveAgent copies the agent into a container that does not run yet.
func (c *Cluster) giveAgent(ctx context.Context, id string) error {
	_, err := c.engine.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: bytes.NewReader(c.disks.agent)})
	if err != nil {
		return fmt.Errorf("docker: copy the agent: %w", err)
	}
	return nil
}

// Disks says whether the members were started on disks that can be broken.
func (c *Cluster) Disks() error {
	if !c.options.Disks {
		return fmt.Errorf("docker: no member was started on a disk that can be broken: %w", harness.ErrUnsupported)
	}
	return nil
}

// SetDisk changes how a disk behaves.
func (c *Cluster) SetDisk(ctx context.Context, node string, d harness.Disk) error {
	_, err := c.askDisk(ctx, node, diskfault.Request{Set: &d})
	return err
}

// CutPower ends the members at once, as near as goes: an exec takes its time, so each is ready before any is told. The
// agent ends with 137, and its container with it.
func (c *Cluster) CutPower(ctx context.Context, nodes []string, cut harness.PowerCut) error {
	question, err := json.Marshal(diskfault.Request{Cut: &cut})
	if err != nil {
		return fmt.Errorf("docker: power cut: %w", err)
	}
	nodes = slices.Clone(nodes) // which parallel sorts
	var mu sync.Mutex
	open := map[string]*session{}
	err = c.parallel(nodes, func(node string) error {
		s, err := c.openDisk(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		open[node] = s
		return err
	})
	if err != nil {
		for _, s := range open {
			if s != nil {
				err = errors.Join(err, s.end(ctx))
			}
		}
		return err
	}
	return c.parallel(nodes, func(node string) error { return c.cutPower(ctx, node, open[node], question) })
}

func (c *Cluster) cutPower(ctx context.Context, node string, s *session, question []byte) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	var reply diskfault.Reply
	if err := s.ask(ctx, question, &reply); err == nil && reply.Error != "" {
		return fmt.Errorf("docker: power cut of %s: %w", node, errors.Join(errors.New(reply.Error), s.end(ctx)))
	}
	// Where there was no answer it has ended with the container that was to give it, and what the disk has saved says more.
	err = c.engine.ended(ctx, node, m.id())
	s.attached.Close()
	<-s.done
	m.forget()
	return err
}

// DiskCounters asks the disk, or reads what it has saved where the container does not run.
func (c *Cluster) DiskCounters(ctx context.Context, node string) (harness.DiskCounters, error) {
	probe, err := c.Probe(ctx, node)
	if err != nil {
		return harness.DiskCounters{}, err
	}
	if probe.State != harness.Exited {
		return c.askDisk(ctx, node, diskfault.Request{})
	}
	m, err := c.member(node)
	if err != nil {
		return harness.DiskCounters{}, err
	}
	saved, err := c.engine.readFile(ctx, m.id(), path.Join(diskBack, diskfault.Saved))
	if errdefs.IsNotFound(err) {
		return harness.DiskCounters{}, nil
	}
	if err != nil {
		return harness.DiskCounters{}, fmt.Errorf("docker: disk of %s: %w", node, err)
	}
	return diskfault.ReadSaved(bytes.NewReader(saved))
}

// openDisk runs the agent in the member's own container: the socket of its disk is there.
func (c *Cluster) openDisk(ctx context.Context, node string) (*session, error) {
	if err := c.Disks(); err != nil {
		return nil, err
	}
	m, err := c.member(node)
	if err != nil {
		return nil, err
	}
	s, err := c.engine.converse(ctx, m.id(), diskAgent, "disk-ask", path.Join(diskBack, diskfault.Socket))
	if err != nil {
		return nil, fmt.Errorf("docker: disk of %s: %w", node, err)
	}
	return s, nil
}

func (c *Cluster) askDisk(ctx context.Context, node string, q diskfault.Request) (harness.DiskCounters, error) {
	var reply diskfault.Reply
	s, err := c.openDisk(ctx, node)
	if err != nil {
		return reply.Counters, err
	}
	question, err := json.Marshal(q)
	if err == nil {
		err = s.ask(ctx, question, &reply)
	}
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	if err = errors.Join(err, s.end(ctx)); err != nil {
		err = fmt.Errorf("docker: disk of %s: %w", node, err)
	}
	return reply.Counters, err
}
