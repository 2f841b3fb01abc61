package sim

import (
	"time"

	"raftlab/raft"
)

// Leaders that fall one after the other, each with entries that few have, are what most mistakes about terms need:
// Figure 8 is three of them. Faults at moments of the clock strike a leader in the milliseconds that matter once in a
// thousand runs, so this one waits for the moment.

// topple draws when a member that was just elected is struck: at once, within an election time-out, short delays as
// often as long ones, or when it commits.
func (w *world) topple(m *member) {
	rng := w.chance.faults
	switch rng.IntN(4) {
	case 0, 1:
		w.changeBeside(m)
	case 2:
		if m.members.Voters() < w.plan.Members {
			w.addMember()
		}
	}
	if rng.IntN(3) == 0 {
		m.strikeAtCommit = true
		return
	}
	delay := w.electionTimeout() >> rng.IntN(12)
	term := m.term
	w.laterFor(m, time.Duration(rng.Int64N(int64(delay)+1)), func() {
		if m.role == raft.Leader && m.term == term {
			w.strike(m)
		}
	})
}

func (w *world) electionTimeout() time.Duration { return w.plan.Tick * time.Duration(w.plan.Election) }

// strike ends the member, or cuts it off, for one to three election time-outs: long enough for another to be elected.
func (w *world) strike(m *member) {
	m.strikeAtCommit = false
	if w.healing {
		return
	}
	rng := w.chance.faults
	f := Fault{Kind: pick(draw{rng}, Isolate, Isolate, Isolate, Mute, Crash, Kill), For: w.electionTimeout() + time.Duration(rng.Int64N(2*int64(w.electionTimeout())))}
	w.tell("%v is struck as it leads: %v", m.id, f)
	w.faults[f.Kind]++
	if f.Kind < Crash {
		w.cutFault(f, m)
	} else {
		w.endFault(f, m)
	}
	w.later(f.For, func() {
		if m.up && m.role == raft.Leader && w.toppleTill > w.now {
			w.topple(m) // it was not deposed
		}
	})
}
