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
	Members int      `json:"members"`          // of the cluster
	Leader  string   `json:"leader,omitempty"` // who led before
	Term    uint64   `json:"term,omitempty"`
	// From is when the injection began, with its intent on disk: it may take long, and what it causes comes while it
	// goes on. Whoever is served from InForce on is served in spite of the fault.
	From    time.Duration `json:"from_ns"`
	InForce time.Duration `json:"in_force_ns"` // the injection was done
	To      time.Duration `json:"to_ns"`       // undo began
	// Effect is what this fault took away, With what it took away together with those in force when it began.
	Effect   Effect   `json:"effect"`
	With     Effect   `json:"effect_with_others"`
	Quorum   bool     `json:"quorum"` // a majority was left when it began
	Evidence Evidence `json:"evidence"`
}

// HitLeader says whether the fault, with those that were in force already, took the leader from the majority, so that
// there must be an election.
func (w Window) HitLeader() bool {
	return w.Leader != "" && w.Members > 0 && w.With.Loses(w.Leader, w.Members)
}

// LeftThere says whether a leader was hit and is still there to be asked.
func (w Window) LeftThere() bool { return w.HitLeader() && w.What.Kind.family().Suffers != "" }

// effects fills in what the fault takes away, alone and with those that are in force.
func (w *Window) effects(members []string, others Effect) {
	w.Members = len(members)
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
		return w.Quorum
	}
	slices.Sort(edges)
	var served, longest time.Duration
	for i, from := range edges[:len(edges)-1] {
		to := edges[i+1]
		effect := w.Effect
		for _, o := range others {
			if o.From < to && o.To > from {
				effect = effect.And(o.Effect)
			}
		}
		if served += to - from; !effect.Quorum(w.Members) {
			served = 0
		}
		longest = max(longest, served)
	}
	return longest >= min(serviceMin, w.To-w.From)
}
