package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// kinds are what a store can be asked that says nothing of it.
var kinds = harness.Kinds(nil)

var five = []string{"n1", "n2", "n3", "n4", "n5"}

// become makes another fault of a window.
func (w *Window) become(k Kind, target Target, nodes ...string) {
	w.What, w.Nodes = Fault{Kind: k, Target: target}, nodes
	w.effects(five, Effect{})
}

// honest is a run in which a leader was cut off for ten seconds, a follower paused, and everybody served.
func honest() ([]Window, []linearizability.Operation, []harness.Election) {
	installed := Evidence{Outcome: Installed}
	windows := []Window{
		{Fault: 1, What: Fault{Kind: Partition, Target: Leader}, Nodes: []string{"n1"}, Leader: "n1", Term: 1,
			From: 10 * time.Second, To: 20 * time.Second, Evidence: installed},
		{Fault: 2, What: Fault{Kind: Pause, Target: Follower}, Nodes: []string{"n3"}, Leader: "n2", Term: 2,
			From: 30 * time.Second, To: 40 * time.Second, Evidence: installed},
	}
	for i := range windows {
		windows[i].effects(five, Effect{})
	}
	var ops []linearizability.Operation
	for _, from := range []time.Duration{15, 35} {
		for _, kind := range kinds {
			op := linearizability.Operation{Kind: kind, Node: "n1", Call: from * time.Second, Return: from*time.Second + time.Millisecond}
			op.Outcome = linearizability.OK
			ops = append(ops, op)
		}
	}
	return windows, ops, []harness.Election{{At: time.Second, Term: 1, Node: "n1"}, {At: 11 * time.Second, Term: 2, Node: "n2"}}
}

func TestAnHonestRunIsNotVacuous(t *testing.T) {
	windows, ops, elections := honest()
	if c := notVacuous(kinds, planned(t)[:2], windows, ops, elections); c.Verdict != Pass {
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
		{"the last fault was not reached", func(r *run) { r.windows = r.windows[:1] }, "#2 (at 30s pause follower for 10s) was never reached"},
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
			got := notVacuous(kinds, planned(t)[:2], r.windows, r.ops, r.elections)
			if got.Verdict != Unknown || !strings.Contains(got.Reason, c.want) {
				t.Errorf("got %s %q; want UNKNOWN with %q", got.Verdict, got.Reason, c.want)
			}
		})
	}
}

// Where no majority is left no store may serve. The check says which windows it did not ask.
func TestAWindowWithoutAMajorityIsExemptAndNamed(t *testing.T) {
	windows, ops, elections := honest()
	windows[1].become(Pause, All, five...)
	ops = ops[:len(kinds)] // nothing in the second window
	c := notVacuous(kinds, planned(t)[:2], windows, ops, elections)
	if c.Verdict != Pass || !strings.HasPrefix(c.Looked, "1 fault window with 4 ok and 1 election in them") ||
		!strings.HasSuffix(c.Looked, ", exempt because no majority was left: #2 (pause all)") {
		t.Errorf("%+v", c)
	}
}

// `pause all` alone: nothing is asked of the window, so there must be work around it.
func TestWhereEveryWindowIsExemptThereMustBeWorkBeforeAndAfter(t *testing.T) {
	windows, _, _ := honest()
	windows = windows[:1] // from 10 s to 20 s
	windows[0].become(Pause, All, five...)
	at := func(phase string, calls ...time.Duration) (ops []linearizability.Operation) {
		for _, call := range calls {
			for _, kind := range kinds {
				op := linearizability.Operation{Kind: kind, Phase: phase, Call: call * time.Second, Return: call*time.Second + 1}
				op.Outcome = linearizability.OK
				ops = append(ops, op)
			}
		}
		return ops
	}
	for name, c := range map[string]struct {
		ops  []linearizability.Operation
		want string // empty: PASS
	}{
		"around":      {at("", 5, 25), ""},
		"only before": {at("", 5), "no ok of get, put, delete, cas after the last fault"},
		"only after":  {at("", 25), "no ok of get, put, delete, cas before the first fault"},
		"only within": {at("", 15), "before the first fault"},
		"final reads": {append(at("", 5), at(harness.FinalReads, 25)...), "after the last fault"},
	} {
		got := notVacuous(kinds, planned(t)[:1], windows, c.ops, nil)
		if want := map[bool]Verdict{true: Pass, false: Unknown}[c.want == ""]; got.Verdict != want || !strings.Contains(got.Reason, c.want) {
			t.Errorf("%s: %+v, want %s with %q", name, got, want, c.want)
		}
		if c.want == "" && !strings.HasSuffix(got.Looked, "#1 (pause all); 4 ok before and 4 after") {
			t.Errorf("%s: %s", name, got.Looked)
		}
	}
}

