package process

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"raftlab/harness"
)

// Kill sends a signal to the member's process group, and returns when the process has ended where the signal is
// SIGKILL. What the member does about other signals Probe shows.
func (c *Cluster) Kill(ctx context.Context, node string, signal syscall.Signal) error {
	proc, err := c.running(node)
	if err != nil {
		return err
	}
	if err := proc.signal(signal); err != nil {
		return fmt.Errorf("process: %s: %w", node, err)
	}
	if signal != syscall.SIGKILL {
		return nil
	}
	return proc.wait(ctx)
}

// Pause stops the member's process without ending it, and returns when the kernel shows it stopped.
func (c *Cluster) Pause(ctx context.Context, node string) error {
	return c.signalUntil(ctx, node, syscall.SIGSTOP, harness.Paused)
}

// Resume lets a paused process go on.
func (c *Cluster) Resume(ctx context.Context, node string) error {
	return c.signalUntil(ctx, node, syscall.SIGCONT, harness.Running)
}

func (c *Cluster) signalUntil(ctx context.Context, node string, signal syscall.Signal, want harness.ProcessState) error {
	proc, err := c.running(node)
	if err != nil {
		return err
	}
	if err := proc.signal(signal); err != nil {
		return fmt.Errorf("process: %s: %w", node, err)
	}
	for {
		probe, err := proc.probe()
		if err != nil {
			return err
		}
		if probe.State == want {
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("process: %s ended while it was to become %s", node, want)
		case <-ctx.Done():
			return fmt.Errorf("process: %s is %s, not yet %s: %w", node, probe.State, want, context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}
