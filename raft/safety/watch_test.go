package safety_test

import (
	"strings"
	"testing"

	"raftlab/raft"
	"raftlab/raft/safety"
)

// The same violations that Checker must find, one member at a time.
func TestWatchNoticesEachPropertyOfFigure3(t *testing.T) {
	for _, c := range []struct {
		want    string
		members []*raft.Raft
	}{
		{"election safety", []*raft.Raft{alone(t, 1, 1), alone(t, 2, 1)}},
		{"state machine safety", []*raft.Raft{alone(t, 1, 2, "a"), alone(t, 2, 1, "b")}},
		{"leader completeness", []*raft.Raft{alone(t, 1, 1, "a", "b"), uncommitted(t, 1)}},
		{"log matching", []*raft.Raft{follower(t, 3, "x", "same"), follower(t, 4, "y", "same")}},
	} {
		w := safety.NewWatch()
		var err error
		for _, r := range c.members {
			if err = w.Observe(r); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the watch said %v", c.want, err)
		}
	}
}

// A leader that loses an entry of its own is one *raft.Raft that changes, so it is planted in memory that nobody else
// may touch: a copy of it is put in its place.
func TestWatchNoticesALeaderThatLosesEntries(t *testing.T) {
	w := safety.NewWatch()
	r := alone(t, 1, 1, "a", "b")
	if err := w.Observe(r); err != nil {
		t.Fatal(err)
	}
	*r = *alone(t, 1, 1, "a")
	if err := w.Observe(r); err == nil || !strings.Contains(err.Error(), "leader append-only") {
		t.Fatalf("the watch said %v", err)
	}
}

// A change behind an end that stayed the same is seen when the whole log is read again.
func TestWatchNoticesAChangeInTheMiddleLater(t *testing.T) {
	w := safety.NewWatch()
	r := follower(t, 3, "x", "same")
	if err := w.Observe(r); err != nil {
		t.Fatal(err)
	}
	*r = *follower(t, 3, "y", "same")
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = w.Observe(r)
	}
	if err == nil || !strings.Contains(err.Error(), "log matching") {
		t.Fatalf("the watch said %v", err)
	}
}

func TestWatchPassesAnHonestHistory(t *testing.T) {
	w := safety.NewWatch()
	for range 3 {
		if err := w.Observe(alone(t, 1, 1, "a", "b", "c")); err != nil {
			t.Fatal(err)
		}
		w.Down(1)
	}
	if w.Committed() != 5 {
		t.Errorf("committed %d; the configuration, a no-op and three commands are five", w.Committed())
	}
}
