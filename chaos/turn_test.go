package chaos

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// placed resolves a fault beside those in force, among these members.
func placed(t *testing.T, b *breaking, fault, leader string, members ...string) (Window, error) {
	t.Helper()
	f, err := ParseFault(fault)
	if err != nil {
		t.Fatal(err)
	}
	w := Window{Fault: len(b.inForce) + 1, What: f, Leader: leader}
	err = b.place(View{Members: members, Leader: leader}, &turn{Event: Event{Fault: f}, choice: Random(1, targetStream)}, &w)
	return w, err
}

// A fault that could not bite because of those in force waits for its turn. The same fault alone, or with room, does not.
func TestAFaultThatOthersLeaveNothingToHitIsNotForNow(t *testing.T) {
	six := append(slices.Clone(five), "n6")
	for name, c := range map[string]struct {
		first, second, leader string // at five members, of which n1 leads; who leads then
		members               []string
		waits                 string // what it says, empty: it need not
	}{
		"the leader is stopped":              {"pause n1", "crash leader", "n1", five, "it would mean nothing there"},
		"another leads already":              {"pause n1", "crash leader", "n2", five, ""},
		"two of five are lost":               {"crash n2,n3", "pause minority", "n1", five, "picks nobody"},
		"one of five is lost":                {"crash n2", "pause minority", "n1", five, ""},
		"nobody leads":                       {"crash n1", "pause follower", "", five, "no member leads"},
		"a change without a majority":        {"partition n2,n3", "wipe follower", "n1", five, "no majority to agree"},
		"a change with one":                  {"partition n2", "wipe follower", "n1", five, ""},
		"a change that takes nobody away":    {"partition n2,n3", "add all", "n1", five, ""},
		"a guest leads":                      {"add all", "crash leader", "n6", six, "at n6"},
		"a guest is there":                   {"add all", "crash follower", "n1", six, ""},
		"all, with a guest":                  {"add all", "crash all", "n1", six, ""},
		"a leader that is being replaced":    {"replace n1", "delay leader", "n1", five, "at n1"},
		"links of one that leaves":           {"replace n5", "duplicate all", "n1", five, ""},
		"a leader that clients cannot ask":   {"client-cut n1", "partition leader", "n1", five, "it would mean nothing there"},
		"clients cut from whom one must ask": {"pause n1", "client-cut leader", "n1", five, "it would mean nothing there"},
		"clients cut from another":           {"partition n1", "client-cut leader", "n2", five, ""},
		"a disk that little comes to":        {"loss all", "power-cut all", "n1", five, "it would mean nothing there"},
		"clients cut where all hear most":    {"ring all", "client-cut leader", "n1", five, ""},
	} {
		for seed := range uint64(20) {
			var b breaking
			if _, err := placed(t, &b, c.first, "n1", five...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w, err := placed(t, &b, c.second, c.leader, c.members...)
			if c.waits != "" && (!errors.Is(err, errNotNow) || !strings.Contains(err.Error(), c.waits)) {
				t.Errorf("%s, seed %d: %v, %v; want to wait for %q", name, seed, w.Nodes, err, c.waits)
			}
			if leaves := strings.HasPrefix(c.first, "replace"); leaves && c.waits == "" && (slices.Contains(w.Members, "n5") || slices.Contains(w.Nodes, "n5")) {
				t.Errorf("%s: n5 leaves, and %s counts on its links: %v", name, c.second, w.Members)
			}
			if c.waits == "" && (err != nil || slices.Contains(w.Nodes, "n6") || len(b.inForce) != 2) {
				t.Errorf("%s, seed %d: %v at %v", name, seed, err, w.Nodes)
			}
		}
	}
	var alone breaking
	if _, err := placed(t, &alone, "crash leader", "", five...); err == nil || errors.Is(err, errNotNow) {
		t.Errorf("alone there is nothing to wait for: %v", err)
	}
	if len(alone.inForce) != 0 {
		t.Error("what found nobody is in force")
	}
}

func TestWhoWaitsIsWokenWhenAFaultInForceEnds(t *testing.T) {
	b := breaking{inForce: []Window{{Fault: 1}, {Fault: 2}}}
	end := b.nextEnd()
	select {
	case <-end:
		t.Fatal("nothing has ended")
	default:
	}
	b.forget(2)
	<-end
	if next := b.nextEnd(); next == end {
		t.Error("the next to end is another one")
	}
}

// On a slow machine a fault comes late, and what was to begin a while after it comes as long after it.
func TestWhatWasPlannedToOverlapBeginsAsLongAfterTheOther(t *testing.T) {
	at := func(when, lasts time.Duration) *turn {
		return &turn{Event: Event{When: At(when), For: lasts}, begun: make(chan struct{}), done: make(chan struct{})}
	}
	const later = 50 * time.Millisecond
	first, second := at(time.Second, time.Second), at(time.Second+later, time.Second)
	p, late := &progress{}, &clock{start: time.Now().Add(-time.Minute)}
	came := make(chan time.Time, 1)
	go func() {
		if p.await(context.WithoutCancel(t.Context()), late, []*turn{first}, second) {
			came <- time.Now()
		}
	}()
	first.begin(0)
	if got := (<-came).Sub(first.at); got < later {
		t.Errorf("it came %v after the first, not %v", got, later)
	}
	third := at(3*time.Second, time.Second) // not before the first is over
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p.await(ctx, late, []*turn{first}, third) {
		t.Error("the first is in force still")
	}
	close(first.done)
	if !p.await(t.Context(), late, []*turn{first}, third) {
		t.Error("the first is over")
	}
}

// A fault that took the leader waits for an election only while that leader is lost and somebody could be elected.
func TestAnElectionIsAwaitedWhileTheLeaderIsLostAndAMajorityIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		first, second string // n1 leads; the second is asked
		ends          bool   // the first, before that
		want          bool
	}{
		"the leader is cut off":           {"delay all", "partition n1", false, true},
		"a follower is":                   {"delay all", "partition n2", false, false},
		"two faults leave it no majority": {"crash n2,n3", "partition n4", false, false}, // nor anybody else
		"they left others one":            {"partition n1,n2", "crash n3", false, false},
		"it has one neighbour left":       {"ring all", "pause n2", false, true},
		"and all of them back":            {"ring all", "pause n2", true, false},
	} {
		var b breaking
		if _, err := placed(t, &b, c.first, "n1", five...); err != nil {
			t.Fatal(err)
		}
		w, err := placed(t, &b, c.second, "n1", five...)
		if err != nil {
			t.Fatal(err)
		}
		if c.ends {
			b.forget(1)
		}
		if got := b.leaderless(w); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
