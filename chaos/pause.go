package chaos

import (
	"context"

	"raftlab/harness"
)

// Pause stops the process where it is, and resumes the same process.
const Pause Kind = "pause"

func init() {
	Register(Family{
		Kind: Pause, Does: "the process is stopped where it is, and goes on later, the same process",
		Needs: "a world that can stop a process", Able: needs[harness.Pauser]("pause"),
		Effect: killing, Stops: true, Spares: true, Suffers: "paused", Excludes: []Kind{Pause, Crash, Rolling},
		Draws: []string{"pause leader", "pause follower"},
		New:   func() Action { return &pause{} },
	})
}

type pause struct{}

// Apply stops the process where it is. It loses nothing, but time goes on without it: a member that is
// resumed may believe for a while that nothing has changed.
func (*pause) Apply(ctx context.Context, i *Injected) error {
	pauser := i.Cluster.(harness.Pauser)
	return each(i.Nodes, "pause", func(node string) error { return pauser.Pause(ctx, node) })
}

func (*pause) Observe(context.Context, *Injected) error { return nil }

func (*pause) Undo(ctx context.Context, i *Injected) error {
	pauser := i.Cluster.(harness.Pauser)
	return each(i.Nodes, "resume", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State != harness.Paused {
			return nil
		}
		return pauser.Resume(ctx, node)
	})
}

// Judge wants a process that the kernel called stopped, and the same process running after.
func (*pause) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, during, after := i.Seen.Before[node], i.Seen.During[node], i.Seen.After[node]
		f.Require(during.State == harness.Paused, "%s was not seen paused during the fault", node)
		f.Require(after.PID == before.PID && after.Started.Equal(before.Started),
			"%s is not the same process after (pid %d → %d)", node, before.PID, after.PID)
		f.Say("%s paused, pid %d throughout", node, before.PID)
	}
}
