package chaos

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raftlab/harness"
	"raftlab/harness/process"
)

// anyFault draws a fault of any family with some of its parameters.
func anyFault(t *rapid.T) Fault {
	family := rapid.SampledFrom(Families()).Draw(t, "family")
	f := Fault{Kind: family.Kind, Target: rapid.SampledFrom(append([]Target{"n1", "n2,n5"}, Targets...)).Draw(t, "target")}
	for _, p := range family.Params {
		if p.Default != "" && rapid.Bool().Draw(t, p.Name) {
			value, err := p.canonical(p.Default)
			if err != nil {
				t.Fatal(err)
			}
			if f.Params == nil {
				f.Params = make(map[string]string)
			}
			f.Params[p.Name] = value
		}
	}
	if f.check() != nil { // parameters that do not go together, or one that must be given
		t.Skip()
	}
	return f
}

func anyTrigger(t *rapid.T, at time.Duration) Trigger {
	n := rapid.Uint64Range(1, 1e6).Draw(t, "n")
	return rapid.SampledFrom([]Trigger{At(at), {On: AtOps, N: n}, {On: AtCommit, N: n}, {On: AtTerm, N: n}, {On: WhenLeader},
		{On: WhenLeader, Node: "n2"}}).Draw(t, "trigger")
}

func TestAScheduleParsesBackToWhatWasPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{Seed: rapid.Uint64Range(0, 1<<63-1).Draw(t, "seed")}
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			at := s.End + time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "gap"))
			lasts := time.Duration(rapid.Int64Range(1, 1e10).Draw(t, "for"))
			s.Events = append(s.Events, Event{When: anyTrigger(t, at), For: lasts, Fault: anyFault(t)})
			s.End = at + lasts
		}
		s.End += time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "quiet"))
		got, err := ParseSchedule(strings.NewReader("# a comment\n\n" + strings.ReplaceAll(s.String(), "\n", "  # n1 led\n")))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("printed\n%sparsed to\n%s(%v)", s, got, err)
		}
	})
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("seed 7\nat 2.1s partition leader for 4.5s\nat ops 4 one-way n1 direction=in for 1s # why\nwhen leader n2 crash one for 1s\nend 9s")
	f.Add("seed 1\nat term 4 ring for 1s\nend 0s")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := ParseSchedule(strings.NewReader(s.String()))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%q printed\n%sparsed to\n%s(%v)", text, s, again, err)
		}
	})
}

// anything is a world of which nobody knows what it cannot do.
type anything struct {
	harness.Cluster
	harness.Killer
	harness.Pauser
	harness.Networker
	harness.Shaper
	harness.Member
	harness.Disker
}

func (anything) World() string                { return "any" }
func (anything) Disks() error                 { return nil }
func (anything) CanShape(harness.Shape) error { return nil }

func drawn(s Scenario, seed uint64) Schedule {
	schedule, _ := s.Schedule(seed, anything{})
	return schedule
}

func TestEverythingDrawsEveryFamilyThatTheWorldHasAndNamesTheOthers(t *testing.T) {
	everything, err := FindScenario("everything")
	if err != nil {
		t.Fatal(err)
	}
	overlaps := 0
	for seed := range uint64(50) {
		s, cannot := everything.Schedule(seed, anything{})
		if len(cannot) != 0 && seed == 0 {
			t.Logf("left out: %q", cannot)
		}
		if len(s.Events) < 8 || s.End > everything.total+10*time.Second {
			t.Errorf("seed %d:\n%s", seed, s)
		}
		for i := range s.Events[1:] {
			if s.Events[i+1].overlaps(s.Events[i]) {
				overlaps++
			}
		}
	}
	if overlaps < 50 {
		t.Errorf("%d overlaps in 50 schedules", overlaps)
	}
	faults, cannot := Drawable(&process.Cluster{})
	if len(faults) == 0 || !strings.Contains(strings.Join(cannot, "; "), "duplicate, reorder: process: shape: a relay carries streams") {
		t.Errorf("processes cannot %q", cannot)
	}
	if !strings.Contains(strings.Join(cannot, "; "), "power-cut: process: no member was started on a disk") {
		t.Errorf("processes without disks of the lab cannot %q", cannot)
	}
	for _, f := range faults {
		if f.Kind == Reorder || f.Kind == Duplicate {
			t.Errorf("%s was drawn for processes", f)
		}
	}
}

