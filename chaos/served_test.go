package chaos

import (
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

func TestTheLongestGapIsTheTimeInWhichNobodyWasServed(t *testing.T) {
	var ops []linearizability.Operation
	for _, o := range []struct {
		call, ret time.Duration
		outcome   linearizability.Outcome
	}{
		{1, 2, linearizability.OK}, {2, 4, linearizability.OK},
		{5, 9, linearizability.Failed}, {6, 10, linearizability.Unknown}, // answers, but not served
		{7, 12, linearizability.OK}, {12, 13, linearizability.OK},
	} {
		op := linearizability.Operation{Call: o.call * time.Second, Return: o.ret * time.Second}
		op.Outcome = o.outcome
		ops = append(ops, op)
	}
	s := served(ops)
	if s.LongestGap != 8*time.Second || s.GapFrom != 4*time.Second || s.Median != 2*time.Second || s.P99 != 5*time.Second {
		t.Errorf("%+v", s)
	}
	if s := served(nil); s != (Served{}) {
		t.Errorf("nothing was served: %+v", s)
	}
}

// Between the load and the final reads the lab waits for the members to agree: nobody asked, so nobody was kept waiting.
func TestTheLabsOwnPauseIsNoGapAndSilenceAtTheEndIsOne(t *testing.T) {
	op := func(phase string, call, ret time.Duration, outcome linearizability.Outcome) (o linearizability.Operation) {
		o = linearizability.Operation{Phase: phase, Call: call * time.Second, Return: ret * time.Second}
		o.Outcome = outcome
		return o
	}
	ops := []linearizability.Operation{
		op("healed", 1, 2, linearizability.OK), op("healed", 3, 4, linearizability.OK),
		op(harness.FinalReads, 34, 35, linearizability.OK),
	}
	if s := served(ops); s.LongestGap != 2*time.Second || s.P99 != time.Second {
		t.Errorf("%+v", s)
	}
	ops = append(ops, op("healed", 5, 11, linearizability.Unknown))
	if s := served(ops); s.LongestGap != 7*time.Second || s.GapFrom != 4*time.Second {
		t.Errorf("nobody was served from 4 s to the end of the load at 11 s: %+v", s)
	}
}

// The monitor sees no gap while the old leader, cut off, still calls itself one.
func TestTimeWithoutALeaderCountsFromTheFaultThatTookIt(t *testing.T) {
	windows, _, elections := honest() // n1 is cut off at 10 s, n2 elected at 11 s; a follower is paused at 30 s
	seen := harness.Observed{Elections: elections}
	if got := lasting(leaderless(windows, seen)); got != time.Second {
		t.Errorf("without a leader for %v, want 1s", got)
	}
	seen.Leaderless = []harness.Interval{{From: 10500 * time.Millisecond, To: 11 * time.Second}, {From: 0, To: 2 * time.Second}}
	if got := lasting(leaderless(windows, seen)); got != 3*time.Second {
		t.Errorf("with what the monitor saw: %v, want 3s, overlaps counted once", got)
	}
	seen.Elections = elections[:1]
	if got := lasting(leaderless(windows, seen)); got != 12*time.Second {
		t.Errorf("nobody was elected: %v, want the whole window of 10s and 2s before", got)
	}
}
