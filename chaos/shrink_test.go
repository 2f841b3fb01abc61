package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func candidate(t *testing.T, text string, nodes, clients int) Candidate {
	t.Helper()
	s, err := ParseSchedule(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return Candidate{Schedule: s, Nodes: nodes, Clients: clients}
}

const eightFaults = `seed 1
at 2s pause follower for 2s
at 6s crash leader for 3s
at 11s partition follower for 4s
at 17s ring all for 4s
at 23s partition leader for 4s
at 24s delay all for 2s
at 29s crash follower for 3s
at 34s pause leader for 3s
end 40s
`

// broken is a store that fails when a leader is cut off for a second after a crash of one, which five of six times is seen.
func broken(random *rand.Rand) func(context.Context, Candidate) (bool, error) {
	return func(_ context.Context, c Candidate) (bool, error) {
		crashed := false
		for _, e := range c.Schedule.Events {
			crashed = crashed || e.Fault.Kind == Crash && e.Fault.Target == Leader
			if crashed && e.Fault.Kind == Partition && e.Fault.Target == Leader && e.For >= time.Second && c.Clients >= 3 && c.Nodes >= 4 {
				return random.IntN(6) > 0, nil
			}
		}
		return false, nil
	}
}

func TestAFailingScheduleIsShrunkToWhatItNeeds(t *testing.T) {
	for seed := range uint64(20) {
		s := Shrinker{Try: broken(Random(seed, 9)), Tries: 8, Rate: 0.5}
		got, err := s.Shrink(t.Context(), candidate(t, eightFaults, 5, 20))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var kinds []string
		for _, e := range got.Schedule.Events {
			kinds = append(kinds, e.Fault.String())
		}
		if strings.Join(kinds, ", ") != "crash leader, partition leader" || got.Nodes != 4 || got.Clients > 4 || got.Schedule.End > 5*time.Second || !got.possible() {
			t.Errorf("seed %d: %s\n%s", seed, got, got.Schedule)
		}
		again, err := ParseSchedule(strings.NewReader(got.Schedule.String()))
		if err != nil || again.String() != got.Schedule.String() {
			t.Errorf("seed %d: it does not parse back: %v", seed, err)
		}
	}
}

func TestWhatDoesNotFailOftenEnoughIsNotShrunk(t *testing.T) {
	c := candidate(t, eightFaults, 5, 20)
	rarely := func(context.Context, Candidate) (bool, error) { return false, nil }
	if got, err := (&Shrinker{Try: rarely, Tries: 4, Rate: 0.5}).Shrink(t.Context(), c); !errors.Is(err, ErrNotReproduced) || got.String() != c.String() {
		t.Errorf("%s: %v", got, err)
	}
	calls := 0
	interrupted := func(context.Context, Candidate) (bool, error) {
		if calls++; calls > 3 {
			return false, context.Canceled
		}
		return true, nil
	}
	got, err := (&Shrinker{Try: interrupted, Tries: 1, Rate: 1}).Shrink(t.Context(), c)
	if !errors.Is(err, context.Canceled) || len(got.Schedule.Events) > 4 {
		t.Errorf("what was found before the interrupt is lost: %s, %v", got, err)
	}
	always := func(context.Context, Candidate) (bool, error) { return true, nil }
	s := &Shrinker{Try: always, Tries: 1, Rate: 1, Runs: 2}
	if got, err := s.Shrink(t.Context(), c); err != nil || s.ran != 2 || len(got.Schedule.Events) != 4 {
		t.Errorf("after %d runs: %s, %v", s.ran, got, err)
	}
}

// A triggered fault has no time of its own, and an overlap must stay one.
func TestShorterTimeKeepsOverlapsAndTriggers(t *testing.T) {
	c := candidate(t, "seed 1\nat 5s partition leader for 4s\nwhen leader pause follower for 1s\nat 12s crash leader for 3s\nat 13s delay all for 1s\nend 20s", 5, 10)
	next := withoutTime(c)[0]
	const want = "seed 1\nat 500ms partition leader for 4s\nwhen leader pause follower for 1s\nat 5s crash leader for 3s\nat 6s delay all for 1s\nend 8.5s\n"
	if got := next.Schedule.String(); got != want || !next.possible() {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
