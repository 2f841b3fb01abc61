package raft_test

import (
	"errors"
	"testing"

	"raftlab/raft"
)

// TestEntriesAfterAMatchingSnapshotStay is Figure 13, receiver 6: "If existing log entry has same index and term as
// snapshot's last included entry, retain log entries following it and reply".
func TestEntriesAfterAMatchingSnapshotStay(t *testing.T) {
	log := founded(3)
	for i := raft.Index(2); i <= 6; i++ {
		log = append(log, raft.Entry{Index: i, Term: 2, Data: []byte{byte(i)}})
	}
	w := newWorld()
	w.add(3, raft.HardState{Term: 2}, log)
	r := w.members[3].raft
	m := raft.Message{
		Type: raft.MsgSnapshot, Cluster: testCluster, From: 1, To: 3, Term: 2, Index: 4, LogTerm: 2,
		Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 1, Data: log[0].Data}},
	}
	if err := r.Step(m); err != nil {
		t.Fatal(err)
	}
	ready := r.Ready()
	if r.LastIndex() != 6 || r.FirstIndex() != 1 || r.Committed() != 4 {
		t.Errorf("log is %d to %d, committed %d; want 1 to 6, committed 4", r.FirstIndex(), r.LastIndex(), r.Committed())
	}
	if ready.Install != nil || ready.Save != nil && ready.Save.Restart != nil || len(ready.Committed) != 4 {
		t.Errorf("install %v, %d entries to apply; want none, and the four entries", ready.Install, len(ready.Committed))
	}
}

// TestSnapshotsThatCannotBe: a damaged configuration, or one in which nobody votes, is refused without an effect; so is a
// start from a snapshot that does not meet the log.
func TestSnapshotsThatCannotBe(t *testing.T) {
	r, err := raft.New(raft.Config{ID: 3, Cluster: testCluster, Seed: 1, Violation: func(string) {}}, raft.Stored{HardState: raft.HardState{Term: 2}, Entries: founded(3)})
	if err != nil {
		t.Fatal(err)
	}
	for _, entries := range [][]raft.Entry{nil, {{Data: []byte{1, 0, 1}}}, {{Data: []byte{1, 0, 0}}}, make([]raft.Entry, 2)} {
		m := raft.Message{Type: raft.MsgSnapshot, Cluster: testCluster, From: 1, To: 3, Term: 2, Index: 9, LogTerm: 2, Entries: entries}
		if err := r.Step(m); !errors.Is(err, raft.ErrDropped) {
			t.Fatal(err)
		}
		if r.LastIndex() != 1 || r.Committed() != 0 {
			t.Fatalf("entries %v: log ends at %d, committed %d", entries, r.LastIndex(), r.Committed())
		}
	}
	log := founded(3)
	for name, stored := range map[string]raft.Stored{
		"snapshot after the log":     {HardState: raft.HardState{Term: 1}, Entries: log, Snapshot: raft.Snapshot{Index: 5, Term: 1}},
		"snapshot before the log":    {HardState: raft.HardState{Term: 1}, Base: 7, BaseTerm: 1, Snapshot: raft.Snapshot{Index: 5, Term: 1}},
		"snapshot of another term":   {HardState: raft.HardState{Term: 3}, Entries: log, Snapshot: raft.Snapshot{Index: 1, Term: 2}},
		"log that is not after Base": {HardState: raft.HardState{Term: 1}, Base: 3, BaseTerm: 1, Entries: log, Snapshot: raft.Snapshot{Index: 3, Term: 1}},
	} {
		if _, err := raft.New(raft.Config{ID: 1, Seed: 1}, stored); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