// Two faults of which each leaves a majority may leave none together. What is asked of each depends on how long they did.
func TestAWindowIsExemptWhereFaultsTogetherLeaveNoMajority(t *testing.T) {
	for name, c := range map[string]struct {
		from, to int // of the second, in seconds; the first is from 10 to 20
		nodes    string
		exempt   string
	}{
		"one each":              {12, 18, "n2", ""},
		"apart":                 {30, 40, "n2 n3", ""},
		"three of five":         {13, 18, "n2 n3", "#2 (crash n2,n3)"}, // the first has 3 s to itself
		"almost all the time":   {11, 19, "n2 n3", "#1 (pause n1), #2 (crash n2,n3)"},
		"the same one":          {11, 19, "n1", ""},
		"longer than the first": {9, 24, "n2 n3", "#1 (pause n1)"},
	} {
		windows, _, _ := honest()
		windows[0].become(Pause, "n1", "n1")
		windows[1].become(Crash, Target(strings.ReplaceAll(c.nodes, " ", ",")), strings.Fields(c.nodes)...)
		windows[1].From, windows[1].To = time.Duration(c.from)*time.Second, time.Duration(c.to)*time.Second
		check := notVacuous(kinds, planned(t)[:2], windows, nil, nil)
		_, exempt, _ := strings.Cut(check.Looked, "no majority was left: ")
		if exempt, _, _ = strings.Cut(exempt, ";"); exempt != c.exempt {
			t.Errorf("%s: exempt is %q, want %q", name, exempt, c.exempt)
		}
	}
}

func TestAFaultThatTakesTheMajorityFromTheLeaderWithAnotherHitsTheLeader(t *testing.T) {
	w := Window{Leader: "n1", What: Fault{Kind: Partition, Target: "n2"}, Nodes: []string{"n2"}}
	w.effects(five, Effect{Down: []string{"n3"}})
	if w.HitLeader() || !w.Quorum {
		t.Errorf("n1 still reaches n4 and n5: %+v", w)
	}
	w.effects(five, Effect{Down: []string{"n3", "n4"}})
	if !w.HitLeader() || w.Quorum {
		t.Errorf("n1 reaches n5 only: %+v", w)
	}
}

// Who was replaced is missed by nobody, though a fault that began before goes on counting it as down.
func TestWhatAFaultTookFromAMemberThatHasLeftCountsForNothing(t *testing.T) {
	members := []string{"n2", "n3", "n4", "n5", "n6"} // n6 came for n1
	both := Effect{Down: []string{"n1", "n7", "n8"}}.And(Effect{Cut: bridge(members, []string{"n4"}, 2)})
	if !both.Quorum(members) || both.Loses("n4", members) {
		t.Errorf("n4 reaches all: %+v", both)
	}
	if !both.Loses("n1", members) {
		t.Error("n1 is no member, and leads nobody")
	}
}

