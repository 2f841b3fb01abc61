package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"raftlab/harness"
	"raftlab/linearizability"
)

const ms = time.Millisecond

func TestALaneIsWhatAMemberWas(t *testing.T) {
	r := violating(t)
	describe := func(node string) []string {
		var words []string
		for _, s := range r.lane(node) {
			words = append(words, fmt.Sprintf("%.1f-%.1f %s %d%s", s.From.Seconds(), s.To.Seconds(), s.Role, s.Term, s.Why))
		}
		return words
	}
	for node, want := range map[string][]string{
		"n1": {"0.0-4.5 leader 2", "4.5-8.0 pre-candidate 2", "8.0-11.9 follower 3"},
		"n3": {"0.0-5.0 follower 2", "5.0-11.9 leader 3"},
		"n5": {"0.0-5.0 follower 2", "5.0-9.0 follower 3", "9.0-10.0  0", "10.0-11.9 follower 3"},
	} {
		if got := describe(node); !cmp.Equal(got, want) {
			t.Errorf("%s: %q, want %q", node, got, want)
		}
	}
	r.Faults = append(r.Faults, Fault{Number: 2, Text: "loss n5", Nodes: []string{"n5"}, From: 8100 * ms, To: 9900 * ms},
		Fault{Number: 3, Text: "crash n5", Nodes: []string{"n5"}, From: 8900 * ms, To: 9900 * ms}, Fault{Number: 4, Text: "delay n5", Nodes: []string{"n5"}, From: 9300 * ms, To: 9900 * ms})
	if got := describe("n5")[2]; got != "9.0-10.0  0crash" {
		t.Errorf("a member that was killed, and shaped before and after that: %s", got)
	}
	r.Samples["n2"] = slices.DeleteFunc(r.Samples["n2"], func(s harness.Sample) bool { return s.At > 6*second && s.At < 10*second })
	if got := describe("n2"); !slices.Contains(got, "6.0-10.0  0") {
		t.Errorf("nobody asked n2 from 6 to 10 s, so nothing is known of it: %q", got)
	}
}

func TestWhoCameAndWhoLeftHasALaneForItsTime(t *testing.T) {
	r := violating(t)
	cut := func(node string, from, to time.Duration) {
		r.Samples[node] = slices.DeleteFunc(r.Samples[node], func(s harness.Sample) bool { return s.At < from || s.At > to })
	}
	r.Samples["n6"] = slices.Clone(r.Samples["n4"])
	cut("n2", 0, 5*second)
	cut("n6", 8*second, 12*second)
	r.Members = []string{"n1", "n3", "n4", "n5", "n6"} // as they were at the end
	page := rendered(t, r)
	for _, node := range []string{"n1", "n2", "n3", "n4", "n5", "n6"} {
		contains(t, page, `class="name" text-anchor="end">`+node+"<")
	}
	contains(t, page, "5 members of raftkv", "<title>n2 follower in term 2\n0.000 s to 5.000 s", "<title>n6 follower in term 3\n8.000 s to 11.900 s")
	for at, want := range map[time.Duration]string{
		4 * second: "n1 leader of term 2, n2 follower of term 2, n3 follower of term 2, n4 follower of term 2, n5 follower of term 2.",
		6500 * ms:  "n1 pre-candidate of term 2, n3 leader of term 3, n4 follower of term 3, n5 follower of term 3.",
		9 * second: "n1 follower of term 3, n3 leader of term 3, n4 follower of term 3, n5 did not answer, n6 follower of term 3.",
	} {
		if got := r.led(at).Text; got != want {
			t.Errorf("at %v: %s\nwant %s", at, got, want)
		}
	}
}

func TestAvailabilityIsBeforeDuringAndAfterEachFault(t *testing.T) {
	r := Run{}
	add := func(client int, call, ret time.Duration, outcome linearizability.Outcome, phase string) {
		op := linearizability.Operation{ID: int64(len(r.History.Operations) + 1), Client: client, Call: call, Return: ret, Kind: linearizability.Get, Phase: phase}
		op.Outcome = outcome
		r.History.Operations = append(r.History.Operations, op)
	}
	ok, unknown := linearizability.OK, linearizability.Unknown
	for i := range 10 {
		add(1, time.Duration(i)*100*ms, time.Duration(i)*100*ms+10*ms, ok, "warm up")
	}
	add(2, 1100*ms, 2100*ms, unknown, "fault 1") // client 2 gets nothing while the fault is in force
	add(1, 1200*ms, 1220*ms, ok, "fault 1")
	add(1, 2600*ms, 2700*ms, ok, "fault 1")
	add(1, 3050*ms, 3075*ms, ok, "healed")
	add(9, 60*second, 61*second, ok, harness.FinalReads)
	r.Faults = []Fault{
		{Number: 1, Text: "pause leader", Nodes: []string{"n1"}, Leader: "n1", Term: 4, From: 1 * second, InForce: 1100 * ms, To: 3 * second},
		{Number: 2, Text: "crash leader"}, // skipped: it has no window
	}
	r.Observed.Elections = []harness.Election{{At: 1500 * ms, Term: 4, Node: "n1"}, {At: 1600 * ms, Term: 5, Node: "n2"}}
	rows := r.Availability()
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	a := rows[0]
	if a.NewLeader != 600*ms || a.Leader != "n2" || a.Term != 5 || a.Again != 75*ms {
		t.Errorf("new leader %s term %d after %v, ok again after %v", a.Leader, a.Term, a.NewLeader, a.Again)
	}
	if s := a.Before; s.OK != 10 || s.Median != 10*ms || s.PerSecond() != 10 || s.To != 1*second {
		t.Errorf("before: %+v", s)
	}
	if s := a.During; s.OK != 2 || s.Asked != 3 || s.P99 != 100*ms || s.Gap != 1480*ms || s.Client != 2 || s.ClientGap != 1900*ms {
		t.Errorf("during: %+v", s)
	}
	if s := a.After; s.OK != 1 || s.To != 3075*ms {
		t.Errorf("after, which ends with the load: %+v", s)
	}
}

