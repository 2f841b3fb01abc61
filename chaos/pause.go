package chaos

import (
	"context"
	"fmt"
	"time"

	"raftlab/harness"
)

// Pause stops the process where it is, and resumes the same process.
const Pause Kind = "pause"

func init() {
	Register(Family{
		Kind: Pause, Does: "the process is stopped where it is, and goes on later, the same process",
		Needs: "a world that can stop a process", Able: needs[harness.Pauser]("pause"),
		Effect: killing, Stops: true, Spares: true, Suffers: "paused", Outside: true, Excludes: []Kind{Pause, Crash, Rolling},
		Draws: []string{"pause leader", "pause follower"},
		New:   func() Action { return &pause{} },
	})
}

type pause struct {
	still map[string]harness.Probe // once every thread of it had stopped
}

// Apply stops the process where it is. It loses nothing, but time goes on without it: a member that is
// resumed may believe for a while that nothing has changed.
func (p *pause) Apply(ctx context.Context, i *Injected) error {
	pauser := i.Cluster.(harness.Pauser)
	p.still = make(map[string]harness.Probe)
	return each(i.Nodes, "pause", func(node string) error {
		err := pauser.Pause(ctx, node)
		if err == nil {
			p.still[node], err = atRest(ctx, i.Cluster, node)
		}
		return err
	})
}

// atRest probes until no thread runs any more: the kernel calls a process stopped when the first of them is.
func atRest(ctx context.Context, c harness.Cluster, node string) (harness.Probe, error) {
	var before harness.Probe
	for n := 0; ; n++ {
		now, err := c.Probe(ctx, node)
		if err != nil || n > 0 && now.Ran == before.Ran {
			return now, err
		}
		before = now
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("its threads do not come to rest: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
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

// Judge wants a process that the kernel called stopped, that had no CPU in between, and the same process running after. Somebody
// else may have let it go on, and have stopped it again before it was probed.
func (p *pause) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, during, after := i.Seen.Before[node], i.Seen.During[node], i.Seen.After[node]
		f.Require(during.State == harness.Paused, "%s was not seen paused during the fault", node)
		if still, told := p.still[node]; told && during.State == harness.Paused {
			f.Require(during.Ran == still.Ran, "%s ran while it was paused: its threads were given a CPU %d times", node, during.Ran-still.Ran)
		}
		f.Require(after.PID == before.PID && after.Started.Equal(before.Started),
			"%s is not the same process after (pid %d → %d)", node, before.PID, after.PID)
		f.Say("%s paused, pid %d throughout", node, before.PID)
	}
}
