package raft_test

import (
	"bytes"
	"testing"

	"raftlab/raft"
)

// Figure 2: "nextIndex[]: initialized to leader last log index + 1", "matchIndex[]: initialized to 0": a new leader
// knows nothing of what the others have.
func TestNewLeaderKnowsNothingOfTheOthers(t *testing.T) {
	w := newWorld()
	for id := raft.ID(1); id <= 3; id++ {
		log := founded(3)
		for i := raft.Index(2); i <= 5; i++ {
			log = append(log, raft.Entry{Index: i, Term: 2})
		}
		w.add(id, raft.HardState{Term: 2}, log)
	}
	w.passTimeout(1)
	for w.members[1].raft.Role() != raft.Leader {
		w.deliver(0, false)
	}
	for _, id := range []raft.ID{2, 3} {
		if p, _ := w.members[1].raft.Progress(id); p.Match != 0 || p.Next != 6 {
			t.Errorf("%v: match %d, next %d; want 0 and 6", id, p.Match, p.Next)
		}
	}
}

// §5.3: "If followers crash or run slowly, or if network packets are lost, the leader retries AppendEntries RPCs
// indefinitely (even after it has responded to the client) until all followers eventually store all log entries."
func TestLeaderRetriesUntilEveryFollowerHasIt(t *testing.T) {
	w := led(3)
	w.cut[[2]raft.ID{1, 3}] = true
	if err := w.step(1, raft.Propose{Commands: [][]byte{[]byte("x")}}); err != nil {
		t.Fatal(err)
	}
	for range 500 { // far longer than any time-out; n2 has it, and so has the client its answer
		_ = w.step(1, raft.Tick{})
		w.settle()
	}
	if r := w.members[1].raft; r.Committed() != 3 || w.members[3].raft.LastIndex() != 2 {
		t.Fatalf("committed %d, last of n3 %d; want 3 and 2", r.Committed(), w.members[3].raft.LastIndex())
	}
	clear(w.cut)
	_ = w.step(1, raft.Tick{})
	w.settle()
	if r := w.members[3].raft; r.LastIndex() != 3 || r.Committed() != 3 {
		t.Errorf("after the cut n3 has entries up to %d, committed %d; want 3", r.LastIndex(), r.Committed())
	}
}

// §5.3: "The leader keeps track of the highest index it knows to be committed, and it includes that index in future
// AppendEntries RPCs (including heartbeats) so that the other servers eventually find out."
func TestHeartbeatTellsTheCommitIndexAgain(t *testing.T) {
	w := led(3)
	if err := w.step(1, raft.Propose{Commands: [][]byte{[]byte("x")}}); err != nil {
		t.Fatal(err)
	}
	w.deliverAll(raft.MsgAppend)
	w.deliverAll(raft.MsgAppendReply)
	w.pile = nil // what would have told them is lost
	if a, b := w.members[1].raft.Committed(), w.members[2].raft.Committed(); a != 3 || b != 2 {
		t.Fatalf("committed %d and %d, want 3 and 2", a, b)
	}
	_ = w.step(1, raft.Tick{})
	w.settle()
	if got := w.members[2].raft.Committed(); got != 3 {
		t.Errorf("after a heartbeat n2 has committed %d, want 3", got)
	}
}

