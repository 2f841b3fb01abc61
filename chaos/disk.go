package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"raftlab/harness"
)

// Disks that break. Each of these needs members that were started on a disk of the lab (harness.Disker), and is proven by
// what that disk has counted.
const (
	PowerCut   Kind = "power-cut"   // SIGKILL, and what was not synced is lost
	DiskFull   Kind = "disk-full"   // no block is free
	DiskFilled Kind = "disk-filled" // the file system below has no byte left
	DiskHang   Kind = "disk-hang"   // no fsync comes back
	DiskSlow   Kind = "disk-slow"   // every fsync takes longer
	DiskError  Kind = "disk-error"  // fsync or write returns an error
	BitFlip    Kind = "bit-flip"    // a bit changes at rest, and the member comes back as a new one
)

func init() {
	// A disk that nothing is written to breaks nothing: a member that is dead, or hears nobody, writes nothing.
	kinds := []Kind{Partition, Ring, Bridge, OneWay, Crash, Rolling, Pause, Remove, Replace, Wipe, PowerCut, DiskFull, DiskFilled, DiskHang, DiskSlow, DiskError, BitFlip}
	family := Family{Needs: "members on disks that can be broken: /dev/fuse, and root or SYS_ADMIN",
		Able: breaksDisks, Excludes: kinds, Takes: 30 * time.Second}
	cut := family
	cut.Kind, cut.Does = PowerCut, "fsyncs are held for 0.4 s, then the power goes: SIGKILL, and the disk forgets what was not synced"
	cut.Excludes = append(slices.Clone(kinds), Loss) // what is lost comes late, and each is to be written to within 0.4 s
	cut.Params = powerCutParams
	cut.Draws = []string{"power-cut follower", "power-cut leader", "power-cut all older=kept", "power-cut all keep=some older=kept"}
	cut.Effect, cut.Stops, cut.New = killing, true, func() Action { return &powerCut{} }
	full := family
	full.Kind, full.Does = DiskFull, "the disk has no free block: what needs one gets ENOSPC"
	full.Draws = []string{"disk-full follower", "disk-full leader"}
	full.Effect, full.New = killing, func() Action { return &brokenDisk{disk: func(Fault) harness.Disk { return harness.Disk{Full: true} }} }
	filled := full
	filled.Kind, filled.Does = DiskFilled, "the disk, a tmpfs of 64 MiB, has no byte left: the kernel says ENOSPC; in containers only"
	filled.Able, filled.Draws = fillsDisks, nil // all members would have to be in memory
	filled.Effect = nil                         // a log that has reserved its room goes on, so its member may lead on
	filled.New = func() Action {
		return &brokenDisk{disk: func(Fault) harness.Disk { return harness.Disk{Filled: true} }}
	}
	hang := family
	hang.Kind, hang.Does = DiskHang, "no fsync comes back"
	hang.Draws = []string{"disk-hang follower", "disk-hang leader"}
	hang.Effect, hang.New = killing, func() Action {
		return &brokenDisk{disk: func(Fault) harness.Disk { return harness.Disk{SyncHang: true} }}
	}
	slow := family
	slow.Kind, slow.Does = DiskSlow, "every fsync takes longer"
	slow.Params = []Param{{Name: "delay", Unit: Duration, Default: "100ms", Means: "how much longer"}}
	slow.Draws = []string{"disk-slow minority", "disk-slow leader"}
	slow.New = func() Action {
		return &brokenDisk{disk: func(f Fault) harness.Disk { return harness.Disk{SyncDelay: f.Duration("delay")} }}
	}
	fails := family
	fails.Kind, fails.Does = DiskError, "fsync, or write, returns EIO; a member that ends for it is started again when it is over"
	fails.Params = []Param{{Name: "call", Unit: Word, Default: "sync", Words: []string{"sync", "write"}, Means: "which call fails"}}
	fails.Draws = []string{"disk-error follower", "disk-error leader", "disk-error follower call=write"}
	fails.Effect, fails.Stops, fails.New = killing, true, func() Action { return &brokenDisk{disk: failing} }
	flip := family
	flip.Kind, flip.Does, flip.Target = BitFlip, "the process ends by SIGKILL, a bit of its log flips, and it is started again; one that refuses comes back as a new member", Follower
	flip.Draws = []string{"bit-flip follower"}
	flip.Effect, flip.Stops, flip.Agreed, flip.New = killing, true, true, func() Action { return &bitFlip{} }
	flip.Fits = families[Wipe].Fits
	if flip.Fits == nil {
		flip.Fits = leavesMajority
	}
	for _, f := range []Family{cut, full, filled, hang, slow, fails, flip} {
		Register(f)
	}
}

