// Package safety checks the five properties of Figure 3 over all members of a cluster, state by state. What
// it says is broken, is broken: it looks at the members themselves, not at what they claim.
package safety

import (
	"bytes"
	"fmt"

	"raftlab/raft"
)

// Checker remembers what must never change. Give it every state of every member, in any order.
type Checker struct {
	leaders   map[raft.Term]raft.ID
	logs      map[raft.Term][]raft.Entry // of the leader of each term, as last seen
	committed map[raft.Index]raft.Entry  // that anybody has committed
	when      map[raft.Index]raft.Term   // the least term in which each was seen committed
}

// New returns a Checker that has seen nothing.
func New() *Checker {
	return &Checker{leaders: map[raft.Term]raft.ID{}, logs: map[raft.Term][]raft.Entry{},
		committed: map[raft.Index]raft.Entry{}, when: map[raft.Index]raft.Term{}}
}

func same(a, b raft.Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
}

// at returns a member's entry at an index, and whether it is gone into a snapshot. One that it never had is zero.
func at(r *raft.Raft, entries []raft.Entry, i raft.Index) (e raft.Entry, gone bool) {
	if i < r.FirstIndex() {
		return e, true
	}
	if i <= r.LastIndex() {
		e = entries[i-r.FirstIndex()]
	}
	return e, false
}

// Observe looks at one state of the whole cluster: the members that are up.
func (c *Checker) Observe(members []*raft.Raft) error {
	for _, r := range members {
		if err := c.observeLeader(r); err != nil {
			return err
		}
		if err := c.observeCommitted(r); err != nil {
			return err
		}
	}
	for _, r := range members {
		if err := c.leaderCompleteness(r); err != nil {
			return err
		}
	}
	for i, a := range members {
		for _, b := range members[i+1:] {
			if err := logMatching(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// observeLeader checks Election Safety ("at most one leader can be elected in a given term") and Leader
// Append-Only ("a leader never overwrites or deletes entries in its log").
func (c *Checker) observeLeader(r *raft.Raft) error {
	if r.Role() != raft.Leader {
		return nil
	}
	if other, ok := c.leaders[r.Term()]; ok && other != r.ID() {
		return fmt.Errorf("election safety: %v and %v both led term %d", other, r.ID(), r.Term())
	}
	c.leaders[r.Term()] = r.ID()
	entries := r.Entries()
	for _, e := range c.logs[r.Term()] {
		if have, gone := at(r, entries, e.Index); !gone && !same(e, have) {
			return fmt.Errorf("leader append-only: %v, leader of term %d, no longer has entry %d of term %d", r.ID(), r.Term(), e.Index, e.Term)
		}
	}
	c.logs[r.Term()] = entries
	return nil
}

// observeCommitted checks State Machine Safety: what is committed at an index is the same everywhere and
// for ever, and is in the log of who says so.
func (c *Checker) observeCommitted(r *raft.Raft) error {
	entries := r.Entries()
	for _, e := range entries {
		if e.Index > r.Committed() {
			break
		}
		other, known := c.committed[e.Index]
		if !known {
			c.committed[e.Index], c.when[e.Index] = e, r.Term()
			continue
		}
		if !same(e, other) {
			return fmt.Errorf("state machine safety: %v has committed entry %d of term %d, another had it of term %d", r.ID(), e.Index, e.Term, other.Term)
		}
		c.when[e.Index] = min(c.when[e.Index], r.Term())
	}
	if s := r.Snapshot(); s.Index > 0 {
		if e, known := c.committed[s.Index]; known && e.Term != s.Term {
			return fmt.Errorf("state machine safety: the snapshot of %v ends with entry %d of term %d, another had committed it of term %d", r.ID(), s.Index, s.Term, e.Term)
		}
	}
	return nil
}

// leaderCompleteness: "if a log entry is committed in a given term, then that entry will be present in the
// logs of the leaders for all higher-numbered terms".
func (c *Checker) leaderCompleteness(r *raft.Raft) error {
	if r.Role() != raft.Leader {
		return nil
	}
	entries := r.Entries()
	for i, e := range c.committed {
		if c.when[i] >= r.Term() {
			continue
		}
		if have, gone := at(r, entries, i); !gone && !same(e, have) {
			return fmt.Errorf("leader completeness: %v leads term %d without entry %d of term %d, committed in term %d", r.ID(), r.Term(), e.Index, e.Term, c.when[i])
		}
	}
	return nil
}

// logMatching: "if two logs contain an entry with the same index and term, then the logs are identical in all
// entries up through the given index".
func logMatching(a, b *raft.Raft) error {
	x, y := a.Entries(), b.Entries()
	agree := false
	for i := min(a.LastIndex(), b.LastIndex()); i >= max(a.FirstIndex(), b.FirstIndex()); i-- {
		p, q := x[i-a.FirstIndex()], y[i-b.FirstIndex()]
		if p.Term == q.Term {
			agree = true
		}
		if agree && !same(p, q) {
			return fmt.Errorf("log matching: %v and %v differ in entry %d and agree in a later one", a.ID(), b.ID(), i)
		}
	}
	return nil
}
