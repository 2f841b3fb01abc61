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
	From     time.Duration `json:"from_ns"`
	InForce  time.Duration `json:"in_force_ns"` // the injection was done
	To       time.Duration `json:"to_ns"`       // undo began
	Quorum   bool          `json:"quorum"`      // a majority was left
	Evidence Evidence      `json:"evidence"`
}

// HitLeader says whether the fault took the leader from the majority, so that there must be an election. Members
// that are cut off together still hear each other: where they are the majority, the leader is hit if it is not of them.
func (w Window) HitLeader() bool {
	if w.Leader == "" {
		return false
	}
	hit := slices.Contains(w.Nodes, w.Leader)
	if w.What.Kind == Partition && w.Members > 0 && 2*len(w.Nodes) > w.Members {
		return !hit
	}
	return hit
}

// quorum says whether a majority is left that can hear each other.
func (w Window) quorum() bool {
	left := w.Members - len(w.Nodes)
	if w.What.Kind == Partition {
		left = max(left, len(w.Nodes))
	}
	return 2*left > w.Members
}
