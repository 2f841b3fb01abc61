package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"raftlab/harness"
	"raftlab/harness/diskfault"
)

// CheckNetwork says whether links can be cut in containers of this engine (harness.ErrUnsupported if not): it runs `agent
// check` in one that has NET_ADMIN and a network namespace of its own. Of o it takes RunID, AgentImage and AgentPath.
func CheckNetwork(ctx context.Context, o Options) error {
	return check(ctx, o, func(c *Cluster) error { return c.checkNetwork(ctx, "NET_ADMIN") })
}

// CheckDisks says whether members can be started above disks that can be broken (harness.ErrUnsupported if not, with what
// lacks): it runs `agent disk-check` in a container that has /dev/fuse and SYS_ADMIN. Of o it takes RunID, AgentImage,
// AgentPath and FuseDevice.
func CheckDisks(ctx context.Context, o Options) error {
	return check(ctx, o, func(c *Cluster) error {
		security, err := c.engine.securityFor(ctx)
		if err != nil {
			return err
		}
		hc := &container.HostConfig{}
		disks{security: security}.grant(hc, c.options.FuseDevice)
		return c.checkDisks(ctx, hc)
	})
}

// check runs one in a cluster without members, and removes what it made.
func check(ctx context.Context, o Options, do func(*Cluster) error) error {
	if err := o.defaults(); err != nil {
		return err
	}
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	c := &Cluster{options: o, engine: e}
	if _, err = e.findImage(ctx, o.AgentImage); err == nil {
		err = do(c)
	}
	if closed := c.Close(ctx); err == nil {
		err = closed
	}
	return err
}

func (c *Cluster) checkNetwork(ctx context.Context, capabilities ...string) error {
	id, err := c.startCheck(ctx, []string{"wait"}, &container.HostConfig{CapDrop: []string{"ALL"}, CapAdd: capabilities})
	if err != nil {
		return fmt.Errorf("docker: check: %w", err)
	}
	_, err = c.engine.exec(ctx, id, c.options.AgentPath, "check")
	return err
}

// startCheck starts the agent in a container without a network.
func (c *Cluster) startCheck(ctx context.Context, args []string, hc *container.HostConfig) (id string, err error) {
	hc.NetworkMode = "none"
	created, err := c.engine.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:       c.objectName("check"),
		Config:     &container.Config{Image: c.options.AgentImage, Entrypoint: []string{c.options.AgentPath}, Cmd: args, User: "0:0", StopSignal: "SIGKILL", Labels: c.labels("agent", "")},
		HostConfig: hc,
	})
	if err != nil {
		return "", err
	}
	_, err = c.engine.api.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
	return created.ID, err
}

func (c *Cluster) checkDisks(ctx context.Context, hc *container.HostConfig) error {
	fail := func(err error) error {
		return fmt.Errorf("docker: disks cannot be broken in containers of this engine: %w", err)
	}
	const dir = "/raftlab-check"
	hc.Tmpfs = map[string]string{dir: ""}
	id, err := c.startCheck(ctx, []string{"disk-check", dir}, hc)
	if err != nil && !errdefs.IsUnavailable(err) && strings.Contains(err.Error(), c.options.FuseDevice) {
		return fail(fmt.Errorf("%w: it has no %s for them (modprobe fuse on its machine): %w", harness.ErrUnsupported, c.options.FuseDevice, err))
	}
	if err != nil {
		return fail(err)
	}
	if err := c.engine.ended(ctx, "the check", id); err != nil {
		return fail(err)
	}
	probe, err := c.engine.probe(ctx, id)
	if err != nil {
		return fail(err)
	}
	var said bytes.Buffer
	if err := c.engine.log(ctx, id, &said); err != nil {
		return fail(err)
	}
	text := errors.New(strings.TrimSpace(said.String()))
	switch probe.Exit {
	case 0:
		return nil
	case diskfault.ExitUnsupported:
		return fail(fmt.Errorf("%w: %w", harness.ErrUnsupported, text))
	}
	return fail(fmt.Errorf("the agent of %s ended with %d (an old image? `make image` makes another): %w", c.options.AgentImage, probe.Exit, text))
}
