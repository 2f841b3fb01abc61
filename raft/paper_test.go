package raft_test

import (
	"testing"

	"raftlab/raft"
)

// Sentences of the paper for which a test says more than a script: a table of roles, a distribution, a state before
// and after. divergence.md lists every rule with the script or the test that shows it.

// newCluster is so many voters, each with the founding entry, in term 1.
func newCluster(voters int) *world {
	w := newWorld()
	for i := range voters {
		w.add(raft.ID(i+1), raft.HardState{Term: 1}, founded(voters))
	}
	return w
}

// led is newCluster with n1 leading term 2.
func led(voters int) *world {
	w := newCluster(voters)
	w.passTimeout(1)
	w.settle()
	return w
}

// deliverAll delivers the messages of one type that lie in the pile now, and none that follow from them.
func (w *world) deliverAll(kind raft.MessageType) {
	for n := len(w.pile); n > 0; n-- {
		for i, m := range w.pile {
			if m.Type == kind {
				w.deliver(i, false)
				break
			}
		}
	}
}

// askingForVotes is newCluster with n1 asking for votes in term 2. Its requests are lost.
func askingForVotes(voters int) *world {
	w := newCluster(voters)
	w.passTimeout(1)
	w.deliverAll(raft.MsgPreVote)
	w.deliverAll(raft.MsgPreVoteReply)
	w.pile = nil
	return w
}

func from(sender raft.ID, term raft.Term, kind raft.MessageType) raft.Message {
	return raft.Message{Type: kind, Cluster: testCluster, From: sender, To: 1, Term: term}
}

func (w *world) wantRole(t *testing.T, id raft.ID, role raft.Role, term raft.Term) {
	t.Helper()
	if r := w.members[id].raft; r.Role() != role || r.Term() != term {
		t.Errorf("%v is %v in term %d, want %v in term %d", id, r.Role(), r.Term(), role, term)
	}
}

// §5.1: "If a server receives a request with a stale term number, it rejects the request." Also Figure 2,
// AppendEntries 1, RequestVote 1, and Figure 13, 1. The answer carries the newer term. A stale reply says nothing.
func TestRequestOfAnOldTermIsRefusedWithOurs(t *testing.T) {
	answers := map[raft.MessageType]raft.MessageType{
		raft.MsgAppend: raft.MsgAppendReply, raft.MsgSnapshot: raft.MsgAppendReply,
		raft.MsgVote: raft.MsgVoteReply, raft.MsgPreVote: raft.MsgPreVoteReply,
		raft.MsgAppendReply: 0, raft.MsgVoteReply: 0, raft.MsgPreVoteReply: 0, raft.MsgTimeoutNow: 0, raft.MsgReadIndex: 0, raft.MsgReadIndexReply: 0,
	}
	for kind, answer := range answers {
		w := newWorld()
		w.add(1, raft.HardState{Term: 5, Vote: 3}, founded(3))
		r := w.members[1].raft
		m := from(2, 4, kind)
		if kind == raft.MsgSnapshot {
			m.Index, m.Entries = 1, founded(3)
		}
		if err := r.Step(m); err != nil {
			t.Fatalf("%v: %v", kind, err)
		}
		ready := r.Ready()
		switch {
		case answer == 0 && len(ready.Messages) != 0:
			t.Errorf("%v of term 4 in term 5 is answered: %v", kind, ready.Messages)
		case answer != 0 && (len(ready.Messages) != 1 || ready.Messages[0].Type != answer || !ready.Messages[0].Reject || ready.Messages[0].Term != 5):
			t.Errorf("%v of term 4 in term 5: %v, want a refusal in term 5", kind, ready.Messages)
		}
		if r.Term() != 5 || r.Vote() != 3 || r.Leader() != 0 || r.LastIndex() != 1 || ready.Save != nil {
			t.Errorf("%v of term 4 changed the state", kind)
		}
	}
}

