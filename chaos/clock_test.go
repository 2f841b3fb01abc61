package chaos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
)

// bentAs is a clock that was bent and seen bent, as it should be: ticks of 10 ms, read before, bent, 3 s later, straight,
// and 300 ms later. told is how much time the member acted on in between.
func bentAs(bend harness.Bend, told [4]time.Duration) *bentClock {
	const tick = 10 * time.Millisecond
	ours := func(after time.Duration) time.Time { return born.Add(after) }
	read := func(at, off time.Duration, ticks uint64) map[string]harness.ClockReading {
		return map[string]harness.ClockReading{"n1": {Reads: ours(at + off), At: ours(at), Give: time.Millisecond, Ticks: ticks, TickEvery: tick}}
	}
	off, later := bend.Jump+bend.Offset, bend.Jump+bend.Offset
	if bend.Rate != 0 {
		later = time.Duration((bend.Rate - 1) * float64(3*time.Second))
	}
	ticks := [5]uint64{1000}
	for n, d := range told {
		ticks[n+1] = ticks[n] + uint64(d/tick)
	}
	return &bentClock{
		bends:  map[string]harness.Bend{"n1": bend},
		before: read(0, 0, ticks[0]), bent: read(150*time.Millisecond, off, ticks[1]),
		during: read(3150*time.Millisecond, later, ticks[2]), straightened: read(3200*time.Millisecond, 0, ticks[3]), after: read(3500*time.Millisecond, 0, ticks[4]),
	}
}

func TestAClockIsJudgedByWhatItReadAndByWhatTheMemberDid(t *testing.T) {
	const ms = time.Millisecond
	straight := [4]time.Duration{150 * ms, 3000 * ms, 50 * ms, 300 * ms} // as a member that goes by another clock
	forward, back := harness.Bend{Jump: 5 * time.Second}, harness.Bend{Jump: -2 * time.Second}
	fast, slow := harness.Bend{Rate: 3}, harness.Bend{Rate: 0.1}
	with := func(b *bentClock, readings map[string]harness.ClockReading, change func(*harness.ClockReading)) *bentClock {
		r := readings["n1"]
		change(&r)
		readings["n1"] = r
		return b
	}
	honest := bentAs(forward, [4]time.Duration{2150 * ms, 3000 * ms, 50 * ms, 300 * ms})
	slewed, stuck, early, unread := *honest, *honest, *honest, *honest
	for name, c := range map[string]struct {
		seen *bentClock
		want Outcome
		says string
	}{
		"a step forward":              {honest, Installed, "n1 off by 5s, then by 0s"},
		"a step back":                 {bentAs(back, [4]time.Duration{0, 1000 * ms, 50 * ms, 300 * ms}), Installed, "n1 off by -2s"},
		"an offset":                   {bentAs(harness.Bend{Offset: -time.Minute}, straight), Installed, "n1 off by -1m0s"},
		"a fast clock":                {bentAs(fast, [4]time.Duration{150 * ms, 8500 * ms, 50 * ms, 300 * ms}), Installed, "n1 ran at 3.00 and ticked at 2.83"},
		"a slow clock":                {bentAs(slow, [4]time.Duration{150 * ms, 300 * ms, 10 * ms, 300 * ms}), Installed, "n1 ran at 0.10"},
		"nothing was bent":            {&bentClock{}, Indeterminate, "no clock was bent"},
		"a step that only was said":   {bentAs(forward, straight), Indeterminate, "though its clock was stepped forward by 5s"},
		"a step back likewise":        {bentAs(back, straight), Indeterminate, "though its clock was stepped back by 2s"},
		"a rate that only was said":   {bentAs(fast, straight), Indeterminate, "it ticked at 1.00, want about 3.00"},
		"slowness that was only said": {bentAs(slow, straight), Indeterminate, "it ticked at 1.00, want about 0.10"},
		"a clock that stayed right": {func() *bentClock {
			b := bentAs(forward, [4]time.Duration{2150 * ms, 3000 * ms, 50 * ms, 300 * ms})
			return with(b, b.bent, func(r *harness.ClockReading) { r.Reads = r.At })
		}(), Indeterminate, "bent its clock was off by 0s, want 5s"},
		"a clock that was right again too soon": {func() *bentClock {
			b := &early
			b.during = bentAs(forward, straight).during
			return with(b, b.during, func(r *harness.ClockReading) { r.Reads = r.At })
		}(), Indeterminate, "during the fault its clock was off by 0s"},
		"a clock that stays wrong": {func() *bentClock {
			b := &slewed
			b.after = map[string]harness.ClockReading{"n1": honest.after["n1"]}
			return with(b, b.after, func(r *harness.ClockReading) { r.Reads = r.At.Add(5 * time.Second) })
		}(), Indeterminate, "after its clock was off by 5s"},
		"a clock that was wrong before": {func() *bentClock {
			b := bentAs(back, [4]time.Duration{0, 1000 * ms, 50 * ms, 300 * ms})
			return with(b, b.before, func(r *harness.ClockReading) { r.Reads = r.At.Add(-2 * time.Second) })
		}(), Indeterminate, "before its clock was off by -2s"},
		"a member that does not tick any more": {func() *bentClock {
			b := &stuck
			b.after = map[string]harness.ClockReading{"n1": honest.after["n1"]}
			return with(b, b.after, func(r *harness.ClockReading) { r.Ticks = honest.straightened["n1"].Ticks })
		}(), Indeterminate, "nothing ticks after the undo"},
		"a clock that was not read": {func() *bentClock { unread.during = nil; return &unread }(), Indeterminate, "n1: its clock was not read during the fault"},
	} {
		e := injected(Observations{World: "process", Before: probes(running), During: probes(running), After: probes(running)}).judge(c.seen)
		if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
			t.Errorf("%s: %s %q, want %s with %q", name, e.Outcome, e.Says, c.want, c.says)
		}
	}
}

func TestClockFaultsThatNobodyWouldSeeAreRefused(t *testing.T) {
	for _, text := range []string{"clock-jump leader by=0s", "clock-jump leader by=10ms", "clock-jump leader by=-2h", "clock-rate leader rate=1.1",
		"clock-rate leader rate=200", "clock-skew all up-to=1ms", "clock-rate leader rate=fast"} {
		if _, err := ParseFault(text); !errors.Is(err, ErrFault) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"clock-jump leader", "clock-jump n1,n2 by=-3s", "clock-rate follower rate=0.05", "clock-skew all"} {
		if _, err := ParseFault(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A store whose clock cannot be bent has no clock faults: that is said, and is no window.
func TestClocksOfAStoreWithoutAnyAreUnsupported(t *testing.T) {
	f, err := ParseFault("clock-jump n1")
	if err != nil {
		t.Fatal(err)
	}
	i := &Injected{Fault: f, Nodes: []string{"n1"}, System: struct{ harness.System }{nameless{}}}
	b := &bentClock{}
	if err := b.Apply(context.Background(), i); !errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), "clocks of nameless") {
		t.Error(err)
	}
	if err := b.Undo(context.Background(), i); err != nil {
		t.Errorf("undo of nothing: %v", err)
	}
}

type nameless struct{ harness.System }

func (nameless) Name() string { return "nameless" }
