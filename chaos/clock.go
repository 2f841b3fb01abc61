package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"raftlab/harness"
)

// Clocks that are wrong. What a member takes for the time is its own; what is real is the lab's.
const (
	ClockJump Kind = "clock-jump" // the clock is stepped, and whoever waits on it notices
	ClockSkew Kind = "clock-skew" // each clock is wrong by another amount, from one moment on
	ClockRate Kind = "clock-rate" // the clock runs fast or slow
)

func init() {
	clocks := func(k Kind, does string, param Param, check func(Fault) error) {
		Register(Family{
			Kind: k, Does: does, Needs: "a store whose members go by a clock that can be bent", Params: []Param{param}, Check: check,
			Excludes: []Kind{Crash, Pause, ClockJump, ClockSkew, ClockRate},
			New:      func() Action { return &bentClock{} },
		})
	}
	some := func(name string) func(Fault) error {
		return func(f Fault) error {
			if d := f.Duration(name).Abs(); d < clockStepMin || d > time.Hour {
				return fmt.Errorf("%s=%v: at least %v, so that it can be seen, and at most an hour", name, f.Duration(name), clockStepMin)
			}
			return nil
		}
	}
	clocks(ClockJump, "the clock is stepped; time-outs expire at once, or wait until it is past that time again",
		Param{Name: "by", Unit: Signed, Default: "-3s", Means: "how far, forward or back"}, some("by"))
	clocks(ClockSkew, "the clock is wrong by a drawn amount, as if from the start: nothing that waits notices",
		Param{Name: "up-to", Unit: Duration, Default: "5s", Means: "the most, forward or back"}, some("up-to"))
	clocks(ClockRate, "the clock runs fast or slow, and with it heartbeats and time-outs",
		Param{Name: "rate", Unit: Ratio, Default: "3", Means: "how many of its seconds pass in one of ours"},
		func(f Fault) error {
			if r := f.Ratio("rate"); r < 0.01 || r > 100 || math.Abs(r-1) < 0.2 {
				return fmt.Errorf("rate=%v: from 0.01 to 100, and not within 0.2 of 1, so that it can be seen", r)
			}
			return nil
		})
	bend := func(fault string) step {
		return step{fault: fault, shortest: 3500 * time.Millisecond, longest: 4500 * time.Millisecond}
	}
	Scenarios = append(Scenarios,
		Scenario{Name: "clock-jump", Shows: "step the leader's clock back by 3 s, then forward by 5 s, then a minority's back, then all of them forward",
			steps: []step{bend("clock-jump leader by=-3s"), bend("clock-jump leader by=5s"), bend("clock-jump minority by=-2s"), bend("clock-jump all by=10s")}},
		Scenario{Name: "clock-skew", Shows: "every clock is wrong by another amount, up to 5 s; then the leader's by up to an hour",
			steps: []step{bend("clock-skew all up-to=5s"), bend("clock-skew leader up-to=1h")}},
		Scenario{Name: "clock-rate", Shows: "the leader's clock goes at a twentieth, so that its own heartbeats come too late; then a follower's at eight times; then all at three",
			steps: []step{bend("clock-rate leader rate=0.05"), bend("clock-rate follower rate=8"), bend("clock-rate all rate=3")}},
	)
}

const (
	clockStepMin = 300 * time.Millisecond
	// clockNoticed is how long a member may take to notice a step: a few of its ticks.
	clockNoticed = 100 * time.Millisecond
	// clockGive is how wrong a clock may be read on a busy machine, beside the round trip of the reading itself.
	clockGive = 100 * time.Millisecond
	// clockTicksAtOnce is what every member of ours lets pass at most at one step; a store of another kind may do less.
	clockTicksAtOnce = 100
)

// bentClock is the clocks of some members, bent.
type bentClock struct {
	bends                map[string]harness.Bend
	before, bent, during map[string]harness.ClockReading
	straightened, after  map[string]harness.ClockReading
}

func (b *bentClock) Apply(ctx context.Context, i *Injected) error {
	clocker, ok := i.System.(harness.Clocker)
	if !ok {
		return fmt.Errorf("clocks of %s: %w", i.System.Name(), harness.ErrUnsupported)
	}
	var err error
	if b.before, err = readClocks(ctx, i); err != nil {
		return err
	}
	b.bends = map[string]harness.Bend{}
	err = each(i.Nodes, "bend the clock of", func(node string) error {
		bend := b.draw(i)
		b.bends[node] = bend
		endpoint, err := i.Cluster.Endpoint(ctx, node)
		if err != nil {
			return err
		}
		return clocker.BendClock(ctx, endpoint, bend)
	})
	pass(ctx, clockNoticed)
	var read error
	b.bent, read = readClocks(ctx, i)
	return errors.Join(err, read)
}

// draw is the bend of the next member.
func (*bentClock) draw(i *Injected) harness.Bend {
	switch f := i.Fault; f.Kind {
	case ClockJump:
		return harness.Bend{Jump: f.Duration("by")}
	case ClockSkew:
		most := f.Duration("up-to")
		off := between(i.Random, clockStepMin, most+durationsRound)
		if i.Random.IntN(2) == 0 {
			off = -off
		}
		return harness.Bend{Offset: off}
	default:
		return harness.Bend{Rate: f.Ratio("rate")}
	}
}

func (b *bentClock) Observe(ctx context.Context, i *Injected) (err error) {
	b.during, err = readClocks(ctx, i)
	return err
}

// Undo straightens the clocks, and reads them twice, so that their rate shows.
func (b *bentClock) Undo(ctx context.Context, i *Injected) error {
	clocker, ok := i.System.(harness.Clocker)
	if !ok {
		return nil
	}
	err := each(i.Nodes, "straighten the clock of", func(node string) error {
		endpoint, err := i.Cluster.Endpoint(ctx, node)
		if err != nil {
			return err
		}
		return clocker.StraightenClock(ctx, endpoint)
	})
	var first, second error
	b.straightened, first = readClocks(ctx, i)
	pass(ctx, clockStepMin)
	b.after, second = readClocks(ctx, i)
	return errors.Join(err, first, second)
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

func readClocks(ctx context.Context, i *Injected) (map[string]harness.ClockReading, error) {
	read := map[string]harness.ClockReading{}
	return read, each(i.Nodes, "read the clock of", func(node string) error {
		endpoint, err := i.Cluster.Endpoint(ctx, node)
		if err != nil {
			return err
		}
		read[node], err = i.System.(harness.Clocker).ReadClock(ctx, endpoint)
		return err
	})
}
