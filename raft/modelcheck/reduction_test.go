package modelcheck

import (
	"strings"
	"testing"
	"time"

	"raftlab/raft"
)

// TestTheReductionsLoseNothing compares with a search that has none: no renaming, no settling, nothing left out. Both must
// come to the same states of the members together, up to renaming, with the same history.
func TestTheReductionsLoseNothing(t *testing.T) {
	for _, b := range []Bounds{
		{Members: 2, Terms: 2, Crashes: 1},
		{Members: 3, Terms: 1, Commands: 1},
		{Members: 2, Terms: 1, Commands: 1, Heartbeats: 1, StepDowns: 1},
		{Members: 2, Terms: 1, Changes: 1},
	} {
		reduced, plain := b.projected(t, false), b.projected(t, true)
		for p := range plain {
			if !reduced[p] {
				t.Errorf("%v: the reductions lost a state of the members", b)
				break
			}
		}
		if len(reduced) != len(plain) {
			t.Errorf("%v: %d states of the members with reductions, %d without", b, len(reduced), len(plain))
		}
		t.Logf("%v: %d states of the members", b, len(plain))
	}
}

// projected completes a bound and returns the hashes of what the members and the history were in its states.
func (b Bounds) projected(t *testing.T, plain bool) map[uint64]bool {
	found := map[uint64]bool{}
	result, err := Search(Options{Bounds: b, plain: plain, each: func(w *world, s *state) {
		least := ^uint64(0)
		for p := range w.renamings {
			sum := w.histories.sum(s.history, p)
			for i := range w.bounds.size() {
				sum += w.members.sum(s.members[i], p)
			}
			least = min(least, sum)
		}
		found[least] = true
	}})
	if err != nil || !result.Complete {
		t.Fatalf("%v: %v, %v", b, result, err)
	}
	t.Logf("plain %v: %v", plain, result)
	return found
}

// TestAPlantedBugIsFound: a search that finds nothing proves nothing, unless it finds what is there.
func TestAPlantedBugIsFound(t *testing.T) {
	forgetVote := func(d raft.Stored) raft.Stored { d.HardState.Vote = 0; return d }
	loseLast := func(d raft.Stored) raft.Stored {
		if n := len(d.Entries); n > 1 {
			d.Entries = d.Entries[:n-1]
		}
		return d
	}
	for _, c := range []struct {
		name, want string
		bounds     Bounds
		order      Order
	}{
		{"a disk that forgets votes", "election safety", Bounds{Members: 3, Terms: 1, Crashes: 1, lie: forgetVote}, BreadthFirst},
		{"a disk that forgets votes, depth first", "election safety", Bounds{Members: 3, Terms: 1, Crashes: 1, lie: forgetVote}, DepthFirst},
		{"a disk that forgets votes, by walks", "election safety", Bounds{Members: 3, Terms: 2, Commands: 1, Crashes: 2, lie: forgetVote}, Walks},
		{"a disk that forgets an entry", "", Bounds{Members: 3, Terms: 2, Crashes: 1, lie: loseLast}, BreadthFirst},
	} {
		result, err := Search(Options{Bounds: c.bounds, Order: c.order, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		v := result.Violation
		if v == nil || !strings.Contains(v.Err.Error(), c.want) {
			t.Errorf("%s: %+v", c.name, result)
			continue
		}
		t.Logf("%s: %v in %d steps; %v\n%s", c.name, v.Err, v.Steps, result, v.Script)
	}
}

func TestBadBoundsAreNamed(t *testing.T) {
	_, err := Search(Options{Bounds: Bounds{Members: 6, Crashes: -1}})
	for _, want := range []string{"Members 6 must be between 1 and 5", "Terms 0", "Crashes -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}

// TestAPanicIsAViolation: the invariants of the core say what they find by panicking.
func TestAPanicIsAViolation(t *testing.T) {
	w := newWorld(Bounds{Members: 3, Terms: 1})
	root, err := w.root()
	if err != nil {
		t.Fatal(err)
	}
	m := w.members.values[root.members[0]]
	hear := func(leader raft.ID) outcome {
		return w.bounds.do(m, action{kind: deliver, torn: whole}, raft.Message{Type: raft.MsgAppend, Cluster: cluster, From: leader, To: 1, Term: 1, Index: 1, LogTerm: 1})
	}
	o := hear(2)
	if o.after == nil || o.broken != nil {
		t.Fatalf("one leader: %+v", o)
	}
	m = o.after
	if o := hear(3); o.broken == nil || !strings.Contains(o.broken.Error(), "election safety") {
		t.Errorf("a second leader in the term: %+v", o)
	}
}

// TestAStepThatBreaksSomethingHasAnEnd: it breaks it wherever in the save a crash would be, and there are no more places to try.
func TestAStepThatBreaksSomethingHasAnEnd(t *testing.T) {
	w := newWorld(Bounds{Members: 3, Terms: 1, Crashes: 1})
	root, err := w.root()
	if err != nil {
		t.Fatal(err)
	}
	hear := func(leader raft.ID) action {
		m := raft.Message{Type: raft.MsgAppend, Cluster: cluster, From: leader, To: 1, Term: 1, Index: 1, LogTerm: 1}
		return action{kind: deliver, torn: whole, arg: w.messages.add(m, w.hashMessage)}
	}
	follows := root
	follows.members[0] = w.one(root.members[0], hear(2)).after
	listed := make(chan []action, 1)
	go func() { listed <- w.withCrashes(&follows, nil, hear(3)) }()
	select {
	case list := <-listed:
		if len(list) != 2 || w.one(follows.members[0], list[0]).broken == nil {
			t.Errorf("%d ways to hear a second leader: %v", len(list), list)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("there is no end to the places at which it may crash")
	}
}
