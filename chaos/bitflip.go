package chaos

import (
	"context"
	"errors"
	"time"

	"raftlab/harness"
)

// bitFlip ends a member, flips a bit, and starts it: one that refuses is wiped, and comes back as a new member.
type bitFlip struct {
	wiping
	before, after disks
	refused       map[string]int // with which exit code
}

func (b *bitFlip) Apply(ctx context.Context, i *Injected) (err error) {
	disker := i.Cluster.(harness.Disker)
	if b.before, err = reachDisks(ctx, i); err != nil {
		return err
	}
	b.after, b.refused = disks{}, map[string]int{}
	return each(i.Nodes, "flip a bit of", func(node string) error {
		cut := harness.PowerCut{Keep: "all", Seed: i.Random.Uint64(), Flip: 1, In: ".wal"}
		if err := disker.CutPower(ctx, []string{node}, cut); err != nil {
			return err
		}
		counted, err := disker.DiskCounters(ctx, node)
		if err != nil {
			return err
		}
		b.after[node] = counted
		if err := i.Cluster.Start(ctx, node); err != nil {
			return err
		}
		return b.await(ctx, i, node)
	})
}

// flippedTime is how long a member may take to say what it thinks of its log.
const flippedTime = 10 * time.Second

// await looks whether a member that was started refuses, and wipes it then, or comes up.
func (b *bitFlip) await(ctx context.Context, i *Injected, node string) error {
	for began := time.Now(); time.Since(began) < flippedTime; {
		p, err := i.Cluster.Probe(ctx, node)
		if err != nil {
			return err
		}
		if p.State == harness.Exited {
			b.refused[node] = p.Exit
			return i.Cluster.(harness.Member).Wipe(ctx, node)
		}
		if endpoint, err := i.Cluster.Endpoint(ctx, node); err == nil && i.System.Ready(ctx, endpoint) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil // it runs, and is not ready: it came up, for who refuses ends at once
}

func (b *bitFlip) Undo(ctx context.Context, i *Injected) error {
	refused := *i
	refused.Nodes = nil
	for _, node := range i.Nodes {
		if _, so := b.refused[node]; so {
			refused.Nodes = append(refused.Nodes, node)
		}
	}
	return errors.Join(b.wiping.Undo(ctx, &refused), startEnded(ctx, i))
}

func (b *bitFlip) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, after := b.before[node], b.after[node]
		f.Require(after.Flipped == before.Flipped+1, "no bit of %s has flipped", node)
		if len(after.Flips) > 0 {
			last := after.Flips[len(after.Flips)-1]
			f.Say("bit %d of byte %d of %s at %s flipped", last.Bit, last.Offset, last.File, node)
		}
		if exit, refused := b.refused[node]; refused {
			f.Require(exit != killedExit, "%s was killed, and did not refuse", node)
			f.Say("it refused with exit code %d and came back as a new member", exit)
		} else {
			f.Say("it came up in spite of it")
		}
	}
}