// A leader that two faults take together may have its majority back before anybody else can be elected.
func TestAnElectionIsOwedOnlyWhereTheLeaderWasLostForLongEnough(t *testing.T) {
	sec := time.Second
	for name, c := range map[string]struct {
		nodes                  string // of the second, which is in force from 12 s to 16 s; n1 leads
		from, inForce, to, end time.Duration
		owed                   bool
	}{
		"the other goes on":                  {"n2", 9 * sec, 10 * sec, 20 * sec, 16 * sec, true},
		"the other ends a second later":      {"n2", 9 * sec, 10 * sec, 13 * sec, 16 * sec, false},
		"the other is not in force for long": {"n2", 9 * sec, 15 * sec, 20 * sec, 16 * sec, false},
		"the leader itself":                  {"n1", 9 * sec, 10 * sec, 13 * sec, 16 * sec, true},
		"the leader, not for long":           {"n1", 9 * sec, 10 * sec, 11 * sec, 13 * sec, true},
	} {
		installed := Evidence{Outcome: Installed}
		first := Window{Fault: 1, What: Fault{Kind: Crash}, Nodes: []string{"n3", "n4"}, From: c.from, InForce: c.inForce, To: c.to, Evidence: installed}
		first.effects(five, Effect{})
		second := Window{Fault: 2, What: Fault{Kind: Partition}, Nodes: []string{c.nodes}, Leader: "n1", Term: 3, From: 12 * sec, InForce: 12 * sec, To: c.end, Evidence: installed}
		second.effects(five, first.Effect)
		if got := second.owesElection([]Window{first, second}); got != c.owed {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestASkippedFaultIsNoWindow(t *testing.T) {
	windows, ops, elections := honest()
	windows[1].Evidence = Evidence{Outcome: Skipped, Says: "no member leads"}
	if c := notVacuous(kinds, planned(t)[:2], windows, ops, elections); !strings.HasPrefix(c.Looked, "1 fault window with 4 ok") {
		t.Errorf("%+v", c)
	}
	if c := faultsProven(windows); c.Looked != "probes before, during and after 1 fault, 1 skipped" || c.Verdict != Unknown {
		t.Errorf("%+v", c)
	}
}

// An injection can take long: what it causes comes while it goes on, but whoever is served then is not served in
// spite of the fault.
func TestElectionsCountFromTheIntentAndServiceFromWhenTheFaultIsInForce(t *testing.T) {
	windows, ops, elections := honest()
	windows[0].InForce = 12 * time.Second // n2 was elected at 11 s
	if c := notVacuous(kinds, planned(t)[:2], windows, ops, elections); c.Verdict != Pass {
		t.Error(c)
	}
	windows[0].InForce = 16 * time.Second // all was served at 15 s
	if c := notVacuous(kinds, planned(t)[:2], windows, ops, elections); c.Verdict != Unknown || !strings.Contains(c.Reason, "no ok of get") {
		t.Error(c)
	}
}

func TestMembersThatAreCutOffTogetherMayBeTheMajority(t *testing.T) {
	for _, c := range []struct {
		kind        Kind
		nodes       string
		hit, quorum bool // n1 leads five
	}{
		{Partition, "n1", true, true}, {Partition, "n1 n2", true, true}, {Partition, "n2 n3", false, true},
		{Partition, "n1 n2 n3", false, true}, {Partition, "n2 n3 n4", true, true},
		{Pause, "n1 n2", true, true}, {Pause, "n1 n2 n3", true, false}, {Crash, "n2 n3 n4", true, false},
		{OneWay, "n1", true, true}, {OneWay, "n2", false, true}, {Bridge, "n1", false, true}, {Bridge, "n3", false, true},
		{Ring, "n1 n2 n3 n4 n5", false, true},
	} {
		w := Window{Leader: "n1"}
		w.become(c.kind, "", strings.Fields(c.nodes)...)
		if w.HitLeader() != c.hit || w.Quorum != c.quorum {
			t.Errorf("%s %s: hit %v, quorum %v", c.kind, c.nodes, w.HitLeader(), w.Quorum)
		}
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

// planned are the events that the windows of these tests belong to.
func planned(t *testing.T) []Event {
	t.Helper()
	s, err := ParseSchedule(strings.NewReader("seed 1\nat 10s partition leader for 10s\nat 30s pause follower for 10s\nend 60s\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Events
}

// A store that answers each kind of operation once in a window, and nobody afterwards, is hardly there.
func TestAWindowInWhichClientsAreStarvedShowsLittle(t *testing.T) {
	for _, c := range []struct {
		name    string
		each    time.Duration // between two ok outside of the windows
		overlap bool
		want    Verdict
	}{
		{"as slow without a fault", 2 * time.Second, false, Pass},
		{"a hundred a second without a fault", 10 * time.Millisecond, false, Unknown},
		{"who may be served is another fault's matter", 10 * time.Millisecond, true, Pass},
	} {
		windows, ops, elections := honest()
		for at := time.Second; at < 50*time.Second; at += c.each {
			if during := windows[0].From <= at && at <= windows[0].To || windows[1].From <= at && at <= windows[1].To; !during {
				op := linearizability.Operation{Kind: linearizability.Get, Node: "n2", Call: at, Return: at + time.Millisecond}
				op.Outcome = linearizability.OK
				ops = append(ops, op)
			}
		}
		if c.overlap {
			windows[1].From = windows[0].To - time.Second
			windows[0].From -= time.Millisecond
		}
		got := notVacuous(kinds, planned(t)[:2], windows, ops, elections)
		if got.Verdict != c.want || c.want == Unknown && !strings.Contains(got.Reason, "clients got 4 ok in 10s, less than one in 50 of what they get without a fault, during fault #1") {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
