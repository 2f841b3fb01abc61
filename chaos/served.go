package chaos

import (
	"cmp"
	"slices"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Served says how well the clients of the load were served, from the history alone. The lab's final reads, and its
// own pause before them, are no service.
type Served struct {
	Median     time.Duration `json:"p50_ns"` // of the operations that were ok
	P99        time.Duration `json:"p99_ns"`
	LongestGap time.Duration `json:"longest_gap_ns"` // in which no client at all was answered with ok
	GapFrom    time.Duration `json:"gap_from_ns"`
}

func served(ops []linearizability.Operation) Served {
	var took, answered []time.Duration
	var last time.Duration // when the load was last heard of: who is not served until then is in a gap
	for _, op := range ops {
		if op.Phase == harness.FinalReads {
			continue
		}
		last = max(last, op.Call, op.Return)
		if op.Outcome == linearizability.OK {
			took = append(took, op.Return-op.Call)
			answered = append(answered, op.Return)
		}
	}
	var s Served
	if len(took) == 0 {
		return s
	}
	slices.Sort(took)
	slices.Sort(answered)
	answered = append(answered, last)
	s.Median, s.P99 = took[len(took)/2], took[len(took)*99/100]
	for i := 1; i < len(answered); i++ {
		if gap := answered[i] - answered[i-1]; gap > s.LongestGap {
			s.LongestGap, s.GapFrom = gap, answered[i-1]
		}
	}
	return s
}

// leaderless are the times in which nobody led a majority, in order and apart: what the monitor saw, and the time from each
// fault that took the leader to the next election. The monitor alone sees too little: a leader that is cut off
// goes on calling itself one until it misses its quorum.
func leaderless(windows []Window, seen harness.Observed) []harness.Interval {
	gaps := slices.Clone(seen.Leaderless)
	for _, w := range windows {
		if !w.owesElection(windows) || w.Evidence.Outcome != Installed {
			continue
		}
		gap := harness.Interval{From: w.From, To: w.To}
		for _, e := range seen.Elections {
			if e.Term > w.Term && e.At >= w.From {
				gap.To = e.At
				break
			}
		}
		gaps = append(gaps, gap)
	}
	slices.SortFunc(gaps, func(a, b harness.Interval) int { return cmp.Compare(a.From, b.From) })
	var apart []harness.Interval
	for _, gap := range gaps {
		last := len(apart) - 1
		switch {
		case gap.To <= gap.From:
		case last >= 0 && gap.From <= apart[last].To:
			apart[last].To = max(apart[last].To, gap.To)
		default:
			apart = append(apart, gap)
		}
	}
	return apart
}

func lasting(gaps []harness.Interval) time.Duration {
	var sum time.Duration
	for _, gap := range gaps {
		sum += gap.To - gap.From
	}
	return sum
}
