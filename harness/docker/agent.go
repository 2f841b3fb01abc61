package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"raftlab/harness"
)

// agent is an idle container in the network namespace of one process of a member. Commands are run in it by exec.
type agent struct {
	container string
	started   time.Time // of the member's process whose namespace it shares
}

// counters is what `agent counters` prints.
type counters struct {
	Table bool `json:"table"`
	Rules []struct {
		Peer      netip.Addr `json:"peer"`
		Direction string     `json:"direction"`
		Packets   uint64     `json:"packets"`
	} `json:"rules"`
}

// agentFor returns the agent in the namespace that the member has now. have is the one that it had, or nil.
func (c *Cluster) agentFor(ctx context.Context, node string, have *agent) (*agent, error) {
	m, err := c.member(node)
	if err != nil {
		return nil, err
	}
	probe, err := c.Probe(ctx, node)
	if err != nil {
		return nil, err
	}
	if probe.State == harness.Exited {
		return nil, fmt.Errorf("docker: cut: %s does not run, so it has no network to cut", node)
	}
	if have != nil {
		if have.started.Equal(probe.Started) {
			return have, nil
		}
		if err := c.remove(ctx, have); err != nil {
			return nil, err
		}
	}
	created, err := c.provider.CreateContainer(ctx, testcontainers.ContainerRequest{
		Image: c.options.AgentImage, Name: c.objectName(node + "-agent"), Labels: c.labels("agent", node),
		Entrypoint: []string{c.options.AgentPath}, Cmd: []string{"wait"},
		ConfigModifier: func(config *container.Config) {
			config.User = "0:0"
			config.StopSignal = "SIGKILL" // else every removal takes ten seconds
			config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		},
		HostConfigModifier: func(hc *container.HostConfig) {
			hc.NetworkMode = container.NetworkMode("container:" + m.id())
			hc.CapDrop, hc.CapAdd = []string{"ALL"}, []string{"NET_ADMIN", "NET_RAW"}
			hc.ReadonlyRootfs = true
		},
	})
	if err != nil {
		return nil, fmt.Errorf("docker: agent of %s: %w", node, err)
	}
	a := &agent{container: created.GetContainerID(), started: probe.Started}
	if _, err := c.engine.api.ContainerStart(ctx, a.container, client.ContainerStartOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("docker: agent of %s: %w", node, err), c.remove(ctx, a))
	}
	return a, nil
}

func (c *Cluster) remove(ctx context.Context, a *agent) error {
	_, err := c.engine.api.ContainerRemove(ctx, a.container, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("docker: remove agent: %w", err)
	}
	return nil
}

func (c *Cluster) counters(ctx context.Context, a *agent) (counters, error) {
	var read counters
	out, err := c.exec(ctx, a, "counters")
	if err != nil {
		return read, err
	}
	if err := json.Unmarshal(out, &read); err != nil {
		return read, fmt.Errorf("docker: counters: %w: %q", err, out)
	}
	return read, nil
}

// agentUnsupported is the agent's exit code where the kernel or the container lacks what a cut needs.
const agentUnsupported = 3

// exec runs one command of the side-car and returns its output.
func (c *Cluster) exec(ctx context.Context, a *agent, args ...string) ([]byte, error) {
	return c.engine.exec(ctx, a.container, c.options.AgentPath, args...)
}

// exec runs one command of the agent at path in a container and returns its output.
func (e *engine) exec(ctx context.Context, container, path string, args ...string) ([]byte, error) {
	fail := func(err error) error { return fmt.Errorf("docker: agent %s: %w", strings.Join(args, " "), err) }
	created, err := e.api.ExecCreate(ctx, container, client.ExecCreateOptions{
		User: "0:0", AttachStdout: true, AttachStderr: true, Cmd: append([]string{path}, args...),
	})
	if err != nil {
		return nil, fail(err)
	}
	attached, err := e.api.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return nil, fail(err)
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close) // the attached stream does not know of ctx
	defer stop()
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, attached.Reader); err != nil {
		return nil, fail(err)
	}
	for {
		// The stream can end a moment before the engine has noted the exit.
		inspected, err := e.api.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
		switch {
		case err != nil:
			return nil, fail(err)
		case !inspected.Running && inspected.ExitCode == agentUnsupported:
			return nil, fail(fmt.Errorf("%w: %s", harness.ErrUnsupported, bytes.TrimSpace(stderr.Bytes())))
		case !inspected.Running && inspected.ExitCode != 0:
			return nil, fail(fmt.Errorf("exit code %d: %s", inspected.ExitCode, bytes.TrimSpace(stderr.Bytes())))
		case !inspected.Running:
			return stdout.Bytes(), nil
		}
		select {
		case <-ctx.Done():
			return nil, fail(context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}
