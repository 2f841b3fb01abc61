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
		{"crash by another signal", &crash{}, with(died, func(o *Observations) { o.During = probes(harness.Probe{State: harness.Exited, Exit: 1}) }), Indeterminate, "ended with 1, not by SIGKILL"},
		{"crash without a restart", &crash{}, with(died, func(o *Observations) { o.After = probes(killed) }), Indeterminate, "exited after the undo"},
		{"crash with the same process after", &crash{}, with(died, func(o *Observations) { o.After = probes(running) }), Indeterminate, "not run as another process"},
		{"crash of the dead", &crash{}, with(died, func(o *Observations) { o.Before = probes(killed) }), Skipped, "n1 was exited before"},
		{"crash that was not probed", &crash{}, with(died, func(o *Observations) { o.During = nil }), Indeterminate, "not seen ended"},

		{"pause of one process", &pause{}, slept, Installed, "n1 paused, pid 100 throughout"},
		{"pause that did not stop it", &pause{}, with(slept, func(o *Observations) { o.During = probes(running) }), Indeterminate, "not seen paused"},
		{"pause that never ended", &pause{}, with(slept, func(o *Observations) { o.After = probes(stopped) }), Indeterminate, "paused after the undo"},
		{"pause that ended in a restart", &pause{}, with(slept, func(o *Observations) { o.After = probes(reborn) }), Indeterminate, "not the same process"},
		// openraft #1919: pauses aimed at killed processes were counted as coverage.
		{"pause of the dead", &pause{}, with(slept, func(o *Observations) { o.Before = probes(killed) }), Skipped, "n1 was exited before"},
		{"nothing observed", &pause{}, Observations{}, Indeterminate, "could not be probed before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := injected(c.seen).judge(c.action)
			if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
				t.Errorf("got %s %q (missing %q); want %s with %q", e.Outcome, e.Says, e.Missing, c.want, c.says)
			}
			if (e.Outcome == Installed) != (len(e.Missing) == 0) {
				t.Errorf("%s, yet missing %q", e.Outcome, e.Missing)
			}
		})
	}
}
