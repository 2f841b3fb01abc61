package sim

import (
	"slices"
	"time"
)

// shrinkRuns bounds the search.
const shrinkRuns = 3000

// Shrink returns a plan that fails for the same reason as the one given, with as little else in it as could be found:
// fewer faults, members, clients and calls, less chance in the network, an earlier end. If the plan does not fail it is
// returned as it is. Progress, if not nil, is told how many runs were tried and the best plan so far.
func Shrink(p Plan, progress func(tried int, best Plan)) Plan {
	s := shrinker{best: p, progress: progress}
	r, err := Run(p.Seed, Options{Plan: &p})
	if err != nil || r.Failure == nil {
		return p
	}
	s.reason = r.Failure.Reason()
	if r.Failure.Check != "liveness" { // nothing after the failure matters
		s.try(func(p *Plan) { p.Until = min(p.Until, r.Failure.At+time.Millisecond) })
	}
	for size := -1; size != s.size() && s.tried < shrinkRuns; {
		size = s.size()
		s.fewerFaults()
		s.smaller()
	}
	return s.best
}

type shrinker struct {
	best     Plan
	reason   string
	tried    int
	progress func(int, Plan)
}

// size is what shrinks; it never grows.
func (s *shrinker) size() int {
	p := &s.best
	return 100*len(p.Faults) + 50*p.Members + 20*p.Clients + p.Ops + p.Keys + p.Value + int(p.Until/time.Millisecond)
}

// try keeps a change if the plan still fails for the same reason.
func (s *shrinker) try(change func(*Plan)) bool {
	if s.tried >= shrinkRuns {
		return false
	}
	p := s.best
	p.Faults = slices.Clone(p.Faults)
	change(&p)
	if p.Validate() != nil || p.String() == s.best.String() {
		return false
	}
	s.tried++
	r, err := Run(p.Seed, Options{Plan: &p})
	if err != nil || r.Failure == nil || r.Failure.Reason() != s.reason {
		return false
	}
	s.best = p
	if s.progress != nil {
		s.progress(s.tried, s.best)
	}
	return true
}

// fewerFaults removes halves, quarters and so on down to single ones (Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input", 2002).
func (s *shrinker) fewerFaults() {
	for part := (len(s.best.Faults) + 1) / 2; part > 0; part /= 2 {
		for at := 0; at < len(s.best.Faults); {
			if !s.try(func(p *Plan) { p.Faults = slices.Delete(p.Faults, at, min(at+part, len(p.Faults))) }) {
				at += part
			}
		}
	}
}

// smaller tries every other value with less in it.
func (s *shrinker) smaller() {
	for _, change := range []func(*Plan){
		func(p *Plan) { p.Loss = 0 },
		func(p *Plan) { p.Duplicate = 0 },
		func(p *Plan) { p.Late, p.LateMax = 0, 0 },
		func(p *Plan) { p.Sessions = 0 },
		func(p *Plan) { p.Remembered = 0 },
		func(p *Plan) { p.Ordered = true },
		func(p *Plan) { p.LatencyMax = p.LatencyMin },
		func(p *Plan) { p.SyncMax = p.SyncMin },
		func(p *Plan) { p.Loop = 0 },
		func(p *Plan) { p.Stream = 0 },
		func(p *Plan) { p.Value = 16 },
		func(p *Plan) { p.Keys = 1 },
		func(p *Plan) { p.Snapshot = 0 },
	} {
		s.try(change)
	}
	for _, number := range []func(*Plan) *int{
		func(p *Plan) *int { return &p.Members },
		func(p *Plan) *int { return &p.Clients },
		func(p *Plan) *int { return &p.Ops },
	} {
		for _, to := range []func(int) int{func(n int) int { return n / 2 }, func(n int) int { return n - 1 }} {
			for s.try(func(p *Plan) { n := number(p); *n = max(1, to(*n)) }) {
			}
		}
	}
	for i := range s.best.Faults {
		s.try(func(p *Plan) { p.Faults[i].For /= 2 })
	}
	for s.try(func(p *Plan) { p.Until = p.Until * 3 / 4 }) {
	}
}
