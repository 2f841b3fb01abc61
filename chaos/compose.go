package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"raftlab/harness"
)

// Drawable are the faults that a cluster of the kind of c can have and that may be drawn, and why the other families are
// left out, those of one reason together. c need not run.
func Drawable(c harness.Cluster) (faults []Fault, cannot []string) {
	var reasons []string
	left := map[string][]Kind{}
	for _, family := range Families() {
		if len(family.Draws) == 0 {
			continue
		}
		if err := family.able(c); err != nil {
			reason := text(err)
			if left[reason] == nil {
				reasons = append(reasons, reason)
			}
			left[reason] = append(left[reason], family.Kind)
			continue
		}
		faults = append(faults, family.draws()...)
	}
	for _, reason := range reasons {
		cannot = append(cannot, fmt.Sprintf("%s: %s", words(left[reason]), reason))
	}
	return faults, cannot
}

func (f Family) draws() (faults []Fault) {
	for _, text := range f.Draws {
		fault, err := ParseFault(text)
		if err != nil {
			panic(fmt.Sprintf("chaos: family %s: %v", f.Kind, err)) // our bug, that the tests of scenarios find
		}
		faults = append(faults, fault)
	}
	return faults
}

// ParseFaults reads a list such as `partition,crash leader,delay all delay=80ms,pause n1,n2`. A word alone stands for all
// that its family draws.
func ParseFaults(list string) (faults []Fault, err error) {
	var items []string
	for _, item := range strings.Split(list, ",") {
		if words := strings.Fields(item); len(words) > 0 && memberName.MatchString(words[0]) && len(items) > 0 {
			items[len(items)-1] += "," + item // one more member of the target before it
			continue
		}
		items = append(items, strings.TrimSpace(item))
	}
	for _, item := range items {
		family, known := families[Kind(item)]
		if known && len(family.Draws) > 0 {
			faults = append(faults, family.draws()...)
			continue
		}
		fault, err := ParseFault(item)
		if err != nil {
			return nil, err
		}
		faults = append(faults, fault)
	}
	return faults, nil
}

const (
	drawnShortest = 2500 * time.Millisecond
	drawnLongest  = 4 * time.Second
	// overlapping is how many of ten faults begin before the one before has ended. No more than two are in force at once,
	// so that a third always finds somebody to aim at.
	overlapping = 4
)

// Compose draws a schedule of these faults that lasts for about total. Every family comes before any comes again, if there
// is time.
func Compose(faults []Fault, total time.Duration, seed uint64) Schedule {
	random := Random(seed, scheduleStream)
	s := Schedule{Seed: seed}
	at := between(random, quietShortest, quietLongest)
	var left []Fault // of this round, one of each family
	paired := true   // the last one overlaps another, or is the first
	for len(faults) > 0 {
		if len(left) == 0 {
			left = oneOfEach(faults, random)
		}
		lasts := between(random, drawnShortest, drawnLongest)
		next := Event{For: lasts, Fault: left[0]}
		begins := at
		overlap := random.IntN(10) < overlapping
		if n := len(s.Events); !paired && overlap && s.Events[n-1].goesWith(next) {
			before := s.Events[n-1]
			begins = before.When.Time + before.For/2
			paired = true
		} else {
			paired = false
		}
		if begins+lasts+quietLongest > total && len(s.Events) > 0 {
			break
		}
		left = left[1:]
		next.When = At(begins)
		s.Events = append(s.Events, next)
		at = max(at, begins+lasts+between(random, quietShortest, quietLongest))
	}
	s.End = max(at, total)
	return s
}

// goesWith says whether other can begin while e is in force, whoever they hit.
func (e Event) goesWith(other Event) bool {
	second := other.Fault.Target
	return !e.Fault.Kind.excludes(other.Fault.Kind) && !(e.Fault.Target == All && e.Fault.Kind.family().Stops) &&
		(second == Leader || second == Follower || second == One || second == All)
}

// oneOfEach draws one fault of each family, in an order that is drawn too.
func oneOfEach(faults []Fault, random *rand.Rand) []Fault {
	of := make(map[Kind][]Fault)
	var kinds []Kind
	for _, f := range faults {
		if of[f.Kind] == nil {
			kinds = append(kinds, f.Kind)
		}
		of[f.Kind] = append(of[f.Kind], f)
	}
	slices.Sort(kinds)
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	var drawn []Fault
	for _, k := range kinds {
		drawn = append(drawn, of[k][random.IntN(len(of[k]))])
	}
	return drawn
}
