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
	history *History
	logs    map[raft.Term][]raft.Entry // of the leaders that lead now, as last seen
}

// New returns a Checker that has seen nothing.
func New() *Checker {
	return &Checker{history: NewHistory(), logs: map[raft.Term][]raft.Entry{}}
}

// Observe looks at one state of the whole cluster: the members that are up.
func (c *Checker) Observe(members []*raft.Raft) error {
	leading := map[raft.Term]bool{}
	for _, r := range members {
		if r.Role() == raft.Leader {
			leading[r.Term()] = true
		}
		if err := c.history.Member(r); err != nil {
			return err
		}
		if err := c.appendOnly(r); err != nil {
			return err
		}
	}
	for term := range c.logs {
		if !leading[term] {
			c.history.End(term)
			delete(c.logs, term)
		}
	}
	for _, r := range members {
		if err := c.history.LeaderCompleteness(r); err != nil {
			return err
		}
	}
	for i, a := range members {
		for _, b := range members[i+1:] {
			if err := LogMatching(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendOnly checks Leader Append-Only: "a leader never overwrites or deletes entries in its log".
func (c *Checker) appendOnly(r *raft.Raft) error {
	if r.Role() != raft.Leader {
		return nil
	}
	entries := r.Entries()
	for _, e := range c.logs[r.Term()] {
		if have, gone := at(r, entries, e.Index); !gone && !same(e, have) {
			return noLonger(r, e)
		}
	}
	c.logs[r.Term()] = entries
	return nil
}

func noLonger(r *raft.Raft, e raft.Entry) error {
	return fmt.Errorf("leader append-only: %v, leader of term %d, no longer has entry %d of term %d", r.ID(), r.Term(), e.Index, e.Term)
}

// AppendOnly checks Leader Append-Only of one member from one state to the next.
func AppendOnly(before, after *raft.Raft) error {
	if before.Role() != raft.Leader || after.Role() != raft.Leader || before.Term() != after.Term() {
		return nil
	}
	entries := after.Entries()
	for _, e := range before.Entries() {
		if have, gone := at(after, entries, e.Index); !gone && !same(e, have) {
			return noLonger(after, e)
		}
	}
	return nil
}

// LogMatching: "if two logs contain an entry with the same index and term, then the logs are identical in all
// entries up through the given index".
func LogMatching(a, b *raft.Raft) error {
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