// §5.4.2: "Raft never commits log entries from previous terms by counting replicas. Only log entries from the leader's
// current term are committed by counting replicas; once an entry from the current term has been committed in this way,
// then all prior entries are committed indirectly."
func TestLeaderDoesNotCommitOldTermsByCounting(t *testing.T) {
	w := newWorld()
	for id := raft.ID(1); id <= 5; id++ {
		w.add(id, raft.HardState{Term: 3}, append(founded(5), raft.Entry{Index: 2, Term: 2}))
	}
	w.passTimeout(1)
	for w.members[1].raft.Role() != raft.Leader {
		w.deliver(0, false)
	}
	r := w.members[1].raft
	same := func(id raft.ID, index raft.Index) {
		m := from(id, 4, raft.MsgAppendReply)
		m.Index = index
		if err := r.Step(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []raft.ID{2, 3, 4, 5} {
		same(id, 2)
	}
	if r.Committed() != 0 {
		t.Fatalf("entry 2 of term 2 is on all five and committed %d in term 4: by counting", r.Committed())
	}
	same(2, 3)
	if r.Committed() != 0 {
		t.Fatalf("committed %d with two of five", r.Committed())
	}
	same(3, 3)
	if r.Committed() != 3 {
		t.Errorf("committed %d; entry 3 of term 4 is on three of five, so 3", r.Committed())
	}
}

// §5.5: "Raft RPCs are idempotent, so this causes no harm. For example, if a follower receives an AppendEntries request
// that includes log entries already present in its log, it ignores those entries."
func TestRequestsThatArriveTwiceChangeNothing(t *testing.T) {
	for seed := range uint64(20) {
		w := newCluster(3)
		w.passTimeout(raft.ID(seed%3 + 1))
		seen := map[raft.MessageType]int{}
		for n := 0; n < 60 && len(w.pile) > 0; n++ {
			m := w.pile[0]
			w.deliver(0, false)
			switch m.Type {
			case raft.MsgVote, raft.MsgPreVote, raft.MsgAppend:
				seen[m.Type]++
				r := w.members[m.To].raft
				before, last, vote := r.Hash(), r.LastIndex(), r.Vote()
				_ = w.step(m.To, m)
				w.pile = w.pile[:len(w.pile)-1] // its second answer
				if r.Hash() != before || r.LastIndex() != last || r.Vote() != vote {
					t.Fatalf("seed %d: %v arrived twice and changed the state", seed, m)
				}
			}
			for id := raft.ID(1); id <= 3; id++ {
				if r := w.members[id].raft; r.Role() == raft.Leader && r.LastIndex() < 6 {
					_ = w.step(id, raft.Propose{Commands: [][]byte{[]byte("x")}})
				}
			}
		}
		if seen[raft.MsgVote] == 0 || seen[raft.MsgAppend] < 4 {
			t.Fatalf("seed %d: only %v arrived twice", seed, seen)
		}
	}
}

// Figure 3, Leader Append-Only: "a leader never overwrites or deletes entries in its log; it only appends new entries."
// What its followers refuse, and in which order, does not matter.
func TestLeaderKeepsItsLogWhateverIsRefused(t *testing.T) {
	w := led(3)
	r := w.members[1].raft
	before := r.Entries()
	for index := raft.Index(0); index < 5; index++ {
		for hint := raft.Index(0); hint < 5; hint++ {
			m := from(2, 2, raft.MsgAppendReply)
			m.Reject, m.Index, m.Hint, m.HintTerm = true, index, hint, raft.Term(hint)
			_ = r.Step(m)
			p, _ := r.Progress(2)
			if p.Match != 2 {
				t.Fatalf("a refusal of %d moved match to %d", index, p.Match)
			}
		}
	}
	after := r.Entries()
	if len(after) != len(before) {
		t.Fatalf("%d entries, had %d", len(after), len(before))
	}
	for i := range before {
		if after[i].Term != before[i].Term || !bytes.Equal(after[i].Data, before[i].Data) {
			t.Errorf("entry %d changed", i+1)
		}
	}
}

// Thesis §3.10, step 2: "The prior leader fully updates the target server's log to match its own" before step 3, the
// TimeoutNow: a target that lacks an entry could not win.
func TestTargetOfATransferHasEverythingFirst(t *testing.T) {
	w := led(3)
	w.cut[[2]raft.ID{1, 3}] = true
	for range 3 {
		if err := w.step(1, raft.Propose{Commands: [][]byte{[]byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	clear(w.cut)
	if err := w.step(1, raft.Transfer{To: 3}); err != nil {
		t.Fatal(err)
	}
	told := false
	for n := 0; n < 100 && !told; n++ {
		if len(w.pile) == 0 {
			_ = w.step(1, raft.Tick{})
		}
		for _, m := range w.pile {
			told = told || m.Type == raft.MsgTimeoutNow
		}
		if told {
			break
		}
		w.deliver(0, false)
	}
	if got := w.members[3].raft.LastIndex(); !told || got != w.members[1].raft.LastIndex() {
		t.Fatalf("told to campaign: %v, with entries up to %d of %d", told, got, w.members[1].raft.LastIndex())
	}
	w.settle()
	w.wantRole(t, 3, raft.Leader, 3)
}

// Thesis §3.10: the word to campaign is the leader's. From anybody else, or to a learner, it is nothing.
func TestOnlyTheLeaderCanTellAMemberToCampaign(t *testing.T) {
	w := led(3)
	m := from(3, 2, raft.MsgTimeoutNow)
	m.To = 2
	_ = w.step(2, m)
	w.wantRole(t, 2, raft.Follower, 2)
	m.From = 1
	_ = w.step(2, m)
	w.wantRole(t, 2, raft.Candidate, 3)
}

// Figure 2, leaders: "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries starting
// at nextIndex." Ours go ahead of the answers, so each entry travels once, in order, within the bounds of Config.
func TestEntriesAreSentOnceAndInOrder(t *testing.T) {
	w := led(3)
	next := raft.Index(3)
	for range 20 {
		if err := w.step(1, raft.Propose{Commands: [][]byte{[]byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range w.pile {
		if m.To != 2 || len(m.Entries) == 0 {
			continue
		}
		if m.Index != next-1 || m.Entries[0].Index != next {
			t.Fatalf("%v comes where entry %d is next", m, next)
		}
		next += raft.Index(len(m.Entries))
	}
	if next != 23 {
		t.Errorf("entries up to %d were sent before any was acknowledged, want 22", next-1)
	}
}
