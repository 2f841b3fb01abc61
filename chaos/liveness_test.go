package chaos

import (
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// lively is a run of client 1, which asks every member, with a fault from 10 s to 30 s and an ok every second.
func lively() (Result, []linearizability.Operation) {
	sec := time.Second
	r := Result{
		Windows: []Window{{Fault: 1, Members: five[:3], From: 10 * sec, To: 30 * sec, Evidence: Evidence{Outcome: Installed}, Effect: Effect{Down: []string{"n1"}}}},
		Gaps:    []harness.Interval{{From: 10 * sec, To: 11 * sec}},
	}
	var ops []linearizability.Operation
	for i := range 40 {
		ops = append(ops, linearizability.Operation{Client: 1, Call: time.Duration(i)*sec + 1, Return: time.Duration(i)*sec + 2,
			Result: linearizability.Result{Outcome: linearizability.OK}})
	}
	return r, ops
}

func TestABoundThatIsPassedIsAFailureOfItsOwnKind(t *testing.T) {
	clients := []int{1}
	bounds := Bounds{}.of(3)
	for _, row := range []struct {
		name  string
		spoil func(*Result, []linearizability.Operation)
		want  Verdict
		says  string
	}{
		{"an honest run", func(*Result, []linearizability.Operation) {}, Pass, ""},
		{"no leader for long", func(r *Result, _ []linearizability.Operation) { r.Gaps[0].To = 21 * time.Second }, Fail, "no leader for 11s although a majority was left; the bound is 10s"},
		{"no leader because there was no majority", func(r *Result, _ []linearizability.Operation) {
			r.Gaps[0].To = 31 * time.Second
			r.Windows[0].Effect.Down = []string{"n1", "n2"}
		}, Pass, ""},
		{"no leader for long after there was a majority again", func(r *Result, _ []linearizability.Operation) {
			r.Gaps[0].To = 41 * time.Second
			r.Windows[0].Effect.Down = []string{"n1", "n2"}
		}, Fail, "no leader for 11s"},
		{"a client that nobody serves", func(_ *Result, ops []linearizability.Operation) {
			for i := 12; i < 30; i++ {
				ops[i].Outcome = linearizability.Failed
			}
		}, Fail, "client 1 was not served for 19s"},
		{"a client that nobody serves to the end", func(_ *Result, ops []linearizability.Operation) {
			for i := 12; i < 40; i++ {
				ops[i].Outcome = linearizability.Unknown
			}
		}, Fail, "client 1 was not served for 28s"},
	} {
		r, ops := lively()
		row.spoil(&r, ops)
		c, _ := alive(bounds, r, clients, ops)
		if c.Verdict != row.want || !strings.Contains(c.Reason, row.says) {
			t.Errorf("%s: %+v", row.name, c)
		}
	}
	r, ops := lively()
	if c, _ := alive(bounds, r, nil, ops); c.Verdict != Unknown {
		t.Errorf("nobody went round: %+v", c)
	}
	r.Gaps[0].To, r.Untold = 40*time.Second, true // the monitor saw no leader because there was no monitor
	if c, _ := alive(bounds, r, clients, ops); c.Verdict != Pass {
		t.Errorf("untold: %+v", c)
	}
}

func TestAFailureIsOfSafetyOrOfLiveness(t *testing.T) {
	for want, checks := range map[string][]Check{
		"":         {{Name: "linearizable", Verdict: Pass}, {Name: "x", Verdict: Unknown}},
		"liveness": {{Name: aliveCheck, Verdict: Fail}, {Name: convergedCheck, Verdict: Fail}, {Name: "linearizable", Verdict: Pass}},
		"safety":   {{Name: "linearizable", Verdict: Fail}, {Name: aliveCheck, Verdict: Fail}},
	} {
		if got := (Result{Checks: checks}).Failure(); got != want {
			t.Errorf("%v: %q, want %q", checks, got, want)
		}
	}
}
