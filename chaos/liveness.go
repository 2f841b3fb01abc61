package chaos

import (
	"fmt"
	"slices"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Bounds are how long a cluster may keep its clients waiting while a majority can hear each other. A bound that is passed
// is a FAIL: of liveness, with nothing lost. Zero fields mean the default.
//
// The defaults are to be passed by a store that is stuck, never by a machine that is busy. raftd and the etcd of the lab have
// an election time-out of 0.5 to 1 s: a dead leader is noticed within 1 s and replaced one round of voting later, and of
// five members three in a row splitting their votes is one case in a thousand. So 3 s are plenty on an idle machine; on two
// cores shared with compilers, rounds were seen to take three times as long. That makes 10 s for a leader. A client finds it
// by asking each member in turn, each until its time-out of 1 s, and perhaps twice: 2 s more for each member.
type Bounds struct {
	Leader   time.Duration // without a leader; 10 s
	Client   time.Duration // without an ok, for a client that asks one member after another; Leader and 2 s for each member
	Converge time.Duration // until all members agree, once everything was healed; 30 s
	// Terms that a majority went through in one window that left the leader its majority all along; 5. None is needed. Who
	// campaigns because it hears nobody, and is listened to, raises it each 0.75 s; a machine that stops for a second, once or twice.
	Terms int
}

func (b Bounds) of(members int) Bounds {
	if b.Leader == 0 {
		b.Leader = 10 * time.Second
	}
	if b.Client == 0 {
		b.Client = b.Leader + time.Duration(members)*2*operationMax
	}
	if b.Converge == 0 {
		b.Converge = 30 * time.Second
	}
	if b.Terms == 0 {
		b.Terms = 5
	}
	return b
}

// Waited are the longest waits that a bound is about.
type Waited struct {
	Leader   time.Duration `json:"leader_ns"` // the longest time to a new leader
	Client   time.Duration `json:"client_ns"` // the longest time that one client was not served
	Who      int           `json:"client"`    // which
	Converge time.Duration `json:"converge_ns"`
	// Terms is the most in one window in which the leader had no reason to go.
	Terms int `json:"terms"`
}

// alive holds the waits against their bounds. What is waited while no majority is left counts for nothing: no store may
// serve then.
func alive(b Bounds, r Result, clients []int, ops []linearizability.Operation) (Check, Waited) {
	exempt := majorityless(r.Windows)
	w := Waited{Converge: r.Waited.Converge}
	for _, gap := range r.Gaps {
		w.Leader = max(w.Leader, longestOutside(gap, exempt))
	}
	w.Client, w.Who = longestUnserved(clients, ops, exempt)
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("waits of at most %v for a leader, %v for one of %s, %v to converge; bounds %v, %v, %v",
		short(w.Leader), short(w.Client), Counted(len(clients), "client"), short(w.Converge), b.Leader, b.Client, b.Converge)}
	switch {
	case r.Untold:
		c.Looked = fmt.Sprintf("a wait of at most %v for one of %s, bound %v; who leads is not told", short(w.Client), Counted(len(clients), "client"), b.Client)
	case w.Leader > b.Leader:
		c.Verdict, c.Reason = Fail, fmt.Sprintf("no leader for %v although a majority was left; the bound is %v", short(w.Leader), b.Leader)
	}
	if w.Client > b.Client && c.Verdict == Pass {
		c.Verdict, c.Reason = Fail, fmt.Sprintf("client %d was not served for %v although a majority was left and it asked every member; the bound is %v", w.Who, short(w.Client), b.Client)
	}
	if n, in := deposed(r.Windows, r.Observed.Terms); n > 0 {
		w.Terms = n
		c.Looked += fmt.Sprintf("; %s during fault #%d (%s), which left the leader its majority, bound %d", Counted(n, "new term"), in.Fault, in.What, b.Terms)
		if n > b.Terms && c.Verdict == Pass {
			c.Verdict, c.Reason = Fail, fmt.Sprintf("a majority went through %s in %v of fault #%d (%s), although %s had a majority that heard it all along; the bound is %d",
				Counted(n, "new term"), short(in.To-in.From), in.Fault, in.What, in.Leader, b.Terms)
		}
	}
	if len(clients) == 0 && c.Verdict == Pass {
		c.Verdict, c.Reason = Unknown, "no client went from member to member"
	}
	return c, w
}

