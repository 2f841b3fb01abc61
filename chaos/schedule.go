package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule says what is broken when. It is a pure function of a scenario and a seed; it prints as lines of
// text that a person can edit, and parses back to the same value.
//
//	seed 7
//	at 2.1s partition leader for 4.5s
//	at ops 400 delay all delay=50ms for 3s    # a fault may say more, and begin when something is seen
//	at 9.8s crash leader for 3.2s
//	end 15s
//
// Offsets and operations count from the end of the warm-up. Faults may overlap. In real time the seed fixes faults and
// targets, not the timing of anything inside the members.
type Schedule struct {
	Seed   uint64 // picks the members for words such as follower
	Events []Event
	End    time.Duration // nothing new begins; what is in force runs out, and then the load ends
}

// Event is one fault, in force for For from when it begins.
type Event struct {
	When  Trigger
	For   time.Duration
	Fault Fault
}

// ErrSchedule is wrapped by every error about a schedule; the text names the line and the rule.
var ErrSchedule = errors.New("chaos: schedule")

func (e Event) String() string { return fmt.Sprintf("%s %s for %v", e.When, e.Fault, e.For) }

func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", s.Seed)
	for _, e := range s.Events {
		fmt.Fprintln(&b, e)
	}
	fmt.Fprintf(&b, "end %v\n", s.End)
	return b.String()
}

// Validate names the first rule that s breaks.
func (s Schedule) Validate() error {
	if len(s.Events) == 0 {
		return fmt.Errorf("%w: no fault: a run in which nothing happens shows nothing", ErrSchedule)
	}
	last := time.Duration(0)
	for i, e := range s.Events {
		if err := e.validate(s.Events[:i]); err != nil {
			return fmt.Errorf("%w: event %d (%s): %w", ErrSchedule, i+1, e, within{err})
		}
		if e.When.On == AtTime {
			last = max(last, e.When.Time+e.For)
		}
	}
	if s.End < last || s.End == 0 {
		return fmt.Errorf("%w: end %v: is before %v, when the last fault ends", ErrSchedule, s.End, last)
	}
	return nil
}

func (e Event) validate(before []Event) error {
	if err := e.Fault.check(); err != nil {
		return err
	}
	if e.For <= 0 {
		return errors.New("it must last longer than 0s")
	}
	for _, other := range before {
		if !e.overlaps(other) || !e.Fault.Kind.excludes(other.Fault.Kind) {
			continue
		}
		for _, node := range e.Fault.Target.certain() {
			if other.Fault.Target == All || slices.Contains(other.Fault.Target.certain(), node) {
				return fmt.Errorf("%s is hit by %s then: it means nothing there", node, other)
			}
		}
		if other.Fault.Target == All {
			return fmt.Errorf("every member is hit by %s then: it means nothing there", other)
		}
	}
	return nil
}

// overlaps says whether both are certainly in force at some time.
func (e Event) overlaps(other Event) bool {
	return e.When.On == AtTime && other.When.On == AtTime &&
		e.When.Time < other.When.Time+other.For && other.When.Time < e.When.Time+e.For
}

// Fits says whether every event can pick somebody among these members, whoever leads: a fault that can hit nobody
// is to be found before anything is started.
func (s Schedule) Fits(members []string) error {
	if len(members) == 0 {
		return fmt.Errorf("%w: there is no member", ErrSchedule)
	}
	for i, e := range s.Events {
		nodes, err := e.Fault.Target.Resolve(View{Members: members, Leader: members[0]}, Random(s.Seed, targetStream))
		if family := e.Fault.Kind.family(); err == nil && family.Fits != nil {
			err = family.Fits(e.Fault, nodes, members)
		}
		if err != nil {
			return fmt.Errorf("%w: event %d (%s): %w", ErrSchedule, i+1, e, within{err})
		}
	}
	return nil
}

// within is an error of this package inside another one: the prefix that both have is said once.
type within struct{ error }

func (w within) Error() string { return strings.TrimPrefix(w.error.Error(), "chaos: ") }
func (w within) Unwrap() error { return w.error }

// ParseSchedule reads what String prints. Empty lines are ignored, and what follows a #.
func ParseSchedule(r io.Reader) (Schedule, error) {
	var s Schedule
	lines := bufio.NewScanner(r)
	seen := make(map[string]int)
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if (words[0] == "seed" || words[0] == "end") && seen[words[0]] > 0 {
			return s, fmt.Errorf("%w: line %d: %s is on line %d already", ErrSchedule, number, words[0], seen[words[0]])
		}
		seen[words[0]] = number
		if err := s.parseLine(words); err != nil {
			return s, fmt.Errorf("%w: line %d: %w", ErrSchedule, number, within{err})
		}
	}
	if err := lines.Err(); err != nil {
		return s, fmt.Errorf("%w: %w", ErrSchedule, err)
	}
	for _, word := range []string{"seed", "end"} {
		if seen[word] == 0 {
			return s, fmt.Errorf("%w: no line begins with %s", ErrSchedule, word)
		}
	}
	return s, s.Validate()
}

func (s *Schedule) parseLine(words []string) (err error) {
	switch {
	case words[0] == "seed" && len(words) == 2:
		s.Seed, err = strconv.ParseUint(words[1], 10, 63)
		if err != nil {
			return fmt.Errorf("seed %q is not a whole number from 0 to 2^63-1", words[1])
		}
	case words[0] == "end" && len(words) == 2:
		s.End, err = offset(words[1])
	case words[0] == "at" || words[0] == "when":
		var e Event
		if e, err = parseEvent(words); err == nil {
			s.Events = append(s.Events, e)
		}
	default:
		return fmt.Errorf("%q is none of `seed N`, `at 2s FAULT TARGET for 4s`, `end 20s`", strings.Join(words, " "))
	}
	return err
}

// parseEvent reads TRIGGER FAULT [TARGET] [NAME=VALUE...] for DURATION.
func parseEvent(line []string) (e Event, err error) {
	rest := line
	if e.When, rest, err = parseTrigger(rest); err != nil {
		return e, err
	}
	last := len(rest) - 2
	if last < 1 || rest[last] != "for" {
		return e, fmt.Errorf("%q does not end with how long, such as `for 4s`", strings.Join(line, " "))
	}
	if e.For, err = offset(rest[last+1]); err != nil {
		return e, err
	}
	e.Fault, err = ParseFault(strings.Join(rest[:last], " "))
	return e, err
}

func offset(word string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time such as 2.5s", word)
	}
	return d, nil
}

// Random is the source of one stream of choices: the same seed and stream make the same choices.
func Random(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
