package report

import (
	"slices"
	"time"

	"raftlab/linearizability"
)

// Service is how the clients of the load fared in a stretch of time.
type Service struct {
	From, To  time.Duration
	OK, Asked int
	Median    time.Duration
	P99       time.Duration
	Gap       time.Duration // longest in which no client at all was answered with ok
	ClientGap time.Duration // longest in which one client was not
	Client    int           // which
}

// PerSecond is how many operations a second were answered with ok.
func (s Service) PerSecond() float64 {
	if s.To <= s.From {
		return 0
	}
	return float64(s.OK) / (s.To - s.From).Seconds()
}

// Availability is one fault and the time around it.
type Availability struct {
	Fault                 Fault
	Before, During, After Service
	// NewLeader is how long after the injection began another term had a leader; zero where there was none.
	NewLeader time.Duration
	Leader    string
	Term      uint64
	// Again is how long after the undo began the next operation was answered with ok; zero where none was.
	Again time.Duration
}

// Availability describes each fault that was done: during is while it was in force, before and after reach to the faults
// around it, or to the ends of the load.
func (r Run) Availability() []Availability {
	var rows []Availability
	end, ops := r.loadEnd(), r.byReturn()
	for _, f := range r.Faults {
		if !f.Done() {
			continue
		}
		a := Availability{Fault: f}
		before, after := time.Duration(0), end
		for _, other := range r.Faults {
			if other.Done() && other.To <= f.From {
				before = max(before, other.To)
			}
			if other.Done() && other.From >= f.To {
				after = min(after, other.From)
			}
		}
		a.Before, a.During, a.After = service(ops, before, f.From), service(ops, f.InForce, f.To), service(ops, f.To, after)
		for _, e := range r.Observed.Elections {
			if e.At >= f.From && e.At <= f.To && e.Term > f.Term {
				a.NewLeader, a.Leader, a.Term = e.At-f.From, e.Node, e.Term
				break
			}
		}
		a.Again = firstOK(ops, f.To, end)
		rows = append(rows, a)
	}
	return rows
}

// service counts the operations that were answered in the stretch, or were called in it and never answered.
func service(ops []linearizability.Operation, from, to time.Duration) Service {
	s := Service{From: from, To: to}
	if to <= from {
		return s
	}
	var took []time.Duration
	last, lastOf := from, map[int]time.Duration{}
	for _, op := range ops {
		at := op.Return
		if at == 0 {
			at = op.Call
		}
		if at < from || at > to {
			continue
		}
		s.Asked++
		if op.Outcome != linearizability.OK {
			if _, known := lastOf[op.Client]; !known {
				lastOf[op.Client] = from
			}
			continue
		}
		s.OK++
		took = append(took, op.Return-op.Call)
		s.Gap, last = max(s.Gap, at-last), at
		since, known := lastOf[op.Client]
		if !known {
			since = from
		}
		s.clientGap(op.Client, at-since)
		lastOf[op.Client] = at
	}
	s.Gap = max(s.Gap, to-last)
	for client, since := range lastOf {
		s.clientGap(client, to-since)
	}
	if len(took) > 0 {
		slices.Sort(took)
		s.Median, s.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return s
}

func (s *Service) clientGap(client int, gap time.Duration) {
	if gap > s.ClientGap || gap == s.ClientGap && client < s.Client {
		s.ClientGap, s.Client = gap, client
	}
}

// firstOK is how long after from the next ok was answered.
func firstOK(ops []linearizability.Operation, from, end time.Duration) time.Duration {
	for _, op := range ops {
		if op.Outcome == linearizability.OK && op.Return >= from && op.Call <= end {
			return op.Return - from
		}
	}
	return 0
}

// byReturn are the operations of the load in the order of their answers.
func (r Run) byReturn() []linearizability.Operation {
	ops := r.load()
	slices.SortStableFunc(ops, func(a, b linearizability.Operation) int {
		return int(max(a.Return, a.Call) - max(b.Return, b.Call))
	})
	return ops
}
