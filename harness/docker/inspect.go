package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"raftlab/harness"
)

// Probe asks the engine, which asks the kernel.
func (c *Cluster) Probe(ctx context.Context, node string) (harness.Probe, error) {
	m, err := c.member(node)
	if err != nil {
		return harness.Probe{}, err
	}
	return c.engine.probe(ctx, m.id())
}

func (e *engine) probe(ctx context.Context, id string) (harness.Probe, error) {
	inspected, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return harness.Probe{}, fmt.Errorf("docker: probe: %w", err)
	}
	state := inspected.Container.State
	if !state.Running { // a paused container is Running too
		return harness.Probe{State: harness.Exited, Exit: state.ExitCode}, nil
	}
	started, err := time.Parse(time.RFC3339Nano, state.StartedAt)
	if err != nil {
		return harness.Probe{}, fmt.Errorf("docker: probe: start time: %w", err)
	}
	probe := harness.Probe{State: harness.Running, PID: state.Pid, Started: started}
	if state.Paused {
		probe.State = harness.Paused
	}
	return probe, nil
}

// Log copies what all processes of the member have written: a container keeps its log over restarts.
func (c *Cluster) Log(ctx context.Context, node string, w io.Writer) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	m.mu.Lock()
	containers := append(slices.Clone(m.earlier), m.container)
	m.mu.Unlock()
	for _, id := range containers {
		if err := c.engine.log(ctx, id, w); err != nil {
			return fmt.Errorf("docker: log of %s: %w", node, err)
		}
	}
	return nil
}

func (e *engine) log(ctx context.Context, id string, w io.Writer) error {
	logs, err := e.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err
	}
	defer logs.Close()
	_, err = stdcopy.StdCopy(w, w, logs)
	return err
}

// Close removes every container, network and volume of the run, even where ctx has ended.
func (c *Cluster) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_, err := c.engine.sweep(ctx, c.options.RunID, nobody)
	if c.provider != nil {
		err = errors.Join(err, c.provider.Close())
	}
	return errors.Join(err, c.engine.close())
}
