package chaos

import (
	"slices"
	"strings"
	"testing"

	"raftlab/harness"
)

// configuration has a voter per word: id@node.
func configuration(index uint64, words ...string) harness.Configuration {
	c := harness.Configuration{Index: index, Committed: true}
	for _, word := range words {
		id, node, _ := strings.Cut(word, "@")
		c.Members = append(c.Members, harness.Configured{ID: id, Address: node + ":1", Voter: true})
	}
	return c
}

func place(node string) harness.Place { return harness.Place{Name: node, Address: node + ":1"} }

func TestAChangeOfMembersIsJudgedByWhatMostOfThemTold(t *testing.T) {
	three := configuration(5, "a@n1", "b@n2", "c@n3")
	alive := Observations{Before: probes(running), During: probes(running), After: probes(running)}
	gone := Observations{Before: probes(running), During: probes(running), After: probes(killed), Gone: []string{"n1"}}
	died := Observations{Before: probes(running), During: probes(killed), After: probes(reborn)}
	change := func(during, after harness.Configuration, newcomers ...harness.Place) roster {
		return roster{before: three, during: during, after: after, newcomers: newcomers,
			places: map[string]harness.Place{"n1": place("n1"), "n2": place("n2"), "n3": place("n3")}}
	}
	grown := configuration(8, "a@n1", "b@n2", "c@n3", "d@n4")
	shrunk := configuration(7, "b@n2", "c@n3")
	replaced := configuration(9, "b@n2", "c@n3", "d@n4")
	rejoined := configuration(9, "b@n2", "c@n3", "d@n1")
	blank := harness.Configuration{}
	others := func(c harness.Configuration) harness.Configuration { // another fault has let somebody in meanwhile
		c.Members = append(slices.Clone(c.Members), configuration(0, "x@n9").Members...)
		return c
	}
	learner := configuration(9, "b@n2", "c@n3", "d@n4")
	learner.Members[2].Voter = false
	n4 := place("n4")
	for _, c := range []struct {
		name   string
		action Action
		seen   Observations
		want   Outcome
		says   string
	}{
		{"add", &adding{roster: change(grown, configuration(10, "a@n1", "b@n2", "c@n3")), joined: []harness.Place{n4}}, alive, Installed, "n4 came with id d"},
		{"add of nobody", &adding{roster: change(three, three)}, alive, Indeterminate, "0 joined, not 1"},
		{"add of one who is no member", &adding{roster: change(three, configuration(10, "a@n1", "b@n2", "c@n3")), joined: []harness.Place{n4}}, alive, Indeterminate, "n4 is no voter"},
		{"add of one who stays", &adding{roster: change(grown, grown), joined: []harness.Place{n4}}, alive, Indeterminate, "n4 is a member still"},
		{"add with an old id", &adding{roster: change(configuration(8, "a@n1", "b@n2", "c@n3", "a@n4"), configuration(10, "a@n1", "b@n2", "c@n3")), joined: []harness.Place{n4}}, alive, Indeterminate, "which was a member's before"},
		{"add that nobody told of", &adding{roster: change(blank, three), joined: []harness.Place{n4}}, alive, Indeterminate, "no majority told its configuration during"},

		{"add beside a change that ends first", &adding{roster: change(others(grown), configuration(10, "a@n1", "b@n2", "c@n3")), joined: []harness.Place{n4}}, alive, Installed, "n4 came with id d"},
		{"add beside a change that ends later", &adding{roster: change(grown, others(configuration(10, "a@n1", "b@n2", "c@n3"))), joined: []harness.Place{n4}}, alive, Installed, "n4 came with id d"},
		{"add of nobody beside a change", &adding{roster: change(others(three), three)}, alive, Indeterminate, "0 joined, not 1"},

		{"remove", &removing{change(shrunk, replaced, n4)}, gone, Installed, "n1 with id a left"},
		{"remove that did not", &removing{change(three, replaced, n4)}, gone, Indeterminate, "n1, id a, is a member still in the configuration during"},
		{"remove that took the process too", &removing{change(shrunk, replaced, n4)}, Observations{Before: probes(running), During: probes(killed), After: probes(killed), Gone: []string{"n1"}}, Indeterminate, "did not run on"},
		{"remove without a successor", &removing{change(shrunk, shrunk)}, gone, Indeterminate, "0 came for 1"},

		{"replace", &replacing{change(replaced, replaced, n4)}, gone, Installed, "n1 with id a left, n4 came with id d, configuration 5 → 9 of 3 voters"},
		{"replace that kept the old", &replacing{change(grown, grown, n4)}, alive, Indeterminate, "is a member still"},
		{"replace by one without a vote", &replacing{change(learner, learner, n4)}, gone, Indeterminate, "n4 is no voter"},
		{"replace of one that runs on", &replacing{change(replaced, replaced)}, gone, Indeterminate, "0 came for 1"},
		{"replace that changed nothing", &replacing{change(three, three, n4)}, alive, Indeterminate, "still that of index 5"},

		{"wipe", &wiping{killed: probes(killed), roster: change(three, rejoined)}, died, Installed, "n1 came with id d, n1 with id a left"},
		{"wipe that came back with its old id", &wiping{killed: probes(killed), roster: change(three, configuration(9, "a@n1", "b@n2", "c@n3"))}, died, Indeterminate, "n1 has id a, which was a member's before"},
		{"wipe of a process that lived on", &wiping{killed: probes(killed), roster: change(three, rejoined)}, alive, Indeterminate, "not seen ended"},
		{"wipe of a process that had ended by itself", &wiping{killed: probes(harness.Probe{State: harness.Exited, Exit: 1}), roster: change(three, rejoined)}, died, Indeterminate, "not seen ended by SIGKILL"},
		{"wipe of one who was no member", &wiping{killed: probes(killed), roster: roster{before: shrunk, during: shrunk, after: configuration(9, "b@n2", "c@n3"), places: map[string]harness.Place{"n1": place("n1")}}}, died, Indeterminate, "n1 was no member before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := injected(c.seen)
			i.Fault = Fault{Kind: Add, Target: All}
			e := i.judge(c.action)
			if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
				t.Errorf("got %s %q (missing %q); want %s with %q", e.Outcome, e.Says, e.Missing, c.want, c.says)
			}
		})
	}
}

