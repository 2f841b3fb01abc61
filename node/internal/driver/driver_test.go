package driver

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"raftlab/raft"
)

func TestProposerIsToldTheResultOnceItIsAppliedAndNotBefore(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	f := tb.propose(1, "x")
	if f.told {
		t.Fatalf("told %v before any disk or follower had it", f)
	}
	tb.settle()
	if !f.told || f.err != nil || f.applied.Result != "result of x" {
		t.Fatalf("told %+v", f)
	}
	if term, _ := tb.drivers[1].raft.TermAt(f.applied.Index); term != f.applied.Term {
		t.Fatalf("told term %d of entry %d, which has term %d", f.applied.Term, f.applied.Index, term)
	}
}

// A read that was confirmed at an index reads a state that has all up to it, the last entry too.
func TestAReadWaitsForTheEntryItself(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.settle()
	d, told := tb.drivers[1], false
	next := d.config.Machine.Applied() + 1
	d.WaitApplied(next, nil, func(index raft.Index, err error) {
		if told = true; err != nil || d.config.Machine.Applied() < next {
			t.Errorf("told %d, %v when the state has entries up to %d", index, err, d.config.Machine.Applied())
		}
	})
	tb.propose(1, "x")
	tb.settle()
	if !told {
		t.Error("it was not told when the entry was applied")
	}
}

func TestNothingIsPromisedBeforeTheDiskHasIt(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.propose(1, "x")
	var toTwo []raft.Message
	for _, m := range tb.pile {
		if m.To == 2 {
			toTwo = append(toTwo, m)
		}
	}
	tb.pile = nil
	tb.drivers[2].Deliver(toTwo)
	if len(tb.pile) > 0 {
		t.Fatalf("n2 answered before its disk had the entry: %v", tb.pile)
	}
	tb.release(2)
	if len(tb.pile) == 0 || tb.pile[0].Type != raft.MsgAppendReply {
		t.Fatalf("n2 did not answer when its disk had the entry: %v", tb.pile)
	}
}

// TestOverwrittenProposalCertainlyFailed: another entry at its index is an answer, and the only certain one.
func TestOverwrittenProposalCertainlyFailed(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.cut[1] = true
	f := tb.propose(1, "lost")
	tb.settle()
	for range 30 {
		tb.drivers[1].Tick() // it steps down
		tb.drivers[3].Tick() // and n3 stops hearing it
	}
	tb.pile = nil
	tb.elect(2)
	tb.propose(2, "other")
	tb.settle()
	if f.told {
		t.Fatalf("told %v while its fate was open", f.err)
	}
	clear(tb.cut)
	for range 5 {
		tb.drivers[2].Tick()
		tb.settle()
	}
	if !f.told || !errors.Is(f.err, ErrNotLeader) {
		t.Fatalf("told %+v, want ErrNotLeader", f)
	}
}

// TestLostLeadershipIsNotAFailure (Consul #2893, RedisRaft #23): the entry may be committed by the next leader, so
// when nothing shows for a while the answer is Unknown, never an error that is certain.
func TestLostLeadershipIsNotAFailure(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.cut[1] = true
	f := tb.propose(1, "x")
	tb.settle()
	for range 200 {
		tb.drivers[1].Tick()
		tb.settle()
	}
	if !f.told || !errors.Is(f.err, ErrUnknown) {
		t.Fatalf("told %+v, want ErrUnknown", f)
	}
}

// TestProposalCommittedByTheNextLeaderSucceeded: the old leader learns it and says so.
func TestProposalCommittedByTheNextLeaderSucceeded(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	f := tb.propose(1, "x")
	// Everybody gets the entry, but n1 hears no answer.
	for _, m := range tb.pile {
		tb.drivers[m.To].Deliver([]raft.Message{m})
	}
	tb.pile = nil
	tb.release(2)
	tb.release(3)
	tb.pile = nil
	tb.cut[1] = true
	for range 12 {
		tb.drivers[3].Tick()
	}
	tb.pile = nil
	tb.elect(2)
	clear(tb.cut)
	for range 5 {
		tb.drivers[2].Tick()
		tb.settle()
	}
	if !f.told || f.err != nil || f.applied.Result != "result of x" {
		t.Fatalf("told %+v, want the result", f)
	}
}

func TestFollowerRefusesAtOnce(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	if f := tb.propose(2, "x"); !f.told || !errors.Is(f.err, ErrNotLeader) {
		t.Fatalf("told %+v", f)
	}
}

func TestStopAnswersEverybody(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.cut[1] = true
	f := tb.propose(1, "x")
	told := map[string]error{}
	answer := func(name string) func(raft.Index, error) {
		return func(_ raft.Index, err error) { told[name] = err }
	}
	tb.drivers[1].Read([]func(raft.Index, error){answer("read")})
	tb.drivers[1].WaitApplied(1000, nil, answer("wait"))
	tb.drivers[1].Stop()
	if !f.told || !errors.Is(f.err, ErrUnknown) {
		t.Errorf("proposer was told %+v, want ErrUnknown: it was sent", f)
	}
	for _, name := range []string{"read", "wait"} {
		if !errors.Is(told[name], ErrStopped) {
			t.Errorf("%s was told %v", name, told[name])
		}
	}
}

