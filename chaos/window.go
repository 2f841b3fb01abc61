package chaos

import (
	"slices"
	"time"
)

// Window is one fault as it happened, on the clock of the history.
type Window struct {
	Fault   int      `json:"fault"` // number in the schedule, from 1
	What    Fault    `json:"what"`
	Nodes   []string `json:"nodes"`
	Members []string `json:"members"`          // of the cluster, then
	Leader  string   `json:"leader,omitempty"` // who led before
	Term    uint64   `json:"term,omitempty"`
	// From is when the injection began, with its intent on disk: it may take long, and what it causes comes while it
	// goes on. Whoever is served from InForce on is served in spite of the fault.
	From    time.Duration `json:"from_ns"`
	InForce time.Duration `json:"in_force_ns"` // the injection was done
	To      time.Duration `json:"to_ns"`       // undo began
	Undone  time.Duration `json:"undone_ns"`   // undo was done, or given up: until then members may not run yet
	// Effect is what this fault took away, With what it took away together with those in force when it began.
	Effect   Effect   `json:"effect"`
	With     Effect   `json:"effect_with_others"`
	Quorum   bool     `json:"quorum"` // a majority was left when it began
	Evidence Evidence `json:"evidence"`
}

// HitLeader says whether the fault, with those that were in force already, took the leader from the majority, so that
// there must be an election.
func (w Window) HitLeader() bool {
	return w.Leader != "" && len(w.Members) > 0 && w.With.Loses(w.Leader, w.Members)
}

// effects fills in what the fault takes away, alone and with those that are in force.
func (w *Window) effects(members []string, others Effect) {
	w.Members = members
	w.Effect = w.What.effect(w.Nodes, members)
	w.With = others.And(w.Effect)
	w.Quorum = w.With.Quorum(w.Members)
}

// serviceMin is how long a majority must be left, at one go, before a store can be blamed for not having served: an
// election takes about 1.5 time-outs of 0.5 s, and twice that on a busy machine, and then clients must find the new leader.
const serviceMin = 3 * time.Second

// couldServe says whether a majority was left in w for long enough, whatever else was in force meanwhile. A window that
// no other one overlaps is never too short.
func (w Window) couldServe(all []Window) bool {
	return w.lasted(all, serviceMin, Effect.Quorum, w.Quorum)
}

// electionMin is how long a leader must have been lost, at one go, before an election can be asked for: as long as the
// shortest fault that is drawn.
const electionMin = drawnShortest

// owesElection says whether the leader that w found was lost for long enough while w was in force. One that was lost to two
// faults together may have its majority back when one of them ends, and may keep it until the injection of both is done.
func (w Window) owesElection(all []Window) bool {
	lost := func(e Effect, members []string) bool { return e.Loses(w.Leader, members) }
	done := slices.Clone(all)
	for i := range done {
		done[i].From = max(done[i].From, done[i].InForce)
	}
	hit := w.HitLeader()
	w.From = max(w.From, w.InForce)
	return hit && w.lasted(done, electionMin, lost, lost(w.Effect, w.Members))
}

// lasted says whether something was true of what w and the others took away, for so long at one go, or for as long as w
// was in force. Alone is the answer where no other one overlaps it.
func (w Window) lasted(all []Window, least time.Duration, holds func(Effect, []string) bool, alone bool) bool {
	edges := []time.Duration{w.From, w.To}
	var others []Window
	for _, o := range all {
		if o.Fault == w.Fault || o.Evidence.Outcome == Skipped || o.To <= w.From || o.From >= w.To {
			continue
		}
		others = append(others, o)
		edges = append(edges, max(o.From, w.From), min(o.To, w.To))
	}
	if len(others) == 0 {
		return alone
	}
	slices.Sort(edges)
	others = append(others, w)
	var lasts, longest time.Duration
	for i, from := range edges[:len(edges)-1] {
		to := edges[i+1]
		effect, members := together(others, from, to)
		if lasts += to - from; !holds(effect, members) {
			lasts = 0
		}
		longest = max(longest, lasts)
	}
	return longest >= min(least, w.To-w.From)
}

// overlapped says whether another one was in force while w was.
func (w Window) overlapped(all []Window) bool {
	return slices.ContainsFunc(all, func(o Window) bool {
		return o.Fault != w.Fault && o.Evidence.Outcome != Skipped && o.From < w.To && w.From < o.To
	})
}

// together is what the windows take away from one time to another, between which none begins or ends, and from whom: the
// members are those of the one that began last.
func together(windows []Window, from, to time.Duration) (e Effect, members []string) {
	var latest time.Duration
	for _, w := range windows {
		if w.From >= to || w.To <= from {
			continue
		}
		e = e.And(w.Effect)
		if members == nil || w.From >= latest {
			members, latest = w.Members, w.From
		}
	}
	return e, members
}