// Figure 2, all servers: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
// follower." In the new term the member has voted for nobody.
func TestNewerTermMakesAFollower(t *testing.T) {
	for role, start := range map[raft.Role]func() *world{
		raft.Follower: func() *world { return newCluster(3) }, raft.Candidate: func() *world { return askingForVotes(3) },
		raft.Leader: func() *world { return led(3) },
	} {
		for _, kind := range []raft.MessageType{raft.MsgAppend, raft.MsgAppendReply, raft.MsgVoteReply, raft.MsgReadIndex, raft.MsgReadIndexReply} {
			w := start()
			w.wantRole(t, 1, role, w.members[1].raft.Term())
			if err := w.step(1, from(2, 9, kind)); err != nil {
				t.Fatalf("%v, %v: %v", role, kind, err)
			}
			w.wantRole(t, 1, raft.Follower, 9)
			if v := w.members[1].raft.Vote(); v != 0 {
				t.Errorf("%v, %v: has a vote for %v in a term that it just entered", role, kind, v)
			}
		}
	}
}

// ticksToCampaign counts the ticks until a follower asks for votes.
func ticksToCampaign(r *raft.Raft) int {
	for n := 1; n < 100; n++ {
		_ = r.Step(raft.Tick{})
		if r.Role() != raft.Follower {
			return n
		}
	}
	return 100
}

// §5.2: "election timeouts are chosen randomly from a fixed interval", anew for each election, "so split votes are rare".
func TestElectionTimeoutIsDrawnFromAFixedInterval(t *testing.T) {
	drawn := map[int]int{}
	again := 0
	for seed := range uint64(400) {
		r, err := raft.New(raft.Config{ID: 1, Cluster: testCluster, Seed: seed}, raft.Stored{HardState: raft.HardState{Term: 1}, Entries: founded(3)})
		if err != nil {
			t.Fatal(err)
		}
		first := ticksToCampaign(r)
		drawn[first]++
		_ = r.Step(from(2, 2, raft.MsgAppend)) // a leader shows itself, and is gone
		if ticksToCampaign(r) == first {
			again++
		}
	}
	for ticks, n := range drawn {
		if ticks < 10 || ticks > 19 || n > 100 {
			t.Errorf("%d of 400 members wait for %d ticks; the interval is 10 to 19, with 40 each", n, ticks)
		}
	}
	if len(drawn) != 10 || again > 100 {
		t.Errorf("%d of 10 time-outs were drawn; %d of 400 members drew the same one twice, 40 are expected", len(drawn), again)
	}
}

// Figure 2, followers: "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
// vote to candidate: convert to candidate." To grant a vote begins the wait anew; to refuse one does not.
func TestGrantingAVoteBeginsTheWaitAnewAndRefusingDoesNot(t *testing.T) {
	w := newWorld()
	w.add(1, raft.HardState{Term: 3}, founded(3))
	r := w.members[1].raft
	for range 9 {
		_ = r.Step(raft.Tick{})
	}
	alone := ticksToCampaign(r.Clone())

	refusing := r.Clone()
	stale := from(2, 3, raft.MsgVote) // its log is empty
	_ = refusing.Step(stale)
	if got := ticksToCampaign(refusing); got != alone || refusing.Vote() == 2 {
		t.Errorf("after a refusal it campaigns in %d ticks, without one in %d", got, alone)
	}
	granting := r.Clone()
	good := from(2, 3, raft.MsgVote)
	good.Index, good.LogTerm = 1, 1
	_ = granting.Step(good)
	if got := ticksToCampaign(granting); granting.Vote() != 2 || got != alone+9 {
		t.Errorf("after granting it campaigns in %d ticks, want 9 more than %d", got, alone)
	}
}

// §5.2: "If the leader's term is at least as large as the candidate's current term, then the candidate recognizes the
// leader as legitimate and returns to follower state. If [it] is smaller, then the candidate rejects the RPC and
// continues in candidate state."
func TestCandidateRecognisesALeaderOfItsTermOnly(t *testing.T) {
	w := askingForVotes(3)
	_ = w.step(1, from(2, 1, raft.MsgAppend))
	w.wantRole(t, 1, raft.Candidate, 2)
	_ = w.step(1, from(2, 2, raft.MsgAppend))
	w.wantRole(t, 1, raft.Follower, 2)
	if got := w.members[1].raft.Leader(); got != 2 {
		t.Errorf("follows %v, want n2", got)
	}
}