// The scenarios of these faults.
func init() {
	fault := func(text string, shortest time.Duration) step {
		return step{fault: text, shortest: shortest, longest: shortest + time.Second}
	}
	short, long := 500*time.Millisecond, 4*time.Second
	Scenarios = append(Scenarios,
		Scenario{Name: "lost-writes", Shows: "cut the power of all members at once: each loses what it wrote last and had not synced, then all that it had not; then of the leader",
			steps: []step{fault("power-cut all older=kept", short), fault("power-cut all", short), fault("power-cut leader", long)}},
		Scenario{Name: "torn-write", Shows: "cut the power of all members in the middle of their writes, of which some sectors arrive, twice; then of the leader",
			steps: []step{fault("power-cut all keep=some", short), fault("power-cut all keep=some", short), fault("power-cut leader", long)}},
		Scenario{Name: "disk-full", Shows: "a follower's disk is full, then the leader's; then they have room again",
			steps: []step{fault("disk-full follower", long), fault("disk-full leader", long)}},
		Scenario{Name: "disk-filled", Shows: "the members' disks are tmpfs of 64 MiB; a follower's is filled to its last byte, then the leader's; in containers only",
			steps: []step{fault("disk-filled follower", long), fault("disk-filled leader", long)}},
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

// breaksDisks asks what a cluster that runs was started with, and one that does not yet what it could be.
func breaksDisks(c harness.Cluster) error {
	if err := needs[harness.Disker]("break disks")(c); err != nil {
		return err
	}
	return c.(harness.Disker).Disks()
}

// FilledSize is the size in bytes of disks that are filled.
const FilledSize = 64 << 20

// DiskSize is the size in bytes that the members' disks must have; zero: none.
func (s Schedule) DiskSize() int64 {
	if slices.ContainsFunc(s.Events, func(e Event) bool { return e.Fault.Kind == DiskFilled }) {
		return FilledSize
	}
	return 0
}

// fillsDisks wants disks with a size. Those of processes are directories of the machine, which others need too.
func fillsDisks(c harness.Cluster) error {
	if err := needs[harness.Filler]("fill disks")(c); err != nil {
		return err
	}
	return breaksDisks(c)
}

// BreaksDisk says whether the fault needs members that were started on disks that can be broken.
func (f Fault) BreaksDisk() bool {
	switch f.Kind {
	case PowerCut, DiskFull, DiskFilled, DiskHang, DiskSlow, DiskError, BitFlip:
		return true
	}
	return false
}

// BreaksDisks says whether some fault does.
func (s Schedule) BreaksDisks() bool {
	return slices.ContainsFunc(s.Events, func(e Event) bool { return e.Fault.BreaksDisk() })
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
	var mu sync.Mutex
	read := disks{}
	err := atOnce(i.Nodes, "counters of", func(node string) error {
		c, err := i.Cluster.(harness.Disker).DiskCounters(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			read[node] = c
		}
		return err
	})
	return read, err
}

// reachDisks reads the counters as soon as every disk answers: that of a member which was just started comes up with it.
func reachDisks(ctx context.Context, i *Injected) (disks, error) {
	for {
		read, err := readDisks(ctx, i)
		if err == nil || ctx.Err() != nil {
			return read, err
		}
		pass(ctx, 20*time.Millisecond)
	}
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
	return atOnce(i.Nodes, "disk of", func(node string) error { return i.Cluster.(harness.Disker).SetDisk(ctx, node, d) })
}

// startEnded starts what is not running.
func startEnded(ctx context.Context, i *Injected) error {
	return atOnce(i.Nodes, "start", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State != harness.Exited {
			return nil
		}
		return i.Cluster.Start(ctx, node)
	})
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

// brokenDisk is a disk that behaves otherwise for a while.
type brokenDisk struct {
	disk                         func(Fault) harness.Disk
	before, begun, during, after disks // begun: when it was just in force
}

func (b *brokenDisk) Apply(ctx context.Context, i *Injected) (err error) {
	if b.before, err = reachDisks(ctx, i); err != nil {
		return err
	}
	if err = set(ctx, i, b.disk(i.Fault)); err == nil && i.Fault.Kind == DiskFilled {
		b.begun, err = readDisks(ctx, i)
	}
	return err
}

// Observe reads the disk; one whose member has ended says what it counted until then.
func (b *brokenDisk) Observe(ctx context.Context, i *Injected) (err error) {
	b.during, err = readDisks(ctx, i)
	return err
}

func (b *brokenDisk) Undo(ctx context.Context, i *Injected) error {
	err := atOnce(i.Nodes, "disk of", func(node string) error {
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
		case DiskFilled:
			begun, seen := b.begun[node]
			f.Require(seen && begun.Room == 0 && before.Room > 0, "the disk of %s was not seen filled: %d bytes were left, and %d before", node, begun.Room, before.Room)
			f.Require(during.Refused > before.Refused, "the disk of %s refused nothing", node)
			f.Require(after.Room > 0, "the disk of %s is full after the undo", node)
			f.Say("%s had %d bytes left, and was refused %s", node, begun.Room, Counted(int(during.Refused-before.Refused), "call"))
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
