package mutants

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exploreEnd is when a bound that was given by hand is given up. The usual ones end by their number of states, so that a busy
// machine finds what an idle one finds.
const exploreEnd = 15 * time.Minute

// bounds are what the explorer goes through, the first states of each, until one shows the bug. None is made for one bug.
var bounds = []string{
	"-members 3 -terms 2 -crashes 1 -heartbeats 1",
	"-members 3 -terms 1 -crashes 1 -slow-disk 2 -heartbeats 0",
	"-members 2 -spares 1 -terms 1 -changes 2 -crashes 0 -heartbeats 0",
	"-members 3 -terms 1 -reads 2 -commands 1 -crashes 0 -heartbeats 0",
	"-members 3 -terms 2 -transfers 1 -crashes 0 -heartbeats 0",
	"-members 3 -terms 1 -commands 1 -changes 1 -crashes 0 -heartbeats 0",
}

// deep is where the random walks go.
var deep = []string{
	"-members 3 -terms 5 -commands 3 -crashes 3 -heartbeats 3 -step-downs 2 -reads 2 -append-bytes 1",
	"-members 4 -terms 4 -commands 1 -crashes 1 -heartbeats 2 -step-downs 2 -changes 2 -reads 1",
	"-members 3 -terms 4 -commands 2 -crashes 2 -heartbeats 2 -slow-disk 2",
}

func (m *Museum) explorer(ctx context.Context, mutant Mutant, overlay, dir string) Finding {
	f := Finding{Tries: 1}
	binary := filepath.Join(dir, "explorer")
	if err := m.goTest(ctx, overlay, "./raft/modelcheck", binary); err != nil {
		f.Trouble = err.Error()
		return f
	}
	list := bounds
	if m.Bound != "" {
		list = []string{m.Bound}
	}
	for _, b := range list {
		if m.Bound == "" {
			b += " -states 100000"
		}
		one := m.explore(ctx, binary, b)
		f.States, f.Seconds = f.States+one.States, f.Seconds+one.Seconds
		if one.Found {
			f.Found, f.Hits, f.Check, f.Command = true, 1, one.Check, exploreCommand(mutant, b)
			break
		}
		if one.Trouble != "" {
			f.Trouble = b + ": " + one.Trouble
		}
	}
	return f
}

// walks takes so many steps from each seed in each deep place.
func (m *Museum) walks(ctx context.Context, mutant Mutant, overlay, dir string) Finding {
	f := Finding{}
	binary := filepath.Join(dir, "explorer")
	if err := m.goTest(ctx, overlay, "./raft/modelcheck", binary); err != nil {
		f.Trouble = err.Error()
		return f
	}
	var seconds, states []float64
	for seed := 1; seed <= m.Tries && ctx.Err() == nil; seed++ {
		f.Tries++
		spent, seen := 0.0, 0
		for _, b := range deep {
			b = fmt.Sprintf("-order walks -seed %d %s -states 200000", seed, b)
			one := m.explore(ctx, binary, b)
			spent, seen = spent+one.Seconds, seen+one.States
			if one.Found {
				f.Found, f.Hits, f.Check, f.Command = true, f.Hits+1, one.Check, exploreCommand(mutant, b)
				seconds, states = append(seconds, spent), append(states, float64(seen))
				break
			}
			if one.Trouble != "" {
				f.Trouble = b + ": " + one.Trouble
			}
		}
		f.Seconds += spent
		f.States += seen
	}
	if f.Found {
		f.Seconds, f.States = median(seconds), int(median(states))
	}
	return f
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func exploreCommand(mutant Mutant, bound string) string {
	return fmt.Sprintf("raftlab bugs %s --explore %q", mutant.ID, bound)
}

var (
	explored = regexp.MustCompile(`(complete|not complete|violation): (\d+) states.* ([0-9.]+) s, `)
	refused  = regexp.MustCompile(`(?m)^(flag provided.*|invalid value.*)$|modelcheck_test.go:\d+: (.*)$`)
	broken   = regexp.MustCompile(`modelcheck_test.go:\d+: (.*), after (\d+) steps`)
)

func (m *Museum) explore(ctx context.Context, binary, bound string) (f Finding) {
	args := append([]string{"-test.v", "-test.run=^TestTheBound$"}, strings.Fields(bound)...)
	said, took, err := m.run(ctx, "./raft/modelcheck", binary, exploreEnd, args...)
	f.Seconds = took.Seconds()
	for _, line := range explored.FindAllStringSubmatch(said, -1) {
		f.States, _ = strconv.Atoi(line[2])
	}
	what, why := broken.FindStringSubmatch(said), refused.FindStringSubmatch(said)
	switch {
	case what != nil:
		f.Found, f.Check = true, what[1]
	case errors.Is(err, errHangs):
		f.Trouble = fmt.Sprintf("given up after %v", exploreEnd)
	case err == nil && f.States == 0:
		f.Trouble = "it does not say how many states it has seen"
	case err == nil, strings.Contains(said, "was not completed"):
	case why != nil:
		f.Trouble = why[1] + why[2]
	default:
		if f.Trouble = blame(said); f.Trouble == "" { // of a fatal error: of memory, for one
			f.Trouble, _, _ = strings.Cut(strings.TrimSpace(said), "\n\n")
		}
	}
	return f
}