// §5.2: when votes are split, "each candidate will time out and start a new election by incrementing its term".
func TestSplitVoteIsFollowedByAnotherTerm(t *testing.T) {
	w := newCluster(4)
	for _, id := range []raft.ID{1, 2} { // both ask at once, and each gets one vote besides its own
		w.passTimeout(id)
	}
	w.deliverAll(raft.MsgPreVote)
	w.deliverAll(raft.MsgPreVoteReply)
	w.wantRole(t, 1, raft.Candidate, 2)
	w.wantRole(t, 2, raft.Candidate, 2)
	w.cut[[2]raft.ID{1, 4}], w.cut[[2]raft.ID{2, 3}] = true, true
	w.settle()
	w.wantRole(t, 1, raft.Candidate, 2)
	w.wantRole(t, 2, raft.Candidate, 2)
	clear(w.cut)
	w.passTimeout(1)
	w.settle()
	w.wantRole(t, 1, raft.Leader, 3)
}

// §5.2: "a candidate wins an election if it receives votes from a majority of the servers in the full cluster for the
// same term." A vote of an earlier election, arriving late, counts for nothing.
func TestVoteOfAnEarlierTermDoesNotCount(t *testing.T) {
	w := askingForVotes(3)
	w.passTimeout(1) // nobody answered: again
	w.deliverAll(raft.MsgPreVote)
	w.deliverAll(raft.MsgPreVoteReply)
	w.wantRole(t, 1, raft.Candidate, 3)
	_ = w.step(1, from(2, 2, raft.MsgVoteReply))
	w.wantRole(t, 1, raft.Candidate, 3)
	_ = w.step(1, from(2, 3, raft.MsgVoteReply))
	w.wantRole(t, 1, raft.Leader, 3)
}

// Figure 2: "on stable storage before responding". A term that was learnt from another is durable before any answer
// speaks of it; a member that answers in term 9 and comes back in term 1 could vote twice in between.
func TestTermIsDurableBeforeAnAnswerSpeaksOfIt(t *testing.T) {
	fits, refused, late := from(2, 9, raft.MsgAppend), from(2, 9, raft.MsgAppend), from(2, 9, raft.MsgVote)
	fits.Index, fits.LogTerm = 1, 1
	refused.Index, refused.LogTerm = 7, 8
	for kind, m := range map[string]raft.Message{"append": fits, "append that is refused": refused, "vote that is refused": late} {
		w := newCluster(3)
		w.members[1].hold = true
		if err := w.step(1, m); err != nil {
			t.Fatal(err)
		}
		if len(w.pile) != 0 {
			t.Errorf("%v: answers %v before its disk has term 9", kind, w.pile[0])
		}
		w.release(1, 1)
		if len(w.pile) != 1 || w.pile[0].Term != 9 || w.members[1].stored.HardState.Term != 9 {
			t.Errorf("%v: %v, and term %d on disk; want one answer, and term 9", kind, w.pile, w.members[1].stored.HardState.Term)
		}
		w.crash(1)
		w.start(1)
		w.wantRole(t, 1, raft.Follower, 9)
	}
}

// Thesis §9.6: a Pre-Vote is a question. Who answers it changes neither its term, nor its vote, nor how long it waits.
func TestPreVoteChangesNothing(t *testing.T) {
	w := newCluster(3)
	r := w.members[1].raft
	before := r.Hash()
	for term := raft.Term(2); term < 20; term++ {
		m := from(2, term, raft.MsgPreVote)
		m.Index, m.LogTerm = 1, 1
		_ = r.Step(m)
		if answer := r.Ready().Messages; len(answer) != 1 || answer[0].Reject {
			t.Fatalf("term %d: %v, want a yes", term, answer)
		}
	}
	if r.Hash() != before {
		t.Error("answering pre-votes changed the state")
	}
}
