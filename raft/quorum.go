package raft

import "slices"

// agreed returns the greatest index that a majority of the voters has reached (§5.3). reached gives the
// index of one member, zero for one that is not known.
func (c Configuration) agreed(reached func(ID) Index) Index {
	var stack [8]Index
	all := stack[:0]
	for _, m := range c.Members {
		if !m.Learner {
			all = append(all, reached(m.ID))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)-c.Quorum()]
}

// majority reports whether a majority of the voters says yes.
func (c Configuration) majority(yes func(ID) bool) bool {
	n := 0
	for _, m := range c.Members {
		if !m.Learner && yes(m.ID) {
			n++
		}
	}
	return c.Voters() > 0 && n >= c.Quorum()
}