// deposed is the window with the most new terms for which the fault gave no reason: it took the leader from nobody, and no
// other was in force. Terms are counted and not elections, for a leader may last less than the monitor sees.
func deposed(windows []Window, terms []harness.Term) (most int, in Window) {
	for _, w := range windows {
		if w.Leader == "" || w.Evidence.Outcome != Installed || !w.What.Kind.family().Spares || w.HitLeader() || w.overlapped(windows) {
			continue
		}
		last := w.Term
		for _, t := range terms {
			if t.At <= w.To {
				last = max(last, t.Term)
			}
		}
		if n := int(last - w.Term); n > most {
			most, in = n, w
		}
	}
	return most, in
}

// majorityless are the times in which the faults in force together left no majority, in order and apart. A fault counts until it is
// undone, for an engine that is busy takes seconds to start a member, and also where its evidence says later that it was none.
func majorityless(windows []Window) []harness.Interval {
	windows = slices.Clone(windows)
	var edges []time.Duration
	for i := range windows {
		w := &windows[i]
		w.To = max(w.To, w.Undone)
		edges = append(edges, w.From, w.To)
	}
	slices.Sort(edges)
	var without []harness.Interval
	for i := 1; i < len(edges); i++ {
		from, to := edges[i-1], edges[i]
		effect, members := together(windows, from, to)
		if from == to || len(members) == 0 || effect.Quorum(members) {
			continue
		}
		if last := len(without) - 1; last >= 0 && without[last].To == from {
			without[last].To = to
		} else {
			without = append(without, harness.Interval{From: from, To: to})
		}
	}
	return without
}

// longestOutside is the longest piece of a gap that no exempt time covers.
func longestOutside(gap harness.Interval, exempt []harness.Interval) time.Duration {
	var longest time.Duration
	at := gap.From
	for _, e := range exempt {
		if e.To <= at || e.From >= gap.To {
			continue
		}
		longest, at = max(longest, e.From-at), e.To
	}
	return max(longest, gap.To-at)
}

// longestUnserved looks from the first call of a client to the end of the load.
func longestUnserved(clients []int, ops []linearizability.Operation, exempt []harness.Interval) (longest time.Duration, who int) {
	served := map[int]time.Duration{} // since when each waits
	var end time.Duration
	look := func(client int, to time.Duration) {
		if gap := longestOutside(harness.Interval{From: served[client], To: to}, exempt); gap > longest {
			longest, who = gap, client
		}
	}
	for _, op := range byReturn(ops) {
		if op.Phase == harness.FinalReads {
			continue
		}
		end = max(end, op.Call, op.Return)
		if !slices.Contains(clients, op.Client) {
			continue
		}
		if _, began := served[op.Client]; !began {
			served[op.Client] = op.Call
		}
		if op.Outcome == linearizability.OK {
			look(op.Client, op.Return)
			served[op.Client] = op.Return
		}
	}
	for _, client := range clients {
		if _, began := served[client]; began {
			look(client, end)
		}
	}
	return longest, who
}

func byReturn(ops []linearizability.Operation) []linearizability.Operation {
	sorted := slices.Clone(ops)
	slices.SortStableFunc(sorted, func(a, b linearizability.Operation) int { return int(max(a.Return, a.Call) - max(b.Return, b.Call)) })
	return sorted
}

// Failure is the kind of a FAIL: "safety" where a promise about data was broken, "liveness" where the cluster only kept its
// clients waiting. Empty where the run did not fail.
func (r Result) Failure() string {
	kind := ""
	for _, c := range r.Checks {
		switch {
		case c.Verdict != Fail:
		case c.Name == aliveCheck || c.Name == convergedCheck || c.Name == finalReadsCheck:
			if kind == "" {
				kind = "liveness"
			}
		default:
			kind = "safety"
		}
	}
	return kind
}

const (
	aliveCheck      = "served in time"
	convergedCheck  = "converged"
	finalReadsCheck = "final reads"
)

// roaming are the clients of the load that go to the next member when theirs does not answer, and ask nobody in
// particular.
func (p *progress) roaming() []int {
	var clients []int
	for i := p.AtLeader; i < p.Clients; i++ {
		if harness.Roams(i) {
			clients = append(clients, i)
		}
	}
	return clients
}
