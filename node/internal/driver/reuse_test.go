package driver

import (
	"errors"
	"slices"
	"testing"

	"raftlab/raft"
)

// among delivers only messages whose ends are both in the set and that keep approves; all others are lost.
func (tb *table) among(keep func(raft.Message) bool, set ...raft.ID) {
	tb.t.Helper()
	for range 1000 {
		moved := false
		for _, id := range set {
			if len(tb.disks[id].saves) > 0 {
				tb.release(id)
				moved = true
			}
		}
		for len(tb.pile) > 0 {
			m := tb.pile[0]
			tb.pile = tb.pile[1:]
			if slices.Contains(set, m.From) && slices.Contains(set, m.To) && (keep == nil || keep(m)) {
				tb.drivers[m.To].Deliver([]raft.Message{m})
				moved = true
			}
		}
		if !moved {
			return
		}
	}
	tb.t.Fatal("the members do not come to rest")
}

func aboutVotes(m raft.Message) bool {
	return m.Type == raft.MsgPreVote || m.Type == raft.MsgPreVoteReply || m.Type == raft.MsgVote || m.Type == raft.MsgVoteReply
}

// electAmong lets time pass for all of the set until the member leads; of messages only those that keep approves arrive.
func (tb *table) electAmong(id raft.ID, keep func(raft.Message) bool, set ...raft.ID) {
	tb.t.Helper()
	for range 400 {
		for _, other := range set {
			if tb.drivers[other].raft.Role() != raft.Leader || other == id {
				tb.drivers[other].Tick()
			}
		}
		tb.among(keep, set...)
		if tb.drivers[id].raft.Role() == raft.Leader {
			return
		}
	}
	tb.t.Fatalf("%v was not elected by %v", id, set)
}

// TestReusedIndexIsNoCertainAnswer: n1 leads, loses the entry at an index, leads again and uses the index for another
// entry. That says nothing of the first one, which n2 still has: n2 is elected and commits it.
func TestReusedIndexIsNoCertainAnswer(t *testing.T) {
	tb := newTable(t, 5)
	tb.elect(1)
	// Three commands reach n2 only. It is the last one's index that will be used again: n5's no-op takes that of the
	// first, and n1's own of the second.
	tb.propose(1, "before 2")
	tb.propose(1, "before 1")
	first := tb.propose(1, "first")
	tb.among(nil, 1, 2)
	// n5 wins without them; its no-op reaches n1 only, and n5 dies.
	tb.electAmong(5, aboutVotes, 3, 4, 5)
	tb.pile = nil
	tb.drivers[5].Tick()
	tb.among(func(m raft.Message) bool { return m.Type == raft.MsgAppend || m.Type == raft.MsgAppendReply }, 5, 1)
	tb.drivers[5].Tick()
	tb.among(func(m raft.Message) bool { return m.Type == raft.MsgAppend || m.Type == raft.MsgAppendReply }, 5, 1)
	// n1 wins again, and uses the next indexes.
	tb.electAmong(1, aboutVotes, 1, 3, 4)
	tb.pile = nil
	second := tb.propose(1, "second")
	tb.pile = nil
	if first.told && !errors.Is(first.err, ErrUnknown) {
		t.Fatalf("the first proposer was told %+v while n2 has the entry", first)
	}
	if index := tb.drivers[1].raft.LastIndex(); len(tb.drivers[1].proposed[index]) != 2 {
		t.Fatalf("the schedule did not use index %d again: %d wait for it", index, len(tb.drivers[1].proposed[index]))
	}
	// n1 dies with it. n2 wins with the first entry, if the logs of the others allow it, and commits it.
	tb.electAmong(2, nil, 2, 3, 4)
	tb.propose(2, "third")
	tb.among(nil, 2, 3, 4)
	if !slices.Contains(values(tb.drivers[2]), "first") {
		t.Fatalf("the schedule did not commit the first entry: n2 applied %v", values(tb.drivers[2]))
	}
	// n1 comes back and learns what became of both.
	for range 60 {
		tb.drivers[2].Tick()
		tb.drivers[1].Tick()
		tb.among(nil, 1, 2, 3, 4)
	}
	if first.told && errors.Is(first.err, ErrNotLeader) {
		t.Errorf("the first proposer was told %v, which is certain, and it is committed", first.err)
	}
	if !second.told || second.err == nil {
		t.Errorf("the second proposer was told %+v, and it is lost", second)
	}
}

// TestWaitersThatAreGoneAreForgotten: an index that never comes must not keep those who once asked for it.
func TestWaitersThatAreGoneAreForgotten(t *testing.T) {
	tb := newTable(t, 1)
	tb.elect(1)
	gone := false
	for range 1000 {
		tb.drivers[1].WaitApplied(1<<60, func() bool { return gone }, func(raft.Index, error) {})
	}
	tb.drivers[1].Tick()
	if n := len(tb.drivers[1].applied); n != 1000 {
		t.Fatalf("%d of 1000 waiters are left while they wait", n)
	}
	gone = true
	tb.drivers[1].Tick()
	if n := len(tb.drivers[1].applied); n != 0 {
		t.Fatalf("%d waiters are kept that nobody waits for", n)
	}
}
