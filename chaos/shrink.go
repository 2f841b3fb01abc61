package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Candidate is a run that may fail: what is broken, with how many members and clients.
type Candidate struct {
	Schedule Schedule
	Nodes    int
	Clients  int
}

func (c Candidate) String() string {
	return fmt.Sprintf("%s, %s, %s, %v", Counted(len(c.Schedule.Events), "fault"), Counted(c.Nodes, "member"), Counted(c.Clients, "client"), c.Schedule.End)
}

// Shrinker makes a run that fails smaller while it goes on failing often enough. In real time a failure comes in some tries
// and not in others, so one try decides nothing.
type Shrinker struct {
	// Try runs a candidate once and says whether it failed in the way that is looked for. An error ends the search: what
	// was found so far is kept.
	Try func(context.Context, Candidate) (failed bool, err error)
	// Tries is how often a candidate is run at most, Rate which share of them must fail.
	Tries int
	Rate  float64
	// Runs, if not zero, is how many runs there may be in all.
	Runs int
	Say  func(line string) // may be nil

	ran int
}

// ErrNotReproduced says that the run to begin with does not fail often enough.
var ErrNotReproduced = errors.New("chaos: shrink: it does not fail often enough")

// errRuns ends a search that has had its runs.
var errRuns = errors.New("chaos: shrink: no more runs")

// Shrink returns the smallest that it found. First it drops faults (ddmin, Zeller and Hildebrandt 2002), then members,
// clients and time, and begins again until nothing more can go. With an error the candidate is the smallest so far.
func (s *Shrinker) Shrink(ctx context.Context, c Candidate) (Candidate, error) {
	holds, err := s.fails(ctx, c)
	if err != nil {
		return c, err
	}
	if !holds {
		return c, fmt.Errorf("%w: less than %.0f%% of %s failed", ErrNotReproduced, 100*s.Rate, Counted(s.Tries, "try"))
	}
	for {
		before := c.String() + c.Schedule.String()
		for _, smaller := range []func(Candidate) []Candidate{withoutFaults, withoutMembers, withoutClients, withoutTime} {
			if c, err = s.descend(ctx, c, smaller); err != nil {
				if errors.Is(err, errRuns) {
					err = nil
				}
				return c, err
			}
		}
		if c.String()+c.Schedule.String() == before {
			return c, nil
		}
	}
}

// descend takes the first smaller candidate that still fails, again and again.
func (s *Shrinker) descend(ctx context.Context, c Candidate, smaller func(Candidate) []Candidate) (Candidate, error) {
	for {
		found := false
		for _, next := range smaller(c) {
			if !next.possible() {
				continue
			}
			holds, err := s.fails(ctx, next)
			if err != nil {
				return c, err
			}
			s.say("%s: %s", next, map[bool]string{true: "still fails", false: "does not fail"}[holds])
			if holds {
				c, found = next, true
				break
			}
		}
		if !found {
			return c, nil
		}
	}
}

func (c Candidate) possible() bool {
	var members []string
	for i := range c.Nodes {
		members = append(members, fmt.Sprintf("n%d", i+1))
	}
	return c.Schedule.Validate() == nil && c.Schedule.Fits(members) == nil
}

// fails runs c until it is certain whether enough of Tries fail.
func (s *Shrinker) fails(ctx context.Context, c Candidate) (bool, error) {
	need := max(int(math.Ceil(s.Rate*float64(s.Tries))), 1)
	failed := 0
	for tried := range s.Tries {
		if failed >= need || failed+s.Tries-tried < need {
			break
		}
		if s.Runs > 0 && s.ran >= s.Runs {
			return false, errRuns
		}
		s.ran++
		f, err := s.Try(ctx, c)
		if err != nil {
			return false, err
		}
		if f {
			failed++
		}
	}
	return failed >= need, nil
}

func (s *Shrinker) say(format string, args ...any) {
	if s.Say != nil {
		s.Say(fmt.Sprintf(format, args...))
	}
}

// withoutFaults proposes each half of the faults, then all but each quarter, and so on down to single ones.
func withoutFaults(c Candidate) (smaller []Candidate) {
	n := len(c.Schedule.Events)
	for parts := 2; n > 1; parts = min(2*parts, n) {
		size := (n + parts - 1) / parts
		for from := 0; from < n; from += size {
			part := c.Schedule.Events[from:min(from+size, n)]
			rest := append(append([]Event(nil), c.Schedule.Events[:from]...), c.Schedule.Events[min(from+size, n):]...)
			if parts == 2 {
				smaller = append(smaller, c.with(part))
			} else {
				smaller = append(smaller, c.with(rest))
			}
		}
		if parts >= n {
			return smaller
		}
	}
	return smaller
}

// with has these events, and ends as long after the last one as before.
func (c Candidate) with(events []Event) Candidate {
	quiet := c.Schedule.End - lastEnd(c.Schedule.Events)
	c.Schedule.Events = append([]Event(nil), events...)
	c.Schedule.End = lastEnd(events) + quiet
	return c
}

func lastEnd(events []Event) (last time.Duration) {
	for _, e := range events {
		if e.When.On == AtTime {
			last = max(last, e.When.Time+e.For)
		}
	}
	return last
}

func withoutMembers(c Candidate) (smaller []Candidate) {
	for n := 3; n < c.Nodes; n++ {
		next := c
		next.Nodes = n
		smaller = append(smaller, next)
	}
	return smaller
}

func withoutClients(c Candidate) (smaller []Candidate) {
	for _, n := range []int{c.Clients / 4, c.Clients / 2, c.Clients * 3 / 4} {
		if n > 0 && n < c.Clients {
			next := c
			next.Clients = n
			smaller = append(smaller, next)
		}
	}
	return smaller
}

// Below these, time is not worth a run.
const (
	forMin   = 500 * time.Millisecond
	quietMin = 500 * time.Millisecond
)

// withoutTime proposes shorter quiet times, a shorter end, and then shorter faults.
func withoutTime(c Candidate) (smaller []Candidate) {
	at := quietMin
	next := c.with(c.Schedule.Events)
	for i, e := range next.Schedule.Events {
		if e.When.On != AtTime {
			continue
		}
		if i > 0 && c.Schedule.Events[i].overlaps(c.Schedule.Events[i-1]) {
			at = next.Schedule.Events[i-1].When.Time + e.When.Time - c.Schedule.Events[i-1].When.Time // as long after it as before
		}
		next.Schedule.Events[i].When = At(min(at, e.When.Time))
		at = next.Schedule.Events[i].When.Time + e.For + quietMin
	}
	next.Schedule.End = max(lastEnd(next.Schedule.Events), next.Schedule.End-c.Schedule.End) + quietMin
	if next.Schedule.End < c.Schedule.End {
		smaller = append(smaller, next)
	}
	for i, e := range c.Schedule.Events {
		if e.For/2 < forMin {
			continue
		}
		shorter := c.with(c.Schedule.Events)
		shorter.Schedule.Events[i].For = (e.For / 2).Round(durationsRound)
		shorter.Schedule.End = c.Schedule.End - (lastEnd(c.Schedule.Events) - lastEnd(shorter.Schedule.Events))
		smaller = append(smaller, shorter)
	}
	return smaller
}