// What a change waits for is who came and who left, whatever others do to the members at the same time.
func TestAChangeHasComeWhenItsOwnMembersAreInAndOut(t *testing.T) {
	now := configuration(9, "b@n2", "c@n3", "d@n4", "x@n9")
	now.Members[3].Voter = false
	for name, c := range map[string]struct {
		changed
		fits bool
	}{
		"nothing":               {changed{}, true},
		"came":                  {changed{came: []harness.Place{place("n4")}}, true},
		"not come":              {changed{came: []harness.Place{place("n4"), place("n5")}}, false},
		"came without a vote":   {changed{came: []harness.Place{place("n9")}}, false},
		"left":                  {changed{left: []harness.Place{place("n1")}}, true},
		"not left":              {changed{left: []harness.Place{place("n1"), place("n2")}}, false},
		"stale":                 {changed{stale: []string{"a"}}, true},
		"an old id still there": {changed{stale: []string{"a", "b"}}, false},
	} {
		if c.changed.fits(now) != c.fits {
			t.Errorf("%s: want %v", name, c.fits)
		}
	}
}

// A member that runs after the fault, though it was to be dropped, is not gone; and one that is gone owes no process.
func TestOnlyADroppedMemberOwesNoProcess(t *testing.T) {
	f := judgeEdges([]string{"n1"}, Observations{Before: probes(running), After: probes(killed)})
	if e := f.evidence(); e.Outcome != Indeterminate {
		t.Errorf("%+v", e)
	}
	f = judgeEdges([]string{"n1"}, Observations{Before: probes(running), After: probes(killed), Gone: []string{"n1"}})
	if e := f.evidence(); e.Outcome != Installed {
		t.Errorf("%+v", e)
	}
}

func TestChangesThatCannotBeAreRefusedBeforeAnythingIsStarted(t *testing.T) {
	for text, want := range map[string]string{
		"add n1":            "it is said of all",
		"add all count=0":   "count=1 to count=10",
		"add all count=two": "whole number",
	} {
		if _, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"wipe majority", "remove n1,n2,n3", "replace all"} {
		s, err := ParseSchedule(strings.NewReader("seed 1\nat 1s " + text + " for 1s\nend 3s"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fits(five); err == nil || !strings.Contains(err.Error(), "leaves no majority") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, name := range []string{"member-churn", "replace-under-partition", "wipe-rejoin", "grow-shrink", "replace-all"} {
		s, err := FindScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(20) {
			if err := drawn(s, seed).Fits(five); err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
		}
	}
}
