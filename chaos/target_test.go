package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func view(n, leader int) View {
	var v View
	for i := 1; i <= n; i++ {
		v.Members = append(v.Members, fmt.Sprintf("n%d", i))
	}
	if leader > 0 {
		v.Leader = v.Members[leader-1]
	}
	return v
}

func TestATargetWordPicksAsManyMembersAsItPromises(t *testing.T) {
	for _, c := range []struct {
		target Target
		n      int
		want   int
	}{
		{One, 3, 1}, {One, 5, 1},
		// tipocket's minority was n/2-1, which is nobody on three members.
		{Minority, 3, 1}, {Minority, 4, 1}, {Minority, 5, 2}, {Minority, 7, 3},
		{Half, 3, 1}, {Half, 4, 2}, {Half, 5, 2},
		{Majority, 3, 2}, {Majority, 4, 3}, {Majority, 5, 3},
		{Leader, 3, 1}, {Leader, 5, 1}, {Follower, 3, 1}, {Follower, 5, 1}, {All, 3, 3}, {All, 5, 5},
		{"n1,n3", 3, 2}, {"n2", 3, 1},
	} {
		for seed := range uint64(50) {
			v := view(c.n, 2)
			got, err := c.target.Resolve(v, Random(seed, targetStream))
			if err != nil || len(got) != c.want {
				t.Fatalf("%s of %d members, seed %d: got %v, %v; want %d members", c.target, c.n, seed, got, err, c.want)
			}
			if !slices.IsSortedFunc(got, strings.Compare) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Fatalf("%s, seed %d: %v is not a set in order", c.target, seed, got)
			}
			if c.target == Leader && got[0] != v.Leader || c.target == Follower && got[0] == v.Leader {
				t.Fatalf("%s, seed %d: got %v where %s leads", c.target, seed, got, v.Leader)
			}
		}
	}
}

func TestATargetThatPicksNobodyIsAnError(t *testing.T) {
	for _, c := range []struct {
		target Target
		v      View
	}{
		{Minority, view(1, 1)}, {Minority, view(2, 1)}, {One, view(0, 0)}, {All, view(0, 0)}, {Follower, view(1, 1)},
		{Leader, view(3, 0)}, {Follower, view(3, 0)}, {"n4", view(3, 1)}, {"leadr", view(3, 1)},
	} {
		got, err := c.target.Resolve(c.v, Random(1, targetStream))
		if !errors.Is(err, ErrTarget) || len(got) != 0 {
			t.Errorf("%s of %v: got %v, %v; want %v", c.target, c.v, got, err, ErrTarget)
		}
	}
}

// "No member leads" would be a claim about the store that nobody could check.
func TestWithoutAnInspectorNobodyCanTellWhoLeads(t *testing.T) {
	v := view(3, 0)
	for _, target := range []Target{Leader, Follower} {
		_, err := target.Resolve(v, Random(1, targetStream))
		if err == nil || !strings.Contains(err.Error(), "no member leads") {
			t.Errorf("%s: %v", target, err)
		}
		v := v
		v.Untold = "kvd does not tell"
		_, err = target.Resolve(v, Random(1, targetStream))
		if err == nil || !strings.Contains(err.Error(), "nobody can tell who leads: kvd does not tell") || strings.Contains(err.Error(), "no member leads") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestAFollowerIsDrawnFromTheSeed(t *testing.T) {
	hit := make(map[string]bool)
	for seed := range uint64(100) {
		first, _ := Follower.Resolve(view(5, 1), Random(seed, targetStream))
		again, _ := Follower.Resolve(view(5, 1), Random(seed, targetStream))
		if !slices.Equal(first, again) {
			t.Fatalf("seed %d picks %v and then %v", seed, first, again)
		}
		hit[first[0]] = true
	}
	if len(hit) != 4 {
		t.Errorf("100 seeds picked only %v of four followers", hit)
	}
}

// A second fault is to hit somebody whom the first has left, and to leave a majority where its word says so.
func TestAWordDrawsAmongMembersThatFaultsInForceHaveLeft(t *testing.T) {
	v := view(5, 1)
	v.Lost, v.Barred = []string{"n2"}, map[string]string{"n3": "fault #1 (crash one) is in force"}
	for _, c := range []struct {
		target Target
		want   int
		among  string
	}{{One, 1, "n1 n4 n5"}, {Follower, 1, "n4 n5"}, {Minority, 1, "n1 n4 n5"}, {Leader, 1, "n1"}, {LeaderMinority, 1, "n1"}, {"n2", 1, "n2"}} {
		for seed := range uint64(50) {
			got, err := c.target.Resolve(v, Random(seed, targetStream))
			if err != nil || len(got) != c.want || !strings.Contains(c.among, got[0]) {
				t.Fatalf("%s, seed %d: %v, %v; want %d among %s", c.target, seed, got, err, c.want, c.among)
			}
		}
	}
	for _, target := range []Target{"n3", "n1,n3", All} {
		if got, err := target.Resolve(v, Random(1, targetStream)); !errors.Is(err, ErrTarget) || !strings.Contains(err.Error(), "fault #1 (crash one) is in force at n3") {
			t.Errorf("%s: %v, %v", target, got, err)
		}
	}
	v.Lost = []string{"n2", "n4"}
	if got, err := Minority.Resolve(v, Random(1, targetStream)); err == nil {
		t.Errorf("two of five are lost already, and %v more", got)
	}
}

func TestAMisspeltFaultOrTargetIsAnErrorThatNamesTheKnownOnes(t *testing.T) {
	for _, c := range []struct{ fault, want string }{
		{"kil leader", `fault "kil" is not known; use `},
		{"strobe_skews leader", "partition, pause"},
		{"", `fault "" is not known`},
		{"crash leadr", "did you mean leader?"},
		{"crash whoever", "one, minority, half, majority, leader, follower, leader-minority, all, or members such as n1,n3"},
		{"crash", `target "" is not known`},
		{"crash n1,n1", "twice"},
		{"crash n1, n2", "one, minority"},
		{"crash n0", "one, minority"},
		{"crash n1 n2", `"n2" is not name=value`},
		{"pause n1 force=9", `parameter "force" is not known: it has none`},
		{"delay all delay=-5ms", "delay=-5ms is not a time such as 200ms"},
		{"delay all jitter=90ms", "jitter at most the delay"},
		{"loss all loss=30", "loss=30 is not a share from 0% to 100%"},
		{"loss all loss=100%", "a link that loses all is a partition"},
		{"crash n1 during=snapshot signal=TERM", "during=snapshot is for signal=KILL"},
		{"one-way n1 dir=in", `parameter "dir" is not known; did you mean direction?`},
		{"one-way n1 direction=up", "direction=up is not one of out, in"},
		{"one-way n1 direction=in direction=out", "direction is given twice"},
	} {
		_, err := ParseFault(c.fault)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseFault(%q) = %v; want an error with %q", c.fault, err, c.want)
		}
	}
}

func TestIsolatingCutsBothDirectionsToTheRestOnly(t *testing.T) {
	links := isolate([]string{"n1", "n2", "n3", "n4"}, []string{"n1", "n2"})
	if len(links) != 8 {
		t.Fatalf("two of four have %d directions to the rest, want 8: %v", len(links), links)
	}
	for _, l := range links {
		if l == (isolate([]string{"n1", "n2"}, []string{"n1"})[0]) {
			t.Errorf("%v joins two targets and must stay", l)
		}
	}
}
