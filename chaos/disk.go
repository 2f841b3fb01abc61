package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"raftlab/harness"
)

// Disks that break. Each of these needs members that were started on a disk of the lab (harness.Disker), and is proven by
// what that disk has counted.
const (
	PowerCut  Kind = "power-cut"  // SIGKILL, and what was not synced is lost
	DiskFull  Kind = "disk-full"  // no block is free
	DiskHang  Kind = "disk-hang"  // no fsync comes back
	DiskSlow  Kind = "disk-slow"  // every fsync takes longer
	DiskError Kind = "disk-error" // fsync or write returns an error
	BitFlip   Kind = "bit-flip"   // a bit changes at rest, and the member comes back as a new one
)

func init() {
	kinds := []Kind{Crash, Rolling, Pause, Remove, Replace, Wipe, PowerCut, DiskFull, DiskHang, DiskSlow, DiskError, BitFlip}
	family := Family{Needs: "members on disks that can be broken: /dev/fuse, and root or SYS_ADMIN",
		Able: needs[harness.Disker]("break disks"), Excludes: kinds, Takes: 30 * time.Second}
	cut := family
	cut.Kind, cut.Does = PowerCut, "fsyncs are held until something is written and not synced, then the power goes: SIGKILL, and the disk forgets"
	cut.Params = []Param{{Name: "keep", Unit: Word, Default: "none", Words: []string{"none", "some"},
		Means: "of what was not synced: none, or some sectors and not others, as a write that was torn"}}
	cut.Effect, cut.Stops, cut.New = killing, true, func() Action { return &powerCut{} }
	full := family
	full.Kind, full.Does = DiskFull, "the disk has no free block: what needs one gets ENOSPC"
	full.Effect, full.New = killing, func() Action { return &brokenDisk{disk: func(Fault) harness.Disk { return harness.Disk{Full: true} }} }
	hang := family
	hang.Kind, hang.Does = DiskHang, "no fsync comes back"
	hang.Effect, hang.New = killing, func() Action {
		return &brokenDisk{disk: func(Fault) harness.Disk { return harness.Disk{SyncHang: true} }}
	}
	slow := family
	slow.Kind, slow.Does = DiskSlow, "every fsync takes longer"
	slow.Params = []Param{{Name: "delay", Unit: Duration, Default: "100ms", Means: "how much longer"}}
	slow.New = func() Action {
		return &brokenDisk{disk: func(f Fault) harness.Disk { return harness.Disk{SyncDelay: f.Duration("delay")} }}
	}
	fails := family
	fails.Kind, fails.Does = DiskError, "fsync, or write, returns EIO; a member that ends for it is started again when it is over"
	fails.Params = []Param{{Name: "call", Unit: Word, Default: "sync", Words: []string{"sync", "write"}, Means: "which call fails"}}
	fails.Effect, fails.Stops, fails.New = killing, true, func() Action { return &brokenDisk{disk: failing} }
	flip := family
	flip.Kind, flip.Does, flip.Target = BitFlip, "the process ends by SIGKILL, a bit of its log flips, and it is started again; one that refuses comes back as a new member", Follower
	flip.Effect, flip.Stops, flip.New = killing, true, func() Action { return &bitFlip{} }
	flip.Fits = families[Wipe].Fits
	if flip.Fits == nil {
		flip.Fits = leavesMajority
	}
	for _, f := range []Family{cut, full, hang, slow, fails, flip} {
		Register(f)
	}
	fault := func(text string, shortest time.Duration) step {
		return step{fault: text, shortest: shortest, longest: shortest + time.Second}
	}
	short, long := 500*time.Millisecond, 4*time.Second
	Scenarios = append(Scenarios,
		Scenario{Name: "lost-writes", Shows: "cut the power of all members at once, so that each loses what it had not synced, twice; then of the leader",
			steps: []step{fault("power-cut all", short), fault("power-cut all", short), fault("power-cut leader", long)}},
		Scenario{Name: "torn-write", Shows: "cut the power of all members in the middle of their writes, of which some sectors arrive, twice; then of the leader",
			steps: []step{fault("power-cut all keep=some", short), fault("power-cut all keep=some", short), fault("power-cut leader", long)}},
		Scenario{Name: "disk-full", Shows: "a follower's disk is full, then the leader's; then they have room again",
			steps: []step{fault("disk-full follower", long), fault("disk-full leader", long)}},
		Scenario{Name: "hung-disk", Shows: "the leader's disk answers no fsync, until others have elected another; then a follower's",
			steps: []step{fault("disk-hang leader", long), fault("disk-hang follower", long)}},
		Scenario{Name: "slow-disk", Shows: "every fsync of a minority takes 100 ms longer, then the leader's alone",
			steps: []step{fault("disk-slow minority", long), fault("disk-slow leader", long)}},
		Scenario{Name: "disk-error", Shows: "a follower's fsync returns EIO, then the leader's, then a follower's write",
			steps: []step{fault("disk-error follower", long), fault("disk-error leader", long), fault("disk-error follower call=write", long)}},
		Scenario{Name: "bit-flip", Shows: "one bit in the log of a follower flips while it is down, then of the leader: refused, and back as a new member",
			steps: []step{fault("bit-flip follower", long), fault("bit-flip leader", long)}},
	)
}

