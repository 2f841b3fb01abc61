package chaos

import (
	"context"
	"time"

	"raftlab/harness"
)

var powerCutParams = []Param{
	{Name: "keep", Unit: Word, Default: "none", Words: []string{"none", "some"},
		Means: "of what was not synced: none, or some sectors and not others, as a write that was torn"},
	{Name: "older", Unit: Word, Default: "lost", Words: []string{"lost", "kept"},
		Means: "what was written before these 0.4 s and not synced: lost too, or kept, as where the kernel has written it back by then"},
}

type powerCut struct{ before, after disks }

// heldFor is how long fsyncs are held before the power goes: long enough that something is written meanwhile, too short
// for a leader to step down. What was acknowledged and not synced by then is the find of the run. The disks hold by
// themselves, so that it is the same time in every world.
const heldFor = 400 * time.Millisecond

// gatherFor is how long fsyncs are slow before that where writes are to be torn: a store that syncs each small write has
// one sector on its way at most, of which nothing can be torn.
const gatherFor = 300 * time.Millisecond

func (p *powerCut) Apply(ctx context.Context, i *Injected) (err error) {
	if p.before, err = reachDisks(ctx, i); err != nil {
		return err
	}
	cut := harness.PowerCut{Keep: i.Fault.Word("keep"), WriteBack: i.Fault.Word("older") == "kept", Hold: heldFor, Seed: i.Random.Uint64()}
	if cut.Keep == "some" {
		cut.Gather = gatherFor
	}
	return i.Cluster.(harness.Disker).CutPower(ctx, i.Nodes, cut)
}

func (p *powerCut) Observe(context.Context, *Injected) error { return nil }

func (p *powerCut) Undo(ctx context.Context, i *Injected) error {
	err := startEnded(ctx, i)
	if err != nil {
		return err
	}
	p.after, err = settled(ctx, i)
	return err
}

// Judge wants an end by SIGKILL and another process, and bytes that each disk has lost; of torn writes, some that came too.
func (p *powerCut) Judge(i *Injected, f *Findings) {
	var torn bool
	for _, node := range i.Nodes {
		during := i.Seen.During[node]
		f.Require(during.State == harness.Exited && during.Exit == killedExit, "%s was not seen ended by SIGKILL during the fault", node)
		f.Require(another(i.Seen.Before[node], i.Seen.After[node]), "%s does not run as another process after", node)
		before, read := p.before[node]
		after, again := p.after[node]
		f.Require(read && again, "the disk of %s could not be read before and after", node)
		if !read || !again {
			continue
		}
		lost := after.Lost - before.Lost
		f.Require(after.Cuts == before.Cuts+1, "the disk of %s had %d power cuts, not one", node, after.Cuts-before.Cuts)
		f.Require(after.Lost > before.Lost, "the disk of %s lost nothing: everything was synced", node)
		torn = torn || after.KeptSec > before.KeptSec
		f.Say("%s lost %s in %s", node, Counted(int(lost), "byte"), Counted(int(after.LostSec-before.LostSec), "sector"))
		if kept := after.KeptSec - before.KeptSec; kept > 0 {
			f.Say("and kept %d", kept)
		}
	}
	f.Require(i.Fault.Word("keep") == "none" || torn, "no write was torn: no disk kept a sector that was not synced")
}
