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
	committed []raft.Entry               // the longest prefix that anybody has committed; committed[0] has index 1
	when      []raft.Term                // the least term in which each was seen committed
}

// New returns a Checker that has seen nothing.
func New() *Checker {
	return &Checker{leaders: map[raft.Term]raft.ID{}, logs: map[raft.Term][]raft.Entry{}}
}

func same(a, b raft.Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
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
	for i, e := range c.logs[r.Term()] {
		if i >= len(entries) || !same(e, entries[i]) {
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
	for i := range min(int(r.Committed()), len(entries)) {
		if i == len(c.committed) {
			c.committed = append(c.committed, entries[i])
			c.when = append(c.when, r.Term())
			continue
		}
		if !same(entries[i], c.committed[i]) {
			return fmt.Errorf("state machine safety: %v has committed entry %d of term %d, another had it of term %d", r.ID(), i+1, entries[i].Term, c.committed[i].Term)
		}
		c.when[i] = min(c.when[i], r.Term())
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
		if i >= len(entries) || !same(e, entries[i]) {
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
	for i := min(len(x), len(y)) - 1; i >= 0; i-- {
		if x[i].Term == y[i].Term {
			agree = true
		}
		if agree && !same(x[i], y[i]) {
			return fmt.Errorf("log matching: %v and %v differ in entry %d and agree in a later one", a.ID(), b.ID(), i+1)
		}
	}
	return nil
}
