package chaos_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/harness/process"
)

// The leader is replaced and a follower loses its data, in a real cluster; both have other ids after.
func TestMembersAreReplacedAndWipedWithEvidence(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms replace leader for 3s\nat 4s wipe follower for 1500ms\nend 7s")
	result := judged(t, x)
	if result.Verdict != chaos.Pass {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
	if left, now := x.Cluster.(harness.Member).Former(), harness.Names(x.Cluster); len(left) != 1 || left[0] != "n1" || len(now) != 5 {
		t.Errorf("n1 led and was to leave: former %v, now %v", left, now)
	}
}

// fixed is a store whose members cannot be changed.
type fixed struct {
	harness.System
	harness.Inspector
}

// stubborn is a world in which nobody can be added.
type stubborn struct{ *process.Cluster }

func (stubborn) Add(context.Context) (harness.Place, error) {
	return harness.Place{}, errors.New("no address is left")
}

func TestAChangeThatCouldNotBeMadeMakesTheRunUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*chaos.Experiment)
		outcome chaos.Outcome
		want    string
	}{
		"unsupported": {func(x *chaos.Experiment) { x.System = fixed{x.System, x.System.(harness.Inspector)} }, chaos.Skipped, "raftkv cannot change its members"},
		"failed":      {func(x *chaos.Experiment) { x.Cluster = stubborn{x.Cluster.(*process.Cluster)} }, chaos.Indeterminate, "no address is left"},
	} {
		t.Run(name, func(t *testing.T) {
			x := start(t, raftd, "seed 1\nat 100ms replace follower for 1s\nend 2s")
			c.spoil(&x)
			result := judged(t, x)
			proven := verdictOf(t, result, "every fault proven")
			if result.Verdict != chaos.Unknown || result.Windows[0].Evidence.Outcome != c.outcome || !strings.Contains(proven.Reason, c.want) {
				t.Errorf("%s, %s: %s", result.Verdict, result.Windows[0].Evidence.Outcome, proven.Reason)
			}
		})
	}
}
