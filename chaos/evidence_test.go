package chaos

import (
	"strings"
	"testing"
	"time"

	"raftlab/harness"
)

var (
	born    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	running = harness.Probe{State: harness.Running, PID: 100, Started: born}
	stopped = harness.Probe{State: harness.Paused, PID: 100, Started: born}
	ranOn   = harness.Probe{State: harness.Paused, PID: 100, Started: born, Ran: 7}
	killed  = harness.Probe{State: harness.Exited, Exit: 137}
	reborn  = harness.Probe{State: harness.Running, PID: 200, Started: born.Add(time.Second)}
)

func probes(p harness.Probe) map[string]harness.Probe { return map[string]harness.Probe{"n1": p} }

func rules(packets uint64) map[harness.Link]uint64 {
	return map[harness.Link]uint64{{From: "n1", To: "n2"}: packets, {From: "n2", To: "n1"}: 0}
}

// injected is a fault at n1 of two members, of which this was seen.
func injected(seen Observations) *Injected {
	return &Injected{Nodes: []string{"n1"}, Members: []string{"n1", "n2"}, Seen: seen}
}

func TestAFaultIsJudgedByWhatWasSeenOfIt(t *testing.T) {
	alive := Observations{World: "docker", Before: probes(running), During: probes(running), After: probes(running)}
	died := Observations{Before: probes(running), During: probes(killed), After: probes(reborn)}
	slept := Observations{Before: probes(running), During: probes(stopped), After: probes(running)}
	with := func(o Observations, change func(*Observations)) Observations { change(&o); return o }
	cut := func(dropped, left map[harness.Link]uint64) Action {
		return &partition{apart: true, links: isolate([]string{"n1", "n2"}, []string{"n1"}), dropped: dropped, left: left}
	}
	bit := cut(rules(214), nil)
	shaped := func(k Kind, p harness.Passed, left map[harness.Link]harness.Passed) (Fault, Action) {
		f, err := ParseFault(string(k))
		if err != nil {
			t.Fatal(err)
		}
		a := k.family().New().(*link)
		a.links, a.left = touching([]string{"n1", "n2"}, []string{"n1"}), left
		a.passed = map[harness.Link]harness.Passed{a.links[0]: p, a.links[1]: {}}
		return f, a
	}
	some := harness.Passed{Packets: 1000, Bytes: 64 << 10, Released: 1000}
	for _, c := range []struct {
		name   string
		action Action
		seen   Observations
		want   Outcome
		says   string
	}{
		{"partition that dropped packets", bit, alive, Installed, "214 packets dropped by 2 rules"},
		{"partition without a rule", cut(nil, nil), alive, Indeterminate, "no rule"},
		{"partition that dropped nothing", cut(rules(0), nil), alive, Indeterminate, "dropped nothing"},
		{"partition that leaves a rule", cut(rules(214), rules(1)), alive, Indeterminate, "2 rules left after the heal"},
		{"partition whose injection failed", bit, with(alive, func(o *Observations) { o.ApplyError = "nft: no" }), Indeterminate, "injection failed: nft: no"},
		{"partition whose heal failed", bit, with(alive, func(o *Observations) { o.UndoError = "nft: no" }), Indeterminate, "undo failed"},
		{"partition that this world cannot do", bit, with(alive, func(o *Observations) { o.ApplyError, o.Unsupported = "unsupported", true }), Skipped, "unsupported"},
		{"partition of one whom another fault has killed", bit, with(alive, func(o *Observations) { o.After, o.HeldAfter = probes(killed), []string{"n1"} }), Installed, "214 packets"},

		{"crash seen from birth to birth", &crash{}, died, Installed, "pid 100 → 200"},
		{"crash of a process that lived on", &crash{}, with(died, func(o *Observations) { o.During = probes(running) }), Indeterminate, "not seen ended"},
		{"crash by another signal", &crash{}, with(died, func(o *Observations) { o.During = probes(harness.Probe{State: harness.Exited, Exit: 1}) }), Indeterminate, "ended with 1, not by killed"},
		{"crash without a restart", &crash{}, with(died, func(o *Observations) { o.After = probes(killed) }), Indeterminate, "exited after the undo"},
		{"crash with the same process after", &crash{}, with(died, func(o *Observations) { o.After = probes(running) }), Indeterminate, "not run as another process"},
		{"crash of the dead", &crash{}, with(died, func(o *Observations) { o.Before = probes(killed) }), Skipped, "n1 was exited before"},
		{"crash that was not probed", &crash{}, with(died, func(o *Observations) { o.During = nil }), Indeterminate, "not seen ended"},

		{"pause of one process", &pause{}, slept, Installed, "n1 paused, pid 100 throughout"},
		{"pause that did not stop it", &pause{}, with(slept, func(o *Observations) { o.During = probes(running) }), Indeterminate, "not seen paused"},
		{"pause in which it ran", &pause{still: probes(stopped)}, with(slept, func(o *Observations) { o.During = probes(ranOn) }), Indeterminate,
			"n1 ran while it was paused: its threads were given a CPU 7 times"},
		{"pause in which it did not run", &pause{still: probes(ranOn)}, with(slept, func(o *Observations) { o.During = probes(ranOn) }), Installed, "paused"},
		{"pause that never ended", &pause{}, with(slept, func(o *Observations) { o.After = probes(stopped) }), Indeterminate, "paused after the undo"},
		{"pause that ended in a restart", &pause{}, with(slept, func(o *Observations) { o.After = probes(reborn) }), Indeterminate, "not the same process"},
		// openraft #1919: pauses aimed at killed processes were counted as coverage.
		{"pause of the dead", &pause{}, with(slept, func(o *Observations) { o.Before = probes(killed) }), Skipped, "n1 was exited before"},
		{"nothing observed", &pause{}, Observations{}, Indeterminate, "could not be probed before"},
	} {
		t.Run(c.name, func(t *testing.T) { judgedAs(t, Fault{Kind: Crash}, c.action, c.seen, c.want, c.says) })
	}
	term, inSnapshot := Fault{Kind: Crash, Params: map[string]string{"signal": "TERM"}}, Fault{Kind: Crash, Params: map[string]string{"during": "snapshot"}}
	ended := func(exit int) Observations {
		return with(died, func(o *Observations) { o.During = probes(harness.Probe{State: harness.Exited, Exit: exit}) })
	}
	judgedAs(t, term, &crash{}, ended(0), Installed, "ended with 0")
	judgedAs(t, term, &crash{}, ended(143), Installed, "ended with 143")
	judgedAs(t, term, &crash{}, died, Indeterminate, "ended with 137, not by terminated")
	judgedAs(t, inSnapshot, &crash{died: map[string]time.Duration{"n1": time.Millisecond}}, died, Installed, "asked for a snapshot 1ms before")
	judgedAs(t, inSnapshot, &crash{}, died, Indeterminate, "n1 had taken every snapshot")

	one := func(p harness.Probe) *rolling { return &rolling{ended: map[string]harness.Probe{"n1": p}} }
	judgedAs(t, Fault{Kind: Rolling}, one(killed), died, Installed, "1 member restarted")
	judgedAs(t, Fault{Kind: Rolling}, one(running), died, Indeterminate, "not by killed")
	judgedAs(t, Fault{Kind: Rolling}, one(killed), alive, Indeterminate, "not run as another process")
	judgedAs(t, Fault{Kind: Rolling}, &rolling{}, died, Indeterminate, "n1 was not reached in time")

	asked := func(change func(*harness.Passed)) harness.Passed { p := some; change(&p); return p }
	for _, c := range []struct {
		kind Kind
		seen harness.Passed
		want Outcome
		says string
	}{
		{Loss, asked(func(p *harness.Passed) { p.Lost = 190 }), Installed, "1,000 packets on 2 links: 190 lost"},
		{Loss, some, Indeterminate, "nothing was lost"},
		{Loss, asked(func(p *harness.Passed) { p.Lost = 20 }), Indeterminate, "only 20 of 1,000 were lost, not 20%"},
		{Loss, harness.Passed{}, Indeterminate, "nothing was sent"},
		{Delay, asked(func(p *harness.Passed) { p.Held = 51 * time.Second }), Installed, "held for 51ms in the mean"},
		{Delay, asked(func(p *harness.Passed) { p.Held = 20 * time.Second }), Indeterminate, "held for 20ms and not for 50ms"},
		{Bandwidth, asked(func(p *harness.Passed) { p.Held = 2 * time.Second }), Installed, "held for 2ms"},
		{Bandwidth, some, Indeterminate, "held for 0s and not for 1ms"},
		{Reorder, asked(func(p *harness.Passed) { p.Reordered = 3 }), Installed, "3 reordered"},
		{Reorder, some, Indeterminate, "nothing was reordered"},
		{Duplicate, asked(func(p *harness.Passed) { p.Duplicated = 240 }), Installed, "240 duplicated"},
		{Duplicate, asked(func(p *harness.Passed) { p.Duplicated = 10 }), Indeterminate, "only 10 of 1,000"},
	} {
		f, a := shaped(c.kind, c.seen, nil)
		judgedAs(t, f, a, alive, c.want, c.says)
	}
	f, a := shaped(Loss, asked(func(p *harness.Passed) { p.Lost = 190 }), map[harness.Link]harness.Passed{{From: "n1", To: "n2"}: some})
	judgedAs(t, f, a, alive, Indeterminate, "1 link still held back after the heal")
	delete(a.(*link).passed, harness.Link{From: "n2", To: "n1"})
	judgedAs(t, f, a, alive, Indeterminate, "nothing was found that holds back n2 → n1")

	clients := func(asked uint64) *clientCut {
		return &clientCut{partition{dropped: map[harness.Link]uint64{{From: harness.ClientSide, To: "n1"}: asked, {From: "n1", To: harness.ClientSide}: 0}}}
	}
	judgedAs(t, Fault{Kind: ClientCut}, clients(7), alive, Installed, "7 chunks of bytes of clients")
	judgedAs(t, Fault{Kind: ClientCut}, clients(0), alive, Indeterminate, "no client asked n1")
	judgedAs(t, Fault{Kind: ClientCut}, &clientCut{}, alive, Indeterminate, "not cut from n1")
	left := clients(7)
	left.left = left.dropped
	judgedAs(t, Fault{Kind: ClientCut}, left, alive, Indeterminate, "still cut")
}

func judgedAs(t *testing.T, fault Fault, a Action, seen Observations, want Outcome, says string) {
	t.Helper()
	i := injected(seen)
	i.Fault = fault
	e := i.judge(a)
	if e.Outcome != want || !strings.Contains(e.Says, says) {
		t.Errorf("got %s %q (missing %q); want %s with %q", e.Outcome, e.Says, e.Missing, want, says)
	}
	if (e.Outcome == Installed) != (len(e.Missing) == 0) {
		t.Errorf("%s, yet missing %q", e.Outcome, e.Missing)
	}
}
