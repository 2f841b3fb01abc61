package chaos

import (
	"context"
	"syscall"

	"raftlab/harness"
)

// Crash ends the process with SIGKILL, and starts it again on the data that it left.
const Crash Kind = "crash"

func init() {
	Register(Family{
		Kind: Crash, Does: "the process ends by SIGKILL, and starts again on the data that it left",
		Needs: "a world that can end a process", Able: needs[harness.Killer]("kill"),
		Effect: killing, Excludes: []Kind{Crash},
		New: func() Action { return &crash{} },
	})
}

type crash struct{}

// Apply ends the process with SIGKILL: no handler runs, nothing is flushed.
func (*crash) Apply(ctx context.Context, i *Injected) error {
	killer := i.Cluster.(harness.Killer)
	return each(i.Nodes, "kill", func(node string) error { return killer.Kill(ctx, node, syscall.SIGKILL) })
}

func (*crash) Observe(context.Context, *Injected) error { return nil }

// Undo starts what is not running. A member that was never killed is left alone.
func (*crash) Undo(ctx context.Context, i *Injected) error {
	return each(i.Nodes, "start", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State != harness.Exited {
			return nil
		}
		return i.Cluster.Start(ctx, node)
	})
}

// Judge wants an ended process in between, ended by SIGKILL, and another process after.
func (*crash) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, during, after := i.Seen.Before[node], i.Seen.During[node], i.Seen.After[node]
		f.Require(during.State == harness.Exited, "%s was not seen ended during the fault", node)
		f.Require(during.State != harness.Exited || during.Exit == killedExit,
			"%s ended with %d, not by SIGKILL (%d)", node, during.Exit, killedExit)
		f.Require(another(before, after), "%s does not run as another process after", node)
		f.Say("%s ended with %d, pid %d → %d", node, during.Exit, before.PID, after.PID)
	}
}

// another says whether after is a running process, and not the one before.
func another(before, after harness.Probe) bool {
	return after.State == harness.Running && (after.PID != before.PID || !after.Started.Equal(before.Started))
}

const killedExit = 128 + int(syscall.SIGKILL)
