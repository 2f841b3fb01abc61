package chaos

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"raftlab/harness"
)

// applyCrash ends the process with SIGKILL: no handler runs, nothing is flushed.
func applyCrash(ctx context.Context, c harness.Cluster, nodes []string) error {
	killer, ok := c.(harness.Killer)
	if !ok {
		return fmt.Errorf("kill in world %s: %w", c.World(), harness.ErrUnsupported)
	}
	return each(nodes, "kill", func(node string) error { return killer.Kill(ctx, node, syscall.SIGKILL) })
}

// undoCrash starts what is not running. A member that was never killed is left alone.
func undoCrash(ctx context.Context, c harness.Cluster, nodes []string) error {
	return each(nodes, "start", func(node string) error {
		if p, err := c.Probe(ctx, node); err == nil && p.State != harness.Exited {
			return nil
		}
		return c.Start(ctx, node)
	})
}

// judgeCrash wants an ended process in between, ended by SIGKILL, and another process after.
func judgeCrash(nodes []string, o Observations) Evidence {
	f := judgeEdges(nodes, o)
	var says []string
	for _, node := range nodes {
		before, during, after := o.Before[node], o.During[node], o.After[node]
		f.require(during.State == harness.Exited, "%s was not seen ended during the fault", node)
		f.require(during.State != harness.Exited || during.Exit == killedExit,
			"%s ended with %d, not by SIGKILL (%d)", node, during.Exit, killedExit)
		again := after.State == harness.Running && (after.PID != before.PID || !after.Started.Equal(before.Started))
		f.require(again, "%s does not run as another process after", node)
		says = append(says, fmt.Sprintf("%s ended with %d, pid %d → %d", node, during.Exit, before.PID, after.PID))
	}
	return f.evidence(strings.Join(says, ", "), 0)
}

const killedExit = 128 + int(syscall.SIGKILL)
