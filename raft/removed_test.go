package raft_test

import (
	"testing"

	"raftlab/raft"
)

// Who was removed, and knows that this is committed, asks nobody for a vote, whether it heard it now or starts from a snapshot that says
// so: its log is no reason to depose anybody.
func TestARemovedMemberDoesNotCampaign(t *testing.T) {
	entries := founded(3)
	var c raft.Configuration
	if err := c.UnmarshalBinary(entries[0].Data); err != nil {
		t.Fatal(err)
	}
	c.Members = c.Members[:2] // without n3
	entries = append(entries, configurationEntry(2, 1, c))
	hard := raft.HardState{Term: 1}
	for name, stored := range map[string]raft.Stored{
		"its log says so":      {HardState: hard, Entries: entries},
		"its snapshot says so": {HardState: hard, Snapshot: raft.Snapshot{Index: 2, Term: 1, Configuration: c, ConfigurationIndex: 2}, Base: 2, BaseTerm: 1},
	} {
		r, err := raft.New(raft.Config{ID: 3, Cluster: testCluster, Seed: 1}, stored)
		if err != nil {
			t.Fatal(err)
		}
		step := func(in raft.Input) {
			t.Helper()
			if err := r.Step(in); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		step(raft.Message{Type: raft.MsgAppend, Cluster: testCluster, From: 1, To: 3, Term: 1, Index: 2, LogTerm: 1, Commit: 2})
		if r.Committed() != 2 {
			t.Fatalf("%s: it knows entries up to %d to be committed, not its removal", name, r.Committed())
		}
		for range 100 { // many election time-outs
			if step(raft.Tick{}); r.Role() != raft.Follower {
				t.Fatalf("%s: it was removed, and is a %v", name, r.Role())
			}
		}
	}
}
