package driver

import (
	"testing"

	"raftlab/raft"
)

// TestACommitTravelsWithTheNextEntries: an answer that commits one entry and the proposal of another, taken together,
// are one message to each member.
func TestACommitTravelsWithTheNextEntries(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	first := tb.propose(1, "first")
	tb.release(1)
	for _, m := range tb.pile {
		tb.drivers[m.To].Deliver([]raft.Message{m})
	}
	tb.pile = nil
	tb.release(2)
	in := Inbox{Messages: tb.pile, Proposals: []Proposal{{Command: []byte("second"), Answer: func(Applied, error) {}}}}
	tb.pile = nil
	in.GiveTo(tb.drivers[1])
	if !first.told || first.err != nil {
		t.Fatalf("the first was told %+v", first)
	}
	for _, to := range []raft.ID{2, 3} {
		var appends []raft.Message
		for _, m := range tb.pile {
			if m.To == to {
				appends = append(appends, m)
			}
		}
		if len(appends) != 1 || len(appends[0].Entries) != 1 || appends[0].Commit != first.applied.Index {
			t.Errorf("n%d is sent %v, want one append of one entry that says commit %d", to, appends, first.applied.Index)
		}
	}
	tb.settle()
	if got := tb.drivers[3].raft.Committed(); got != first.applied.Index+1 {
		t.Errorf("n3 has committed %d", got)
	}
}
