package driver

import (
	"fmt"
	"testing"

	"raftlab/raft"
)

// A snapshot that arrives when its leader has been deposed takes the place of the older one in the store, and installs nothing. When
// its entries have come by the log Raft must know of it: the simulator found a leader that would send the older one, for ever.
func TestASnapshotThatInstalledNothingIsKnownOnceItsEntriesAreApplied(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	tb.settle()
	tb.cut[2] = true
	for i := range 5 {
		tb.propose(1, fmt.Sprint(i))
	}
	tb.settle()
	s, ok := tb.drivers[1].raft.SnapshotAt(tb.drivers[1].raft.Committed())
	if !ok {
		t.Fatal("n1 describes no snapshot")
	}
	data, err := s.Configuration.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	tb.kept[2].latest, tb.kept[2].states[s.Index] = s, []byte("{}")
	m := raft.Message{Type: raft.MsgSnapshot, Cluster: 7, From: 3, To: 2, Term: 1, Index: 1, LogTerm: 1,
		Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 1, Data: data}}}
	if err := tb.drivers[2].DeliverSnapshot(m); err != nil {
		t.Fatal(err)
	}
	if got := tb.drivers[2].raft.Snapshot().Index; got != 0 {
		t.Fatalf("a deposed leader's snapshot was installed: %d", got)
	}
	clear(tb.cut)
	for range 4 {
		tb.drivers[1].Tick()
		tb.settle()
	}
	if got := tb.drivers[2].raft.Snapshot().Index; got != s.Index {
		t.Errorf("Raft knows of a snapshot up to %d; the one that is here covers %d", got, s.Index)
	}
}