// saving is how many Saves with commands the member's disk holds, and how many commands are in them.
func (tb *table) saving(id raft.ID) (saves, commands int) {
	for _, s := range tb.disks[id].saves {
		with := 0
		for _, e := range s.Entries {
			if e.Type == raft.EntryCommand {
				with++
			}
		}
		if commands += with; with > 0 {
			saves++
		}
	}
	return saves, commands
}

// TestProposalsOfABusyDiskGoTogether: what arrives while the leader's disk writes becomes one append when it is done.
func TestProposalsOfABusyDiskGoTogether(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.propose(1, "first")
	fates := []*fate{tb.propose(1, "second"), tb.propose(1, "third")}
	if saves, commands := tb.saving(1); saves != 1 || commands != 1 {
		t.Fatalf("the disk was given %d commands in %d saves while it wrote the first", commands, saves)
	}
	if pending := tb.drivers[1].Status().Pending; pending != 3 {
		t.Fatalf("%d proposals are pending, want 3", pending)
	}
	tb.release(1)
	if saves, commands := tb.saving(1); saves != 1 || commands != 2 {
		t.Fatalf("when it was done it was given %d commands in %d saves, want both others in one", commands, saves)
	}
	tb.settle()
	for _, f := range fates {
		if !f.told || f.err != nil {
			t.Fatalf("told %+v", f)
		}
	}
}

// TestAHungDiskHoldsProposalsForATickOnly: the other members may commit them without it (thesis §10.2.1).
func TestAHungDiskHoldsProposalsForATickOnly(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.propose(1, "first")
	f := tb.propose(1, "second")
	tb.drivers[1].Tick()
	tb.disks[1].saves = nil // and never come back
	tb.settle()
	if !f.told || f.err != nil {
		t.Fatalf("told %+v", f)
	}
}

// TestAHeldProposalCertainlyFailed where the leader stops, or is none any more, before it could be proposed.
func TestAHeldProposalCertainlyFailed(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*table)
		want error
	}{
		{"stopped", func(tb *table) { tb.drivers[1].Stop() }, ErrStopped},
		{"replaced", func(tb *table) {
			tb.pile = nil
			tb.cut[1] = true
			for range 12 {
				tb.drivers[3].Tick() // it stops hearing n1
			}
			tb.pile = nil
			tb.disks[1].saves = nil // still at work
			tb.elect(2)
			clear(tb.cut)
			for range 3 {
				tb.drivers[2].Tick()
				tb.settle()
			}
			tb.drivers[1].Tick()
		}, ErrNotLeader},
	} {
		tb := newTable(t, 3)
		tb.elect(1)
		tb.propose(1, "first")
		f := tb.propose(1, "held")
		c.end(tb)
		if !f.told || !errors.Is(f.err, c.want) {
			t.Errorf("%s: told %+v, want %v", c.name, f, c.want)
		}
	}
}

// TestLearnerIsPromotedWhenItHasCaughtUp, and its disk keeps the cluster that it learned.
func TestLearnerIsPromotedWhenItHasCaughtUp(t *testing.T) {
	tb := newTable(t, 1)
	tb.elect(1)
	for i := range 20 {
		tb.propose(1, fmt.Sprint(i))
	}
	tb.settle()
	var change fate
	tb.drivers[1].Change(raft.Change{Type: raft.AddLearner, Member: raft.Member{ID: 2, Address: "n2:8000"}},
		func(a Applied, err error) { change = fate{true, a, err} })
	tb.settle()
	if !change.told || change.err != nil {
		t.Fatalf("change was told %+v", change)
	}
	if tb.drivers[1].Status().Configuration.IsVoter(2) {
		t.Fatal("n2 has a vote before it has the log")
	}
	tb.add(2, 0, raft.HardState{}, nil)
	for range 20 {
		tb.drivers[1].Tick()
		tb.settle()
	}
	s := tb.drivers[2].Status()
	if !s.Configuration.IsVoter(2) || s.Cluster != 7 || tb.disks[2].cluster != 7 {
		t.Fatalf("n2 is %+v, its disk has cluster %v", s, tb.disks[2].cluster)
	}
	if got := tb.drivers[2].config.Machine.(*machine).values; len(got) != 20 {
		t.Fatalf("n2 applied %v", got)
	}
}

func TestReadsOfOneBatchShareOneRequest(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.propose(1, "x")
	tb.settle()
	tb.pile = nil
	answered := 0
	answers := slices.Repeat([]func(raft.Index, error){func(i raft.Index, err error) {
		if err != nil || i < 3 {
			t.Errorf("read was told %d, %v", i, err)
		}
		answered++
	}}, 50)
	tb.drivers[2].Read(answers)
	if n := len(tb.pile); n != 1 {
		t.Fatalf("50 reads sent %d messages", n)
	}
	tb.settle()
	if answered != 50 {
		t.Fatalf("%d of 50 reads were answered", answered)
	}
}