func TestFaultsThatOverlapAreDrawnBelowEachOther(t *testing.T) {
	r := passing(t)
	r.Faults = append(r.Faults, r.Faults[0])
	r.Faults[1].Number, r.Faults[1].From = 2, 5*second
	drawing := string(r.Timeline())
	y := func(label string) string {
		before, _, ok := strings.Cut(drawing, ">"+label)
		if !ok {
			t.Fatalf("no %s", label)
		}
		at := before[strings.LastIndex(before, ` y="`)+4:]
		return at[:strings.IndexByte(at, '"')]
	}
	if y("#1 partition") == y("#2 partition") {
		t.Error("two faults at one time lie on each other")
	}
}

func TestEachOutcomeIsOnePath(t *testing.T) {
	m := newMaker()
	m.honest(300, 40*ms)
	m.stale()
	drawing := string(m.run(t).Timeline())
	counts := linearizability.Count(m.ops)
	for outcome, n := range map[string]int{"ok": counts.OK, "failed": counts.Failed, "unknown": counts.Unknown} {
		parts := strings.Split(drawing, `<path class="points `+outcome+`" d="`)
		if len(parts) != 2 {
			t.Fatalf("%d paths of %s", len(parts)-1, outcome)
		}
		d, _, _ := strings.Cut(parts[1], `"`)
		if got := strings.Count(d, "M"); got != n {
			t.Errorf("%s: %d points, want %d", outcome, got, n)
		}
	}
}

func TestTheDrawingOfAKeyKeepsTheOrderOfCallsAndReturns(t *testing.T) {
	r := violating(t)
	keys := r.Keys()
	if len(keys) != 1 || len(keys[0].Operations) != 4 || keys[0].Left != 0 {
		t.Fatalf("%+v", keys)
	}
	var d keyDrawing
	ends := d.layOut(keys[0].Operations)
	for _, a := range keys[0].Operations {
		for _, b := range keys[0].Operations {
			if a.Outcome == linearizability.OK && a.Return < b.Call && ends[a.ID][1] >= ends[b.ID][0] {
				t.Errorf("#%d returned before #%d was called, and is drawn to %v, after %v", a.ID, b.ID, ends[a.ID][1], ends[b.ID][0])
			}
		}
		if ends[a.ID][0] >= ends[a.ID][1] || ends[a.ID][1] > d.width {
			t.Errorf("#%d is drawn from %v to %v of %v", a.ID, ends[a.ID][0], ends[a.ID][1], d.width)
		}
	}
	contains(t, string(keys[0].Drawing), "① get → old · n1", "② put new · n3", "#1 partition leader → n1")
}

func TestOfAKeyWithManyOperationsTheNearestAreDrawn(t *testing.T) {
	m := newMaker()
	for i := range 60 { // reads of nothing, long before
		m.add(linearizability.Operation{Process: i, Client: i, Node: "n1", Key: "kx", Kind: linearizability.Get, Call: time.Duration(i+1) * 10 * ms, Return: time.Duration(i+1)*10*ms + 5*ms})
	}
	m.stale()
	keys := m.run(t).Keys()
	if len(keys) != 1 || len(keys[0].Operations) != shownMax || keys[0].Left != 64-shownMax {
		t.Fatalf("%d keys", len(keys))
	}
	marked := 0
	for _, op := range keys[0].Operations {
		if op.Mark != "" {
			marked++
		}
	}
	if marked != len(keys[0].Explanation.Operations) {
		t.Errorf("%d operations of the explanation are drawn, of %d", marked, len(keys[0].Explanation.Operations))
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		to   time.Duration
		want string
	}{
		{20 * second, "0 s 2 s 4 s 6 s 8 s 10 s 12 s 14 s 16 s 18 s 20 s"},
		{1 * second, "0 s 0.1 s 0.2 s 0.3 s 0.4 s 0.5 s 0.6 s 0.7 s 0.8 s 0.9 s 1 s"},
		{1<<63 - 1, "0 s 922338000 s 1844676000 s 2767014000 s 3689352000 s 4611690000 s 5534028000 s 6456366000 s 7378704000 s 8301042000 s"},
		{100 * second, "0 s 10 s 20 s 30 s 40 s 50 s 60 s 70 s 80 s 90 s 100 s"},
	} {
		var words []string
		for _, tick := range (axis{to: c.to, width: 1}).ticks(10) {
			words = append(words, tickText(tick))
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%v: %s", c.to, got)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 µs", 870 * time.Microsecond: "870 µs", 2340 * time.Microsecond: "2.3 ms", 417 * ms: "417 ms", 1320 * ms: "1.32 s", 21400 * ms: "21.4 s", 20 * time.Minute: "20 min"} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
