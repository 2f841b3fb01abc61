package chaos

import (
	"strings"
	"testing"
	"time"

	"raftlab/linearizability"
)

func TestALeaderThatIsHitAndNotKilledMustBeAskedForARead(t *testing.T) {
	read := linearizability.Operation{Node: "n1", Kind: linearizability.Get, Call: 12 * time.Second} // it need not be answered
	for name, c := range map[string]struct {
		fault   Fault
		change  func(*linearizability.Operation)
		missing string
	}{
		"asked":                  {Fault{Kind: Partition, Target: Leader}, func(*linearizability.Operation) {}, ""},
		"another was asked":      {Fault{Kind: Partition, Target: Leader}, func(op *linearizability.Operation) { op.Node = "n2" }, "nobody asked the isolated member n1 for a read during fault #1 (partition leader)"},
		"only written to":        {Fault{Kind: Pause, Target: Leader}, func(op *linearizability.Operation) { op.Kind = linearizability.Put }, "nobody asked the paused member n1"},
		"asked before":           {Fault{Kind: Pause, Target: Leader}, func(op *linearizability.Operation) { op.Call = 9 * time.Second }, "nobody asked"},
		"asked after":            {Fault{Kind: Pause, Target: Leader}, func(op *linearizability.Operation) { op.Call = 21 * time.Second }, "nobody asked"},
		"the dead are not asked": {Fault{Kind: Crash, Target: Leader}, func(op *linearizability.Operation) { op.Node = "n2" }, ""},
	} {
		w := Window{Fault: 1, What: c.fault, Nodes: []string{"n1"}, Leader: "n1", From: 9 * time.Second,
			InForce: 10 * time.Second, To: 20 * time.Second, Evidence: Evidence{Outcome: Installed}}
		w.effects(five, Effect{})
		op := read
		c.change(&op)
		_, missing := unasked([]Window{w}, []linearizability.Operation{op})
		if got := strings.Join(missing, "; "); (got == "") != (c.missing == "") || !strings.Contains(got, c.missing) {
			t.Errorf("%s: %q, want %q", name, got, c.missing)
		}
		if gate := notVacuous(kinds, planned(t)[:1], []Window{w}, []linearizability.Operation{op}, nil); !strings.Contains(gate.Reason, c.missing) {
			t.Errorf("%s: the gate says %q", name, gate.Reason)
		}
	}
}
