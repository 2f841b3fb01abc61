package driver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"raftlab/raft"
)

// tableSnapshots keeps snapshots in memory. Nothing is written or sent until work is called.
type tableSnapshots struct {
	table  *table
	self   raft.ID
	states map[raft.Index][]byte
	latest raft.Snapshot
	todo   []func()
	takes  int
	fail   error
}

func (k *tableSnapshots) Latest() (raft.Snapshot, bool) { return k.latest, k.latest.Index > 0 }

func (k *tableSnapshots) Take(s raft.Snapshot, write func(io.Writer) error) {
	k.takes++
	k.todo = append(k.todo, func() {
		var b bytes.Buffer
		err := errors.Join(write(&b), k.fail)
		if err == nil {
			k.states[s.Index] = b.Bytes()
		}
		k.table.drivers[k.self].Taken(s, err)
	})
}

func (k *tableSnapshots) Send(m raft.Message) {
	k.todo = append(k.todo, func() {
		to, ok := k.table.kept[m.To]
		if !ok || k.fail != nil || k.table.cut[m.To] || k.table.cut[k.self] {
			k.table.drivers[k.self].Sent(m.To, errors.New("broken"))
			return
		}
		to.states[m.Index] = k.states[m.Index]
		k.table.drivers[m.To].Deliver([]raft.Message{m})
		k.table.drivers[k.self].Sent(m.To, nil)
	})
}

