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

// among is what of it concerns these members: one that was dropped meanwhile is missed by nobody.
func (e Effect) among(members []string) (rest Effect) {
	for _, node := range e.Down {
		if slices.Contains(members, node) {
			rest.Down = append(rest.Down, node)
		}
	}
	for _, link := range e.Cut {
		if slices.Contains(members, link.From) && slices.Contains(members, link.To) {
			rest.Cut = append(rest.Cut, link)
		}
	}
	return rest
}

// reach counts the members that one of them can ask and that can answer it, with itself: a leader needs a majority of
// them. It is zero for one that is down.
func (e Effect) reach(member string, members []string) int {
	e = e.among(members)
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
	return len(members) - len(lost)
}

// Loses says whether somebody cannot be, or stay, leader of these members; who is none of them cannot.
func (e Effect) Loses(member string, members []string) bool {
	return !slices.Contains(members, member) || 2*e.reach(member, members) <= len(members)
}

// Quorum says whether some member can lead.
func (e Effect) Quorum(members []string) bool {
	return slices.ContainsFunc(members, func(m string) bool { return !e.Loses(m, members) })
}
