package chaos

import (
	"slices"

	"raftlab/harness"
)

// Effect is what faults take away from the protocol while they are in force. What they only make slow is not in it.
type Effect struct {
	Down []string       `json:"down,omitempty"` // members that do nothing: dead, stopped, hung
	Cut  []harness.Link `json:"cut,omitempty"`  // directions that carry nothing
}

// And is the effect of both at once.
func (e Effect) And(other Effect) Effect {
	return Effect{Down: union(e.Down, other.Down), Cut: union(e.Cut, other.Cut)}
}

func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// reach counts, of n members, those that member can ask and that can answer it, with itself: a leader needs a majority
// of them. It is zero for one that is down.
func (e Effect) reach(member string, n int) int {
	if slices.Contains(e.Down, member) {
		return 0
	}
	lost := map[string]bool{}
	for _, down := range e.Down {
		lost[down] = true
	}
	for _, link := range e.Cut {
		switch member {
		case link.From:
			lost[link.To] = true
		case link.To:
			lost[link.From] = true
		}
	}
	return n - len(lost)
}

// Loses says whether member cannot be, or stay, leader of n members.
func (e Effect) Loses(member string, n int) bool { return 2*e.reach(member, n) <= n }

// Quorum says whether some member of n can lead. They are counted and not named, for one that no fault names is like any
// other.
func (e Effect) Quorum(n int) bool {
	named := map[string]bool{}
	for _, m := range e.Down {
		named[m] = true
	}
	for _, link := range e.Cut {
		named[link.From], named[link.To] = true, true
	}
	if len(named) < n {
		named[""] = true
	}
	for m := range named {
		if !e.Loses(m, n) {
			return true
		}
	}
	return false
}
