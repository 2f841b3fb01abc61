package chaos

import (
	"strings"
	"testing"

	"raftlab/harness"
)

// A disk fault that did nothing must never pass for one that the store survived.
func TestADiskFaultIsJudgedByWhatItsDiskHasCounted(t *testing.T) {
	alive := Observations{Before: probes(running), During: probes(running), After: probes(running)}
	died := Observations{Before: probes(running), During: probes(killed), After: probes(reborn)}
	gaveUp := Observations{Before: probes(running), During: probes(harness.Probe{State: harness.Exited, Exit: 1}), After: probes(reborn)}
	refusedAll := alive
	refusedAll.ApplyError, refusedAll.Unsupported = "no disk of the lab", true
	at := func(c harness.DiskCounters) disks { return disks{"n1": c} }
	cut := func(lost, kept uint64) Action {
		return &powerCut{before: at(harness.DiskCounters{Lost: 7}), after: at(harness.DiskCounters{Lost: 7 + lost, LostSec: 1, KeptSec: kept, Cuts: 1})}
	}
	broken := func(during, after harness.DiskCounters) Action {
		return &brokenDisk{before: at(harness.DiskCounters{Held: 3, Refused: 3, Failed: 3}), during: at(during), after: at(after)}
	}
	filled := func(begun disks, during, after harness.DiskCounters) Action {
		return &brokenDisk{before: at(harness.DiskCounters{Room: 9}), begun: begun, during: at(during), after: at(after)}
	}
	none := at(harness.DiskCounters{})
	flipped := func(n uint64, refused map[string]int) Action {
		return &bitFlip{before: at(harness.DiskCounters{}), refused: refused,
			after: at(harness.DiskCounters{Flipped: n, Flips: make([]harness.Flip, n)})}
	}
	for _, c := range []struct {
		name   string
		fault  string
		action Action
		seen   Observations
		want   Outcome
		says   string
	}{
		{"power cut that lost bytes", "power-cut n1", cut(512, 0), died, Installed, "n1 lost 512 bytes in 1 sector"},
		{"power cut that lost nothing", "power-cut n1", cut(0, 0), died, Indeterminate, "lost nothing"},
		{"power cut of nobody", "power-cut n1", cut(512, 0), alive, Indeterminate, "not seen ended by SIGKILL"},
		{"power cut that nobody read", "power-cut n1", &powerCut{}, died, Indeterminate, "could not be read"},
		{"torn write", "power-cut n1 keep=some", cut(512, 1), died, Installed, "and kept 1"},
		{"torn write of which nothing arrived", "power-cut n1 keep=some", cut(512, 0), died, Indeterminate, "no write was torn"},
		{"full disk that refused", "disk-full n1", broken(harness.DiskCounters{Refused: 5}, harness.DiskCounters{}), alive, Installed, "n1 was refused 2 calls"},
		{"full disk that refused nothing", "disk-full n1", broken(harness.DiskCounters{Refused: 3}, harness.DiskCounters{}), alive, Indeterminate, "refused nothing"},
		{"filled disk that refused", "disk-filled n1", filled(none, harness.DiskCounters{Refused: 2}, harness.DiskCounters{Room: 9}), alive, Installed, "n1 had 0 bytes left, and was refused 2 calls"},
		{"filled disk that refused nothing", "disk-filled n1", filled(none, harness.DiskCounters{}, harness.DiskCounters{Room: 9}), alive, Indeterminate, "refused nothing"},
		{"filled disk that nobody saw filled", "disk-filled n1", filled(nil, harness.DiskCounters{Refused: 2}, harness.DiskCounters{Room: 9}), alive, Indeterminate, "was not seen filled"},
		{"filled disk with room", "disk-filled n1", filled(at(harness.DiskCounters{Room: 1}), harness.DiskCounters{Refused: 2}, harness.DiskCounters{Room: 9}), alive, Indeterminate, "1 bytes were left"},
		{"filled disk that is full still", "disk-filled n1", filled(none, harness.DiskCounters{Refused: 2}, none["n1"]), alive, Indeterminate, "full after the undo"},
		{"hung disk", "disk-hang n1", broken(harness.DiskCounters{Held: 4, HeldNow: 1}, harness.DiskCounters{}), alive, Installed, "n1 waited"},
		{"hung disk that held nothing", "disk-hang n1", broken(harness.DiskCounters{Held: 4}, harness.DiskCounters{}), alive, Indeterminate, "was held at the end"},
		{"hung disk that hangs still", "disk-hang n1", broken(harness.DiskCounters{HeldNow: 1}, harness.DiskCounters{HeldNow: 1}), alive, Indeterminate, "held after the undo"},
		{"slow disk", "disk-slow n1", broken(harness.DiskCounters{Held: 9}, harness.DiskCounters{}), alive, Installed, "6 fsyncs of n1 delayed"},
		{"slow disk that delayed nothing", "disk-slow n1", broken(harness.DiskCounters{Held: 3}, harness.DiskCounters{}), alive, Indeterminate, "no fsync of n1 was delayed"},
		{"disk error that ended the member", "disk-error n1", broken(harness.DiskCounters{Failed: 4}, harness.DiskCounters{}), gaveUp, Installed, "which ended with 1"},
		{"disk error that nobody met", "disk-error n1", broken(harness.DiskCounters{Failed: 3}, harness.DiskCounters{}), alive, Indeterminate, "no call of n1 failed"},
		{"no disk of the lab", "disk-error n1", broken(harness.DiskCounters{}, harness.DiskCounters{}), refusedAll, Skipped, "no disk of the lab"},
		{"flip that was refused", "bit-flip n1", flipped(1, map[string]int{"n1": 1}), died, Installed, "refused with exit code 1"},
		{"flip that was harmless", "bit-flip n1", flipped(1, nil), died, Installed, "came up in spite of it"},
		{"flip of nothing", "bit-flip n1", flipped(0, map[string]int{"n1": 1}), died, Indeterminate, "no bit of n1 has flipped"},
		{"flip with a kill for a refusal", "bit-flip n1", flipped(1, map[string]int{"n1": 137}), died, Indeterminate, "did not refuse"},
	} {
		f, err := ParseFault(c.fault)
		if err != nil {
			t.Fatal(err)
		}
		i := injected(c.seen)
		i.Fault = f
		e := i.judge(c.action)
		if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
			t.Errorf("%s: %s: %s", c.name, e.Outcome, e.Says)
		}
	}
}

func TestOnlyAScheduleThatBreaksDisksAsksForThem(t *testing.T) {
	for _, s := range Scenarios {
		want := strings.Contains(" everything lost-writes torn-write disk-full disk-filled hung-disk slow-disk disk-error bit-flip ", " "+s.Name+" ")
		schedule, _ := s.Schedule(1, anything{})
		if got := schedule.BreaksDisks(); got != want {
			t.Errorf("%s: %v", s.Name, got)
		}
	}
}
