package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// honest is a run in which a leader was cut off for ten seconds, a follower paused, and everybody served.
func honest() ([]Window, []linearizability.Operation, []harness.Election) {
	installed := Evidence{Outcome: Installed}
	windows := []Window{
		{Fault: 1, What: Fault{Partition, Leader}, Nodes: []string{"n1"}, Leader: "n1", Term: 1,
			From: 10 * time.Second, To: 20 * time.Second, Quorum: true, Evidence: installed},
		{Fault: 2, What: Fault{Pause, Follower}, Nodes: []string{"n3"}, Leader: "n2", Term: 2,
			From: 30 * time.Second, To: 40 * time.Second, Quorum: true, Evidence: installed},
	}
	var ops []linearizability.Operation
	for _, from := range []time.Duration{15, 35} {
		for _, kind := range kinds {
			op := linearizability.Operation{Kind: kind, Call: from * time.Second, Return: from*time.Second + time.Millisecond}
			op.Outcome = linearizability.OK
			ops = append(ops, op)
		}
	}
	return windows, ops, []harness.Election{{At: time.Second, Term: 1, Node: "n1"}, {At: 11 * time.Second, Term: 2, Node: "n2"}}
}

func TestAnHonestRunIsNotVacuous(t *testing.T) {
	windows, ops, elections := honest()
	if c := notVacuous(2, windows, ops, elections); c.Verdict != Pass {
		t.Error(c)
	}
	if c := faultsProven(windows); c.Verdict != Pass {
		t.Error(c)
	}
}

func TestAVacuousRunIsUnknownAndNamesWhatIsMissing(t *testing.T) {
	type run struct {
		windows   []Window
		ops       []linearizability.Operation
		elections []harness.Election
	}
	for _, c := range []struct {
		name  string
		plant func(*run)
		want  string
	}{
		{"nothing happened", func(r *run) { *r = run{} }, "no fault was injected"},
		{"the last fault was not reached", func(r *run) { r.windows = r.windows[:1] }, "1 of 2 faults were never reached"},
		{"nobody was served", func(r *run) { r.ops = nil }, "no ok of get, put, delete, cas during fault #1 (partition leader)"},
		{"every write failed in the second window", func(r *run) {
			r.ops = slices.DeleteFunc(r.ops, func(op linearizability.Operation) bool {
				return op.Call > 30*time.Second && op.Kind != linearizability.Get
			})
		}, "no ok of put, delete, cas during fault #2 (pause follower)"},
		{"only unknown answers", func(r *run) {
			for i := range r.ops {
				r.ops[i].Outcome = linearizability.Unknown
			}
		}, "no ok of get"},
		{"served only before and after", func(r *run) {
			for i := range r.ops {
				r.ops[i].Return = 50 * time.Second
			}
		}, "no ok of get"},
		{"no election", func(r *run) { r.elections = r.elections[:1] }, "no election during fault #1"},
		{"an election in the old term", func(r *run) { r.elections[1].Term = 1 }, "no election during fault #1"},
		{"the election came after the heal", func(r *run) { r.elections[1].At = 21 * time.Second }, "no election during fault #1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r run
			r.windows, r.ops, r.elections = honest()
			c.plant(&r)
			got := notVacuous(2, r.windows, r.ops, r.elections)
			if got.Verdict != Unknown || !strings.Contains(got.Reason, c.want) {
				t.Errorf("got %s %q; want UNKNOWN with %q", got.Verdict, got.Reason, c.want)
			}
		})
	}
}

func TestWithoutAMajorityNobodyHasToBeServed(t *testing.T) {
	windows, _, _ := honest()
	for i := range windows {
		windows[i].Quorum = false
	}
	if c := notVacuous(2, windows, nil, nil); c.Verdict != Pass {
		t.Error(c)
	}
}

// A failed injection must not end as a green run: tipocket only logged the error.
func TestAFaultWithoutEvidenceMakesTheRunUnknown(t *testing.T) {
	for outcome, says := range map[Outcome]string{Skipped: "no member leads", Indeterminate: "the rules around n1 dropped nothing"} {
		windows, _, _ := honest()
		windows[0].Evidence = Evidence{Outcome: outcome, Says: says}
		c := faultsProven(windows)
		if c.Verdict != Unknown || !strings.Contains(c.Reason, "fault #1 (partition leader) "+string(outcome)+": "+says) {
			t.Errorf("%s: %+v", outcome, c)
		}
	}
	if c := faultsProven(nil); c.Verdict != Unknown {
		t.Errorf("no fault at all: %+v", c)
	}
}
