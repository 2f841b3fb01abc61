package raft_test

import (
	"testing"

	"raftlab/raft"
)

// A late append ends before what is committed. It vouches for that and for nothing behind it: n3's last entries are of a leader that
// was deposed, and nobody has told n3 yet.
func TestALateAppendVouchesForWhatIsCommittedAndNoMore(t *testing.T) {
	entries := founded(3)
	for i := raft.Index(2); i <= 5; i++ {
		term := raft.Term(1)
		if i > 3 {
			term = 2 // of the deposed leader
		}
		entries = append(entries, raft.Entry{Index: i, Term: term})
	}
	r, err := raft.New(raft.Config{ID: 3, Cluster: testCluster, Seed: 1}, raft.Stored{HardState: raft.HardState{Term: 3}, Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	from := raft.Message{Type: raft.MsgAppend, Cluster: testCluster, From: 1, To: 3, Term: 3}
	now, late := from, from
	now.Index, now.LogTerm, now.Commit = 3, 1, 3
	late.Index, late.LogTerm, late.Commit, late.Entries = 1, 1, 1, entries[1:2]
	for _, m := range []raft.Message{now, late} {
		if err := r.Step(m); err != nil {
			t.Fatal(err)
		}
	}
	replies := 0
	ready := r.Ready()
	messages := ready.Messages
	if ready.Save != nil {
		messages = append(messages, ready.Save.Then...)
	}
	for _, m := range messages {
		replies++
		if m.Type != raft.MsgAppendReply || m.Reject || m.Index != 3 {
			t.Errorf("%v, want that the logs are the same up to 3", m)
		}
	}
	if replies != 2 || r.Committed() != 3 || r.LastIndex() != 5 {
		t.Errorf("%d replies, committed %d, log ends at %d", replies, r.Committed(), r.LastIndex())
	}
}