func (k *tableSnapshots) Read(s raft.Snapshot) (io.ReadCloser, error) {
	b, ok := k.states[s.Index]
	if !ok {
		return nil, fmt.Errorf("no snapshot of entry %d", s.Index)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (k *tableSnapshots) work() bool {
	todo := k.todo
	k.todo = nil
	for _, do := range todo {
		do()
	}
	return len(todo) > 0
}

func values(d *Driver) []string { return d.config.Machine.(*machine).values }

func TestSnapshotIsTakenWhenEnoughIsApplied(t *testing.T) {
	tb := newTable(t, 1)
	tb.drivers[1].config.SnapshotEntries = 10
	tb.elect(1)
	for i := range 25 {
		tb.propose(1, fmt.Sprint(i))
		tb.settle()
	}
	if n := len(tb.kept[1].states); n != 2 {
		t.Errorf("27 entries with a snapshot every 10 made %d snapshots", n)
	}
	s := tb.drivers[1].Status()
	if s.Snapshot < 20 || s.First != s.Snapshot-1 || tb.disks[1].dropped != s.First-1 {
		t.Errorf("snapshot of %d, log from %d, disk dropped up to %d; want a tail of 2", s.Snapshot, s.First, tb.disks[1].dropped)
	}
}

// TestSnapshotIsTakenWhenTheCommandsAreManyBytes: a few large ones take as long to read at a start as many small ones.
func TestSnapshotIsTakenWhenTheCommandsAreManyBytes(t *testing.T) {
	tb := newTable(t, 1)
	tb.drivers[1].config.SnapshotBytes = 300
	tb.elect(1)
	for i, want := range []int{0, 0, 1, 1, 1, 2} {
		tb.propose(1, strings.Repeat("x", 100))
		tb.settle()
		if n := len(tb.kept[1].states); n != want {
			t.Fatalf("after %d commands of 100 bytes there are %d snapshots, want %d", i+1, n, want)
		}
	}
}

// TestSnapshotThatFailedRestsBeforeTheNext: on a full disk each try would fill it again, as fast as it fails. Who asks for
// one gets it at once.
func TestSnapshotThatFailedRestsBeforeTheNext(t *testing.T) {
	for _, due := range []struct{ entries, bytes int }{{entries: 10}, {bytes: 10}} {
		tb := newTable(t, 1)
		d, kept := tb.drivers[1], tb.kept[1]
		d.config.SnapshotEntries, d.config.SnapshotBytes, d.config.TickEvery = due.entries, due.bytes, 10*time.Millisecond
		tb.elect(1)
		tb.settle()
		before, states := kept.takes, len(kept.states)
		tries := func(when string, want int) {
			t.Helper()
			if tb.settle(); kept.takes-before != want {
				t.Fatalf("%+v: %d tries %s, want %d", due, kept.takes-before, when, want)
			}
		}
		ticks := func(n int) {
			for range n {
				d.Tick()
				tb.settle()
			}
		}
		kept.fail = errors.New("no space left on device")
		for i := range 25 {
			tb.propose(1, fmt.Sprint(i))
			tb.settle()
		}
		tries("while no time passed", 1)
		ticks(99)
		tries("within 0.99 s", 1)
		d.TakeSnapshot(func(raft.Index, error) {})
		tries("after one was asked for", 2)
		kept.fail = nil
		ticks(99)
		tries("within 0.99 s of that", 2)
		ticks(1)
		if tries("after another second", 3); len(kept.states) != states+1 {
			t.Errorf("%+v: %d snapshots, want %d", due, len(kept.states), states+1)
		}
	}
}

// TestWritesGoOnWhileASnapshotIsTaken, and are not in it.
func TestWritesGoOnWhileASnapshotIsTaken(t *testing.T) {
	tb := newTable(t, 1)
	tb.elect(1)
	tb.propose(1, "before")
	tb.settle()
	var taken raft.Index
	tb.drivers[1].TakeSnapshot(func(i raft.Index, err error) {
		if err != nil {
			t.Error(err)
		}
		taken = i
	})
	f := tb.propose(1, "after")
	tb.release(1)
	if !f.told || f.err != nil {
		t.Fatalf("the write waited for the snapshot: %+v", f)
	}
	if taken != 0 {
		t.Fatal("the snapshot was answered before it was written")
	}
	tb.settle()
	restored := &machine{}
	if err := restored.Restore(bytes.NewReader(tb.kept[1].states[taken])); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(restored.values) != "[before]" || restored.applied != taken {
		t.Fatalf("the snapshot of entry %d holds %v of entry %d", taken, restored.values, restored.applied)
	}
}

// TestMemberThatMissedTheLogGetsTheState, tries again when the way breaks, and restarts from it.
func TestMemberThatMissedTheLogGetsTheState(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.cut[3] = true
	for i := range 20 {
		tb.propose(1, fmt.Sprint(i))
	}
	tb.settle()
	tb.drivers[1].TakeSnapshot(func(_ raft.Index, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	tb.settle()
	clear(tb.cut)
	tb.kept[1].fail = errors.New("cut in the middle")
	for range 3 { // the refusal, the snapshot, the break
		tb.drivers[1].Tick()
		for len(tb.pile) > 0 {
			m := tb.pile[0]
			tb.pile = tb.pile[1:]
			tb.drivers[m.To].Deliver([]raft.Message{m})
			tb.release(m.To)
		}
		tb.kept[1].work()
	}
	if len(values(tb.drivers[3])) != 0 {
		t.Fatal("the state arrived although the way was broken")
	}
	tb.kept[1].fail = nil
	for range 3 {
		tb.drivers[1].Tick()
		tb.settle()
	}
	if got := values(tb.drivers[3]); len(got) != 20 {
		t.Fatalf("n3 has %v", got)
	}
	s := tb.drivers[3].raft.Snapshot()
	states := tb.kept[3].states
	tb.add(3, 7, raft.HardState{}, nil) // its disk is empty but for the snapshot
	tb.kept[3].states = states
	stored, mended, err := Mend(raft.Stored{HardState: raft.HardState{Term: 1, Vote: 2}, Snapshot: s})
	if err != nil || !mended || stored.HardState != (raft.HardState{Term: s.Term}) || stored.Base != s.Index {
		t.Fatalf("mended is %v: %+v", mended, stored)
	}
	config := tb.drivers[3].config
	config.Stored, config.Machine = stored, &machine{}
	again, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if len(values(again)) != 20 || again.Status().Configuration.Voters() != 3 {
		t.Fatalf("after the restart it has %v", again.Status())
	}
}

// TestLogWithoutItsSnapshotIsAnError: to start without the state before the log would be to forget it.
func TestLogWithoutItsSnapshotIsAnError(t *testing.T) {
	for _, s := range []raft.Snapshot{{}, {Index: 4, Term: 1}} {
		if _, _, err := Mend(raft.Stored{Base: 5, BaseTerm: 1, Snapshot: s}); err == nil {
			t.Errorf("log from 6, snapshot of %d: accepted", s.Index)
		}
	}
}

// TestProposalBehindAnInstalledSnapshotIsUnknown: the snapshot covers its index and does not say what was there.
func TestProposalBehindAnInstalledSnapshotIsUnknown(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.cut[1] = true
	f := tb.propose(1, "perhaps")
	for range 12 {
		tb.drivers[1].Tick()
		tb.drivers[3].Tick()
	}
	tb.pile = nil
	tb.elect(2)
	for i := range 10 {
		tb.propose(2, fmt.Sprint(i))
	}
	tb.settle()
	tb.drivers[2].TakeSnapshot(func(raft.Index, error) {})
	tb.settle()
	clear(tb.cut)
	for range 4 {
		tb.drivers[2].Tick()
		tb.settle()
	}
	if got := tb.drivers[1].raft.Snapshot().Index; got == 0 {
		t.Fatal("n1 was to get a snapshot")
	}
	if !f.told || !errors.Is(f.err, ErrUnknown) {
		t.Fatalf("told %+v, want ErrUnknown", f)
	}
}

// TestDamagedSnapshotEndsTheMember: it must not go on without the state that its log begins after.
func TestDamagedSnapshotEndsTheMember(t *testing.T) {
	tb := newTable(t, 1)
	config := tb.drivers[1].config
	config.Machine = &machine{}
	config.Stored = raft.Stored{
		HardState: raft.HardState{Term: 2}, Base: 9, BaseTerm: 2,
		Snapshot: raft.Snapshot{Index: 9, Term: 2, Configuration: tb.drivers[1].members, ConfigurationIndex: 1},
	}
	tb.kept[1].states[9] = []byte("{")
	if _, err := New(config); err == nil {
		t.Error("it started with half a state")
	}
	tb.kept[1].states[9] = []byte(`{"Applied": 8}`)
	if _, err := New(config); err == nil {
		t.Error("it started with the state of another index")
	}
	delete(tb.kept[1].states, 9)
	if _, err := New(config); err == nil {
		t.Error("it started without its state")
	}
}

func TestTransferAnswersWhenAnotherLeads(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.propose(1, "x")
	tb.settle()
	var to raft.ID
	var failed error
	told := func(id raft.ID, err error) { to, failed = id, err }
	tb.drivers[1].Transfer(0, told)
	tb.settle()
	if failed != nil || to == 0 || to == 1 || tb.drivers[to].raft.Role() != raft.Leader {
		t.Fatalf("handed to %v: %v", to, failed)
	}
	leader := to
	tb.cut[leader] = true
	tb.drivers[leader].Transfer(1, told)
	for range 12 {
		tb.drivers[leader].Tick()
	}
	if !errors.Is(failed, ErrTransferFailed) && !errors.Is(failed, ErrNotLeader) {
		t.Fatalf("a transfer to nobody was told %v", failed)
	}
}

// Two leaders may send at once, and the newer snapshot takes the place of the older before the loop hears of that. The
// simulator found that the member then ended itself.
func TestASnapshotThatWasOvertakenIsRefusedAndTheMemberLives(t *testing.T) {
	tb := newTable(t, 3)
	data, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := raft.Message{Type: raft.MsgSnapshot, Cluster: 7, From: 2, To: 1, Term: 3, Index: 50, LogTerm: 2,
		Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 1, Data: data}}}
	if err := tb.drivers[1].DeliverSnapshot(m); err == nil {
		t.Error("a snapshot that is not there was taken")
	}
	if err := tb.drivers[1].Failure(); err != nil {
		t.Error(err)
	}
	if tb.drivers[1].Raft().Term() == 3 {
		t.Error("Raft was told of it")
	}
}

// The newer one came from a leader that was deposed before its message was heard, so nothing speaks of it; today's leader
// has only the older one, which is of no use. The simulator found that the member stayed behind for ever.
func TestASnapshotThatNobodySpeaksOfAnyMoreIsInstalledInPlaceOfAnOlderOne(t *testing.T) {
	tb := newTable(t, 3)
	members := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}, {ID: 2, Address: "n2:8000"}}}
	data, err := members.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	tb.kept[1].latest = raft.Snapshot{Index: 60, Term: 2, ConfigurationIndex: 55, Configuration: members}
	tb.kept[1].states[60] = []byte(`{"Applied":60,"Values":["newer"]}`)
	m := raft.Message{Type: raft.MsgSnapshot, Cluster: 7, From: 2, To: 1, Term: 3, Index: 50, LogTerm: 2,
		Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 1, Data: data}}}
	if err := tb.drivers[1].DeliverSnapshot(m); err != nil {
		t.Fatal(err)
	}
	r := tb.drivers[1].Raft()
	if r.Committed() != 60 || r.Term() != 3 || r.ConfigurationIndex() != 55 || len(values(tb.drivers[1])) != 1 {
		t.Errorf("committed %d in term %d, configuration %d, state %v", r.Committed(), r.Term(), r.ConfigurationIndex(), values(tb.drivers[1]))
	}
}
