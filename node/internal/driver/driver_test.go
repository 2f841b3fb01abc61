package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"raftlab/raft"
)

// table is a few Drivers with their disks and the messages between them on a table: nothing moves by itself.
type table struct {
	t       *testing.T
	drivers map[raft.ID]*Driver
	disks   map[raft.ID]*tableDisk
	kept    map[raft.ID]*tableSnapshots
	pile    []raft.Message
	cut     map[raft.ID]bool
}

// tableDisk keeps Saves until they are released.
type tableDisk struct {
	saves   []raft.Save
	cluster raft.ClusterID
	dropped raft.Index
}

func (d *tableDisk) SetCluster(id raft.ClusterID) { d.cluster = id }
func (d *tableDisk) Save(s raft.Save)             { d.saves = append(d.saves, s) }
func (d *tableDisk) DropPrefix(i raft.Index)      { d.dropped = i }

type tableTransport struct {
	table   *table
	members []raft.Member
}

func (t *tableTransport) Send(m []raft.Message)       { t.table.pile = append(t.table.pile, m...) }
func (t *tableTransport) SetMembers(ms []raft.Member) { t.members = ms }

// machine remembers what it applied.
type machine struct {
	applied raft.Index
	values  []string
}

func (m *machine) Apply(e raft.Entry) any {
	m.applied = e.Index
	if e.Type == raft.EntryCommand {
		m.values = append(m.values, string(e.Data))
	}
	return "result of " + string(e.Data)
}
func (m *machine) Applied() raft.Index { return m.applied }
func (m *machine) Hash() uint64        { return uint64(len(m.values)) }

func (m *machine) Freeze() func(io.Writer) error {
	applied, values := m.applied, slices.Clone(m.values)
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(frozen{applied, values}) }
}

func (m *machine) Restore(r io.Reader) error {
	var f frozen
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return err
	}
	m.applied, m.values = f.Applied, f.Values
	return nil
}

func (m *machine) Check(state io.Reader, index raft.Index) error {
	var scratch machine
	if err := scratch.Restore(state); err != nil {
		return err
	}
	if scratch.applied != index {
		return fmt.Errorf("a state of entry %d", scratch.applied)
	}
	return nil
}

type frozen struct {
	Applied raft.Index
	Values  []string
}

func newTable(t *testing.T, voters int) *table {
	t.Helper()
	tb := &table{t: t, drivers: map[raft.ID]*Driver{}, disks: map[raft.ID]*tableDisk{}, kept: map[raft.ID]*tableSnapshots{}, cut: map[raft.ID]bool{}}
	var c raft.Configuration
	for i := range voters {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(i + 1), Address: fmt.Sprintf("n%d:8000", i+1)})
	}
	data, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Members {
		tb.add(m.ID, 7, raft.HardState{Term: 1}, []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}})
	}
	return tb
}

func (tb *table) add(id raft.ID, cluster raft.ClusterID, hard raft.HardState, entries []raft.Entry) {
	tb.t.Helper()
	tb.disks[id] = &tableDisk{}
	tb.kept[id] = &tableSnapshots{table: tb, self: id, states: map[raft.Index][]byte{}}
	d, err := New(Config{
		Raft: raft.Config{ID: id, Cluster: cluster, Seed: uint64(id), TailEntries: 2}, Snapshots: tb.kept[id],
		Stored: raft.Stored{HardState: hard, Entries: entries}, Address: fmt.Sprintf("%v:8000", id), TickEvery: 10 * time.Millisecond,
		Machine: &machine{}, Disk: tb.disks[id], Transport: &tableTransport{table: tb},
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.drivers[id] = d
}

// release finishes what the disk holds.
func (tb *table) release(id raft.ID) {
	saves := tb.disks[id].saves
	tb.disks[id].saves = nil
	if len(saves) > 0 {
		tb.drivers[id].Saved(saves)
	}
}

// settle delivers and saves until nothing moves.
func (tb *table) settle() {
	for range 10000 {
		moved := false
		for _, id := range tb.ids() {
			if len(tb.disks[id].saves) > 0 {
				tb.release(id)
				moved = true
			}
		}
		for _, id := range tb.ids() {
			moved = tb.kept[id].work() || moved
		}
		if len(tb.pile) > 0 {
			m := tb.pile[0]
			tb.pile = tb.pile[1:]
			moved = true
			if d := tb.drivers[m.To]; d != nil && !tb.cut[m.From] && !tb.cut[m.To] {
				d.Deliver([]raft.Message{m})
			}
		}
		if !moved {
			return
		}
	}
	tb.t.Fatal("the members do not come to rest")
}

func (tb *table) ids() []raft.ID {
	var ids []raft.ID
	for id := range tb.drivers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (tb *table) elect(id raft.ID) {
	tb.t.Helper()
	for range 100 {
		tb.drivers[id].Tick()
		tb.settle()
		if tb.drivers[id].raft.Role() == raft.Leader {
			return
		}
	}
	tb.t.Fatalf("%v was not elected", id)
}

// fate is what a proposer was told.
type fate struct {
	told    bool
	applied Applied
	err     error
}

func (tb *table) propose(id raft.ID, command string) *fate {
	f := &fate{}
	tb.drivers[id].Propose([]Proposal{{Command: []byte(command), Answer: func(a Applied, err error) {
		if f.told {
			tb.t.Errorf("the proposer of %q was told twice", command)
		}
		*f = fate{true, a, err}
	}}})
	return f
}

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
