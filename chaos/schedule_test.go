package chaos

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAScheduleParsesBackToWhatWasPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{Seed: rapid.Uint64Range(0, 1<<63-1).Draw(t, "seed")}
		names := append([]Target{"n1", "n2,n5"}, Targets...)
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			at := s.End + time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "gap"))
			lasts := time.Duration(rapid.Int64Range(1, 1e10).Draw(t, "for"))
			s.Events = append(s.Events, Event{At: at, For: lasts, Fault: Fault{
				rapid.SampledFrom(Kinds).Draw(t, "kind"), rapid.SampledFrom(names).Draw(t, "target")}})
			s.End = at + lasts
		}
		s.End += time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "quiet"))
		got, err := ParseSchedule(strings.NewReader("# a comment\n\n" + s.String()))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("printed\n%sparsed to\n%s(%v)", s, got, err)
		}
	})
}

func TestEveryScenarioDrawsAValidScheduleFromEverySeed(t *testing.T) {
	for _, scenario := range Scenarios {
		for seed := range uint64(200) {
			s := scenario.Schedule(seed)
			if err := s.Validate(); err != nil {
				t.Fatalf("%s, seed %d: %v", scenario.Name, seed, err)
			}
			if again := scenario.Schedule(seed); !reflect.DeepEqual(s, again) {
				t.Fatalf("%s, seed %d draws\n%sand then\n%s", scenario.Name, seed, s, again)
			}
			if s.End > 40*time.Second {
				t.Fatalf("%s, seed %d takes %v", scenario.Name, seed, s.End)
			}
		}
		if reflect.DeepEqual(scenario.Schedule(1).Events, scenario.Schedule(2).Events) {
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
	for _, e := range scenario.Schedule(7).Events {
		faults = append(faults, e.Fault.String())
	}
	if got := strings.Join(faults, "; "); got != "partition leader; crash leader; pause follower" {
		t.Error(got)
	}
}

func TestAnUnknownScenarioNamesTheKnownOnes(t *testing.T) {
	_, err := FindScenario("defualt")
	if !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), "default, partition-leader, partition-minority, kill-leader, kill-all, pause-leader, pause-follower") {
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
		"seed 1\nat 1s kill leader for 2s\nend 5s":                       `chaos: schedule: line 2: fault "kill" is not known; use partition, crash, pause`,
		"seed 1\n\n# x\nat 1s crash leadr for 2s\nend 5s":                `line 4: target "leadr" is not known; use one, minority`,
		"seed 1\nat 1 crash leader for 2s\nend 5s":                       `line 2: "1" is not a time`,
		"seed 1\nat 1s crash leader for -2s\nend 5s":                     `line 2: "-2s" is not a time`,
		"seed 1\nat 1s crash leader for 0s\nend 5s":                      "event 1 (at 1s crash leader for 0s): it must last longer",
		"seed 1\nat 1s crash leader\nend 5s":                             "line 2: \"at 1s crash leader\" is none of",
		"seed 1\nat 1s crash leader for 2s\nend 2s":                      "end 2s: is before 3s",
		"seed 1\nat 1s crash one for 2s\nat 2s pause one for 1s\nend 9s": "event 2 (at 2s pause one for 1s): it begins before 3s",
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
