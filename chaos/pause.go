package chaos

import (
	"context"
	"fmt"
	"strings"

	"raftlab/harness"
)

// applyPause stops the process where it is. It loses nothing, but time goes on without it: a member that is
// resumed may believe for a while that nothing has changed.
func applyPause(ctx context.Context, c harness.Cluster, nodes []string) error {
	pauser, ok := c.(harness.Pauser)
	if !ok {
		return fmt.Errorf("pause in world %s: %w", c.World(), harness.ErrUnsupported)
	}
	return each(nodes, "pause", func(node string) error { return pauser.Pause(ctx, node) })
}

func undoPause(ctx context.Context, c harness.Cluster, nodes []string) error {
	pauser, ok := c.(harness.Pauser)
	if !ok {
		return nil
	}
	return each(nodes, "resume", func(node string) error {
		if p, err := c.Probe(ctx, node); err == nil && p.State != harness.Paused {
			return nil
		}
		return pauser.Resume(ctx, node)
	})
}

// judgePause wants a process that the kernel called stopped, and the same process running after.
func judgePause(nodes []string, o Observations) Evidence {
	f := judgeEdges(nodes, o)
	var says []string
	for _, node := range nodes {
		before, during, after := o.Before[node], o.During[node], o.After[node]
		f.require(during.State == harness.Paused, "%s was not seen paused during the fault", node)
		f.require(after.PID == before.PID && after.Started.Equal(before.Started),
			"%s is not the same process after (pid %d → %d)", node, before.PID, after.PID)
		says = append(says, fmt.Sprintf("%s paused, pid %d throughout", node, before.PID))
	}
	return f.evidence(strings.Join(says, ", "), 0)
}