func TestAListOfFaultsIsWordsAndWholeFaults(t *testing.T) {
	got, err := ParseFaults("ring, crash n1,n3,delay all delay=80ms")
	if err != nil || len(got) != 3 || got[0].String() != "ring all" || got[1].String() != "crash n1,n3" || got[2].String() != "delay all delay=80ms" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "crsh", "crash,", "n1,n2", "ring,,pause"} {
		if got, err := ParseFaults(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestEveryScenarioDrawsAValidScheduleFromEverySeed(t *testing.T) {
	for _, scenario := range Scenarios {
		for seed := range uint64(200) {
			s := drawn(scenario, seed)
			if err := s.Validate(); err != nil {
				t.Fatalf("%s, seed %d: %v", scenario.Name, seed, err)
			}
			if again := drawn(scenario, seed); !reflect.DeepEqual(s, again) {
				t.Fatalf("%s, seed %d draws\n%sand then\n%s", scenario.Name, seed, s, again)
			}
			if s.Fits(five) != nil {
				t.Fatalf("%s, seed %d: %v", scenario.Name, seed, s.Fits(five))
			}
			if s.End > 40*time.Second && scenario.total == 0 {
				t.Fatalf("%s, seed %d takes %v", scenario.Name, seed, s.End)
			}
		}
		if reflect.DeepEqual(drawn(scenario, 1).Events, drawn(scenario, 2).Events) {
			t.Errorf("%s is the same for two seeds", scenario.Name)
		}
	}
}

func TestTheDefaultScenarioCutsTheLeaderKillsTheLeaderAndPausesAFollower(t *testing.T) {
	scenario, err := FindScenario("default")
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, e := range drawn(scenario, 7).Events {
		faults = append(faults, e.Fault.String())
	}
	if got := strings.Join(faults, "; "); got != "partition leader; crash leader; pause follower" {
		t.Error(got)
	}
}

func TestAMisspeltScenarioNamesTheOneThatWasMeant(t *testing.T) {
	_, err := FindScenario("defualt")
	if !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), "did you mean default?") {
		t.Error(err)
	}
}

func TestABadScheduleIsRefusedWithItsLineAndTheRule(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "no line begins with seed",
		"seed 1":                 "no line begins with end",
		"seed x\nend 1s":         `line 1: seed "x" is not a whole number`,
		"seed -1\nend 1s":        `line 1: seed "-1" is not a whole number`,
		"seed 1\nseed 2\nend 1s": "line 2: seed is on line 1 already",
		"seed 1\nend 5s":         "no fault",
		"seed 1\nat 1s kill leader for 2s\nend 5s":                        `chaos: schedule: line 2: fault "kill" is not known; use `,
		"seed 1\n\n# x\nat 1s crash leadr for 2s\nend 5s":                 `line 4: target "leadr" is not known; did you mean leader?`,
		"seed 1\nat 1 crash leader for 2s\nend 5s":                        `line 2: "1" is not a time`,
		"seed 1\nat 1s crash leader for -2s\nend 5s":                      `line 2: "-2s" is not a time`,
		"seed 1\nat 1s crash leader for 0s\nend 5s":                       "event 1 (at 1s crash leader for 0s): it must last longer",
		"seed 1\nat 1s crash leader\nend 5s":                              `line 2: "at 1s crash leader" does not end with how long`,
		"seed 1\nat 1s crash leader for 2s\nend 2s":                       "end 2s: is before 3s",
		"seed 1\nat 1s crash n1 for 2s\nat 2s pause n1,n2 for 1s\nend 9s": "event 2 (at 2s pause n1,n2 for 1s): n1 is hit by at 1s crash n1 for 2s then",
		"seed 1\nat 1s crash all for 2s\nat 2s pause one for 1s\nend 9s":  "event 2 (at 2s pause one for 1s): every member is hit by at 1s crash all for 2s then",
		"seed 1\nat ops 0 crash one for 2s\nend 9s":                       `line 2: at ops "0" is not a whole number above 0`,
		"seed 1\nat ops\nend 9s":                                          `line 2: "at ops" does not begin with one of: at 2s, at ops 500`,
		"seed 1\nwhen follower crash one for 2s\nend 9s":                  `line 2: "when follower crash one for 2s" does not begin with one of`,
		"seed 1\nwen leader crash one for 2s\nend 9s":                     `line 2: "wen leader crash one for 2s" is none of`,
		"seed 1\nat 1s one-way n1 direction=up for 2s\nend 9s":            "line 2: fault one-way: direction=up is not one of out, in",
	} {
		_, err := ParseSchedule(strings.NewReader(text))
		if !errors.Is(err, ErrSchedule) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
}

func TestAScheduleForOtherMembersDoesNotFit(t *testing.T) {
	s, err := ParseSchedule(strings.NewReader("seed 1\nat 1s crash follower for 1s\nat 3s pause n2,n9 for 1s\nend 5s"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Fits([]string{"n1", "n2", "n3"})
	const want = "chaos: schedule: event 2 (at 3s pause n2,n9 for 1s): target n2,n9: there is no member n9 among n1 n2 n3"
	if !errors.Is(err, ErrSchedule) || !errors.Is(err, ErrTarget) || err.Error() != want {
		t.Errorf("got %v", err)
	}
	s.Events = s.Events[:1]
	if err := s.Fits([]string{"n1", "n2", "n3"}); err != nil {
		t.Error(err)
	}
	if err := s.Fits([]string{"n1"}); err == nil {
		t.Error("one member has no follower")
	}
}