// BreaksDisks says whether the members must be started on disks that can be broken.
func (s Schedule) BreaksDisks() bool {
	for _, e := range s.Events {
		switch e.Fault.Kind {
		case PowerCut, DiskFull, DiskHang, DiskSlow, DiskError, BitFlip:
			return true
		}
	}
	return false
}

func leavesMajority(f Fault, nodes, members []string) error {
	if 2*len(nodes) >= len(members) {
		return fmt.Errorf("%w: %s at %d of %s leaves no majority to let them back in", ErrTarget, f.Kind, len(nodes), Counted(len(members), "member"))
	}
	return nil
}

func failing(f Fault) harness.Disk {
	if f.Word("call") == "write" {
		return harness.Disk{WriteError: "EIO"}
	}
	return harness.Disk{SyncError: "EIO"}
}

// disks reads the counters of each node's disk.
type disks map[string]harness.DiskCounters

func readDisks(ctx context.Context, i *Injected) (disks, error) {
	read := disks{}
	err := each(i.Nodes, "counters of", func(node string) error {
		c, err := i.Cluster.(harness.Disker).DiskCounters(ctx, node)
		if err == nil {
			read[node] = c
		}
		return err
	})
	return read, err
}

// atOnce does something to every node at the same time.
func atOnce(nodes []string, what string, do func(node string) error) error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for k, node := range nodes {
		all.Go(func() { errs[k] = each([]string{node}, what, do) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func set(ctx context.Context, i *Injected, d harness.Disk) error {
	if err := i.Cluster.(harness.Disker).Disks(); err != nil {
		return err
	}
	return atOnce(i.Nodes, "disk of", func(node string) error { return i.Cluster.(harness.Disker).SetDisk(ctx, node, d) })
}

// startEnded starts what is not running.
func startEnded(ctx context.Context, i *Injected) error {
	return each(i.Nodes, "start", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State != harness.Exited {
			return nil
		}
		return i.Cluster.Start(ctx, node)
	})
}

type powerCut struct{ before, after disks }

// heldMax is how long fsyncs are held before the power goes: long enough that something is written meanwhile, too short
// for a leader to step down. What was acknowledged and not synced by then is the find of the run.
const heldMax = 400 * time.Millisecond

func (p *powerCut) Apply(ctx context.Context, i *Injected) (err error) {
	disker := i.Cluster.(harness.Disker)
	if err := set(ctx, i, harness.Disk{SyncHang: true}); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < heldMax; {
		if p.before, err = readDisks(ctx, i); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	seed := i.Random.Uint64()
	return atOnce(i.Nodes, "cut the power of", func(node string) error {
		return disker.CutPower(ctx, node, harness.PowerCut{Keep: i.Fault.Word("keep"), Seed: seed})
	})
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

// settled reads the counters of disks that are well again: one that was started comes up with its member, and what was held
// goes on a moment after it was let go.
func settled(ctx context.Context, i *Injected) (disks, error) {
	for until := time.Now().Add(settleTime); ; time.Sleep(20 * time.Millisecond) {
		read, err := readDisks(ctx, i)
		held := false
		for _, c := range read {
			held = held || c.HeldNow > 0
		}
		if err == nil && !held || time.Now().After(until) || ctx.Err() != nil {
			return read, err
		}
	}
}

const settleTime = 15 * time.Second

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

// brokenDisk is a disk that behaves otherwise for a while.
type brokenDisk struct {
	disk                  func(Fault) harness.Disk
	before, during, after disks
}

func (b *brokenDisk) Apply(ctx context.Context, i *Injected) (err error) {
	if err := i.Cluster.(harness.Disker).Disks(); err != nil {
		return err
	}
	if b.before, err = readDisks(ctx, i); err != nil {
		return err
	}
	return set(ctx, i, b.disk(i.Fault))
}

// Observe reads the disk; one whose member has ended says what it counted until then.
func (b *brokenDisk) Observe(ctx context.Context, i *Injected) (err error) {
	b.during, err = readDisks(ctx, i)
	return err
}

func (b *brokenDisk) Undo(ctx context.Context, i *Injected) error {
	err := each(i.Nodes, "disk of", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State == harness.Exited {
			return nil // started below, on a disk that works
		}
		return i.Cluster.(harness.Disker).SetDisk(ctx, node, harness.Disk{})
	})
	if err = errors.Join(err, startEnded(ctx, i)); err != nil {
		return err
	}
	b.after, err = settled(ctx, i)
	return err
}

// Judge wants the disk to have done it at least once to each, and to be well again.
func (b *brokenDisk) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, read := b.before[node]
		during, again := b.during[node]
		after, last := b.after[node]
		f.Require(read && again && last, "the disk of %s could not be read before, during and after", node)
		if !read || !again || !last {
			continue
		}
		switch i.Fault.Kind {
		case DiskFull:
			f.Require(during.Refused > before.Refused, "the disk of %s refused nothing", node)
			f.Say("%s was refused %s", node, Counted(int(during.Refused-before.Refused), "call"))
		case DiskHang:
			f.Require(during.HeldNow > 0, "no fsync of %s was held at the end", node)
			f.Say("%s waited %v for an fsync", node, short(time.Duration(during.HeldMost)))
		case DiskSlow:
			f.Require(during.Held > before.Held, "no fsync of %s was delayed", node)
			f.Say("%s of %s delayed", Counted(int(during.Held-before.Held), "fsync"), node)
		case DiskError:
			f.Require(during.Failed > before.Failed, "no call of %s failed", node)
			f.Say("%s of %s failed", Counted(int(during.Failed-before.Failed), "call"), node)
			if p := i.Seen.During[node]; p.State == harness.Exited {
				f.Say("which ended with %d", p.Exit)
			}
		}
		f.Require(after.HeldNow == 0 || i.Fault.Kind != DiskHang, "an fsync of %s is held after the undo", node)
	}
}

// bitFlip ends a member, flips a bit, and starts it: one that refuses is wiped, and comes back as a new member.
type bitFlip struct {
	wiping
	before, after disks
	refused       map[string]int // with which exit code
}

func (b *bitFlip) Apply(ctx context.Context, i *Injected) (err error) {
	disker := i.Cluster.(harness.Disker)
	if err := disker.Disks(); err != nil {
		return err
	}
	if b.before, err = readDisks(ctx, i); err != nil {
		return err
	}
	b.after, b.refused = disks{}, map[string]int{}
	return each(i.Nodes, "flip a bit of", func(node string) error {
		cut := harness.PowerCut{Keep: "all", Seed: i.Random.Uint64(), Flip: 1, In: ".wal"}
		if err := disker.CutPower(ctx, node, cut); err != nil {
			return err
		}
		if err := i.Cluster.Start(ctx, node); err != nil {
			return err
		}
		for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(20 * time.Millisecond) {
			c, err := disker.DiskCounters(ctx, node)
			if err == nil {
				b.after[node] = c
			}
			p, err := i.Cluster.Probe(ctx, node)
			if err != nil {
				return err
			}
			if p.State == harness.Exited {
				b.refused[node] = p.Exit
				return i.Cluster.(harness.Member).Wipe(ctx, node)
			}
		}
		return nil // it came up
	})
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
