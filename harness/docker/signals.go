package docker

import (
	"context"
	"fmt"
	"syscall"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Kill sends a signal to the member's process, and returns when the container has ended where it is SIGKILL.
func (c *Cluster) Kill(ctx context.Context, node string, signal syscall.Signal) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	m.forget()
	if _, err := c.engine.api.ContainerKill(ctx, m.id(), client.ContainerKillOptions{Signal: unix.SignalName(signal)}); err != nil {
		return fmt.Errorf("docker: kill %s: %w", node, err)
	}
	if signal != syscall.SIGKILL {
		return nil
	}
	return c.engine.ended(ctx, node, m.id())
}

// ended waits until the container of what has ended.
func (e *engine) ended(ctx context.Context, what, id string) error {
	wait := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		return fmt.Errorf("docker: %s has not ended: %w", what, err)
	}
}

// Pause freezes every process of the member's container.
func (c *Cluster) Pause(ctx context.Context, node string) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	if _, err := c.engine.api.ContainerPause(ctx, m.id(), client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("docker: pause %s: %w", node, err)
	}
	return nil
}

// Resume lets a paused member go on.
func (c *Cluster) Resume(ctx context.Context, node string) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	if _, err := c.engine.api.ContainerUnpause(ctx, m.id(), client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("docker: resume %s: %w", node, err)
	}
	return nil
}
