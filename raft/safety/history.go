package safety

import (
	"fmt"
	"maps"
	"slices"

	"raftlab/raft"
)

// History is what was true once and must stay true: who led which term, and what was committed. It is all that the
// properties need beside the members' present states, so a search that keeps one with each state judges every path by it.
type History struct {
	leaders   map[raft.Term]raft.ID
	over      map[raft.Term]bool        // led once, and not any more
	committed map[raft.Index]raft.Entry // that anybody has committed
	when      map[raft.Index]raft.Term  // the least term in which each was seen committed
	last      raft.Index                // the greatest index that anybody has committed
}

// NewHistory is that of a cluster of which nothing was seen.
func NewHistory() *History {
	return &History{leaders: map[raft.Term]raft.ID{}, over: map[raft.Term]bool{},
		committed: map[raft.Index]raft.Entry{}, when: map[raft.Index]raft.Term{}}
}

// Clone returns one that goes its own way.
func (h *History) Clone() *History {
	return &History{maps.Clone(h.leaders), maps.Clone(h.over), maps.Clone(h.committed), maps.Clone(h.when), h.last}
}

// Last is the greatest index that anybody has committed.
func (h *History) Last() raft.Index { return h.last }

// Member takes note of one member's state, after checking that it contradicts nothing.
func (h *History) Member(r *raft.Raft) error {
	if err := h.leader(r); err != nil {
		return err
	}
	return h.commits(r)
}

// leader checks Election Safety: "at most one leader can be elected in a given term", and once.
func (h *History) leader(r *raft.Raft) error {
	if r.Role() != raft.Leader {
		return nil
	}
	if other, ok := h.leaders[r.Term()]; ok && other != r.ID() {
		return fmt.Errorf("election safety: %v and %v both led term %d", other, r.ID(), r.Term())
	}
	if h.over[r.Term()] {
		return fmt.Errorf("election safety: %v was elected in term %d twice", r.ID(), r.Term())
	}
	h.leaders[r.Term()] = r.ID()
	return nil
}

// End says that the leader of a term leads no longer. It must not be elected in that term again.
func (h *History) End(term raft.Term) { h.over[term] = true }

// commits checks State Machine Safety: what is committed at an index is the same everywhere and for ever, and is in
// the log of who says so.
func (h *History) commits(r *raft.Raft) error {
	entries := r.Entries()
	for _, e := range entries {
		if e.Index > r.Committed() {
			break
		}
		other, known := h.committed[e.Index]
		if !known {
			h.committed[e.Index], h.when[e.Index] = e, r.Term()
			continue
		}
		if !same(e, other) {
			return fmt.Errorf("state machine safety: %v has committed entry %d of term %d, another had it of term %d", r.ID(), e.Index, e.Term, other.Term)
		}
		h.when[e.Index] = min(h.when[e.Index], r.Term())
	}
	h.last = max(h.last, r.Committed())
	if s := r.Snapshot(); s.Index > 0 {
		if e, known := h.committed[s.Index]; known && e.Term != s.Term {
			return fmt.Errorf("state machine safety: the snapshot of %v ends with entry %d of term %d, another had committed it of term %d", r.ID(), s.Index, s.Term, e.Term)
		}
	}
	return nil
}

// LeaderCompleteness: "if a log entry is committed in a given term, then that entry will be present in the
// logs of the leaders for all higher-numbered terms".
func (h *History) LeaderCompleteness(r *raft.Raft) error {
	if r.Role() != raft.Leader {
		return nil
	}
	entries := r.Entries()
	for i, e := range h.committed {
		if h.when[i] >= r.Term() {
			continue
		}
		if have, gone := at(r, entries, i); !gone && !same(e, have) {
			return fmt.Errorf("leader completeness: %v leads term %d without entry %d of term %d, committed in term %d", r.ID(), r.Term(), e.Index, e.Term, h.when[i])
		}
	}
	return nil
}

// HashAs is equal for histories that judge alike, if every member had the name that as gives it.
func (h *History) HashAs(as func(raft.ID) raft.ID) uint64 {
	// A message is the shortest way to the hash of ids and entries that package raft has.
	sum := uint64(h.last)
	add := func(m raft.Message) { sum = sum*0x9e3779b97f4a7c15 + m.HashAs(as) }
	for _, term := range slices.Sorted(maps.Keys(h.leaders)) {
		add(raft.Message{From: h.leaders[term], Term: term, Reject: h.over[term]})
	}
	for _, i := range slices.Sorted(maps.Keys(h.committed)) {
		add(raft.Message{Index: i, Term: h.when[i], Entries: []raft.Entry{h.committed[i]}})
	}
	return sum
}
