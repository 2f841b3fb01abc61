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
		{"no leader until a busy engine had started the members again", func(r *Result, _ []linearizability.Operation) {
			r.Gaps[0].To = 45 * time.Second
			r.Windows[0].Effect.Down, r.Windows[0].Undone = []string{"n1", "n2"}, 44*time.Second
		}, Pass, ""},
		{"no leader while a majority was down, which did not count as a fault because one had ended before", func(r *Result, _ []linearizability.Operation) {
			r.Gaps[0].To = 31 * time.Second
			r.Windows[0].Effect.Down, r.Windows[0].Evidence.Outcome = []string{"n1", "n2"}, Skipped
		}, Pass, ""},
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

// A member that hears nobody and is listened to all the same deposes one leader after another, and nobody waits for long.
func TestTermsForWhichAFaultGaveNoReasonAreBounded(t *testing.T) {
	sec := time.Second
	for _, row := range []struct {
		name  string
		fault string
		terms int
		spoil func(*Window)
		other Window
		want  Verdict
		most  int
	}{
		{name: "nobody was deposed", fault: "bridge n3", want: Pass},
		{name: "as many as a slow machine may need", fault: "bridge n3", terms: 5, want: Pass, most: 5},
		{name: "one more", fault: "bridge n3", terms: 6, want: Fail, most: 6},
		{name: "a follower that hears nobody", fault: "one-way n3 direction=in", terms: 6, want: Fail, most: 6},
		{name: "the leader itself was cut off", fault: "one-way n1", terms: 6, want: Pass},
		{name: "everybody but the bridge is apart", fault: "bridge n3 parts=9", terms: 6, want: Pass},
		{name: "links that lose much may cost the leader its followers", fault: "loss all", terms: 6, want: Pass},
		{name: "it was not proven", fault: "bridge n3", terms: 6, spoil: func(w *Window) { w.Evidence.Outcome = Indeterminate }, want: Pass},
		{name: "another one was in force", fault: "bridge n3", terms: 6, other: Window{Fault: 2, From: 29 * sec, To: 31 * sec}, want: Pass},
		{name: "another one came after it", fault: "bridge n3", terms: 6, other: Window{Fault: 2, From: 30 * sec, To: 31 * sec}, want: Fail, most: 6},
	} {
		r, ops := lively()
		fault, err := ParseFault(row.fault)
		if err != nil {
			t.Fatal(err)
		}
		w := Window{Fault: 1, What: fault, Nodes: []string{strings.Fields(row.fault)[1]}, Leader: "n1", Term: 2, From: 10 * sec, To: 30 * sec,
			Evidence: Evidence{Outcome: Installed}}
		w.effects(five, Effect{})
		if row.spoil != nil {
			row.spoil(&w)
		}
		r.Windows, r.Gaps = []Window{w}, nil
		if row.other.Fault != 0 {
			row.other.What, row.other.Evidence.Outcome = fault, Indeterminate
			r.Windows = append(r.Windows, row.other)
		}
		r.Observed.Terms = []harness.Term{{At: 0, Term: 1}, {At: 1, Term: 2}}
		for i := range row.terms {
			r.Observed.Terms = append(r.Observed.Terms, harness.Term{At: 11*sec + time.Duration(i)*sec, Term: uint64(3 + i)})
		}
		r.Observed.Terms = append(r.Observed.Terms, harness.Term{At: 31 * sec, Term: 99}) // after it
		c, waited := alive(Bounds{}.of(5), r, []int{1}, ops)
		if c.Verdict != row.want || waited.Terms != row.most || (c.Verdict == Fail) != strings.Contains(c.Reason, "although n1 had a majority") {
			t.Errorf("%s: %+v, %d terms", row.name, c, waited.Terms)
		}
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
