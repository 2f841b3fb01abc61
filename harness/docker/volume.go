package docker

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"raftlab/harness"
)

var _ harness.Filler = (*Cluster)(nil)

// DiskSize is what the members were started with.
func (c *Cluster) DiskSize() int64 { return c.options.DiskSize }

// createVolume makes the volume of a member. One with a size is a tmpfs, which the engine mounts for the first container that
// has it and forgets with the last: a container that does nothing else holds it while the member is down.
func (c *Cluster) createVolume(ctx context.Context, name, node string) error {
	o := client.VolumeCreateOptions{Name: name, Labels: c.labels("data", node)}
	if c.options.DiskSize > 0 {
		o.DriverOpts = map[string]string{"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%d,mode=0755", c.options.DiskSize)}
	}
	if _, err := c.engine.api.VolumeCreate(ctx, o); err != nil || c.options.DiskSize == 0 {
		return err
	}
	holder, err := c.engine.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name + "-holder",
		Config: &container.Config{Image: c.options.AgentImage, Entrypoint: []string{c.options.AgentPath}, Cmd: []string{"wait"}, User: "0:0",
			StopSignal: "SIGKILL", Labels: c.labels("agent", node)},
		HostConfig: &container.HostConfig{NetworkMode: "none", CapDrop: []string{"ALL"},
			Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: name, Target: diskBack}}},
	})
	if err != nil {
		return err
	}
	_, err = c.engine.api.ContainerStart(ctx, holder.ID, client.ContainerStartOptions{})
	return err
}
