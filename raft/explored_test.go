package raft_test

import (
	"slices"

	"github.com/cockroachdb/datadriven"

	"raftlab/raft"
)

// Scripts of an explored cluster repeat what raft/modelcheck found. Time-outs come when the script says so: timers are
// normalized after every step, so that nobody hears a leader, and pre-votes are taken for granted.

// exploredWord carries out the words that only such scripts have. It reports whether it knows the word.
func (w *world) exploredWord(who raft.ID, d *datadriven.TestData) bool {
	switch d.Cmd {
	case "campaign": // campaign 1: its election time-out passes, and all voters have promised their votes
		w.campaign(who)
	case "unheard": // unheard 1: a leader hears nobody for an election time-out; its heartbeats are lost
		w.unheard(who)
	default:
		return false
	}
	return true
}

func (w *world) normalize(id raft.ID) {
	if m := w.members[id]; w.explored && m.raft != nil {
		m.raft.Normalize(0)
	}
}

func (w *world) campaign(id raft.ID) {
	r := w.members[id].raft
	_ = r.Step(raft.Tick{})
	for _, m := range r.Configuration().Members {
		if m.ID != id && !m.Learner && r.Role() == raft.PreCandidate {
			_ = r.Step(raft.Message{Type: raft.MsgPreVoteReply, Cluster: testCluster, From: m.ID, To: id, Term: r.Term() + 1})
		}
	}
	w.pump(id)
	w.pile = slices.DeleteFunc(w.pile, func(m raft.Message) bool { return m.Type == raft.MsgPreVote })
}

func (w *world) unheard(id raft.ID) {
	r := w.members[id].raft
	for range 100 {
		_ = r.Step(raft.Tick{})
		if r.Role() != raft.Leader {
			break
		}
	}
	sent := len(w.pile)
	w.pump(id)
	kept := slices.DeleteFunc(slices.Clone(w.pile[sent:]), func(m raft.Message) bool { return m.Type == raft.MsgAppend })
	w.pile = append(w.pile[:sent:sent], kept...)
}

// tear puts the first units of what a member's disk has not finished on it: a term and vote is one unit, an entry is one.
func (m *member) tear(units int) {
	d := &m.stored
	for _, s := range m.saves {
		if s.HardState != d.HardState {
			if units--; units < 0 {
				return
			}
			d.HardState = s.HardState
		}
		for _, e := range s.Entries {
			if units--; units < 0 {
				return
			}
			d.Entries = append(slices.Clip(d.Entries[:e.Index-d.Base-1]), e)
		}
	}
}
