package sim

import (
	"fmt"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// Leaders that fall one after the other, each with entries that few have, are what most mistakes about terms need:
// Figure 8 is three of them. Faults at moments of the clock strike a leader in the milliseconds that matter once in a
// thousand runs, so this one waits for the moment.

// What N of a toppling has.
const (
	moments = 1 << iota // it strikes in more ways: followers too, and as they write; and asks for several changes at once
	streams             // it waits for snapshots that are on their way
	piles               // who is struck has many entries that few or none have yet, and is struck between two sends, too
)

func (w *world) topples(how uint64) bool { return w.toppleHow&how != 0 }

// topple draws when a member that was just elected is struck: at once, within an election time-out, short delays as
// often as long ones, or when it commits.
func (w *world) topple(m *member) {
	rng := w.chance.faults
	switch rng.IntN(4) {
	case 0, 1:
		w.changeBeside(m, w.inAHurry())
	case 2:
		if m.members.Voters() < w.plan.Members || w.topples(moments) && len(w.members) < 2*w.plan.Members {
			w.addMember()
		}
	}
	if w.topples(moments) && rng.IntN(3) == 0 {
		w.strikeFollower(m)
	}
	if rng.IntN(3) == 0 {
		m.strikeAtCommit = true
		return
	}
	delay := w.electionTimeout() >> rng.IntN(12)
	if w.topples(streams) && rng.IntN(2) == 0 { // it waits long for a moment at which a snapshot is on its way
		m.strikeAtStream, delay = true, 10*w.electionTimeout()
	}
	term := m.term
	w.laterFor(m, time.Duration(rng.Int64N(int64(delay)+1)), func() {
		if m.role == raft.Leader && m.term == term {
			w.strike(m)
		}
	})
}

// strikeFollower has another member lose power while it writes what the new leader sends.
func (w *world) strikeFollower(leader *member) {
	rng := w.chance.faults
	if m := w.members[rng.IntN(len(w.members))]; m != leader {
		w.faults[Crash]++
		w.endFault(Fault{Kind: Crash, N: writing | rng.Uint64N(2)*again, For: draw{rng}.between(time.Millisecond, w.electionTimeout())}, m)
	}
}

// inAHurry is how many changes more are asked for than one.
func (w *world) inAHurry() uint64 {
	if !w.topples(moments) {
		return 0
	}
	return w.chance.faults.Uint64N(3)
}

// changeMeanwhile changes the members while a snapshot is on its way that has those of today.
func (w *world) changeMeanwhile(from, to *member) {
	rng := w.chance.faults
	switch leader, other := w.leader(), w.members[rng.IntN(len(w.members))]; rng.IntN(4) {
	case 0:
		if leader != nil {
			w.changeBeside(leader, 0)
		}
	case 1:
		if len(w.members) < 2*w.plan.Members {
			w.addMember()
		}
	case 2:
		f := Fault{Kind: Wipe, For: time.Millisecond}
		if other != from && other != to && other.up && w.memberFault(f, other) {
			w.faults[Wipe]++
		}
	}
}

// streaming strikes a leader that begins to send a snapshot while the snapshot is on its way, and whom it is for at the moment
// at which it has arrived.
func (w *world) streaming(from, to *member, travel time.Duration) {
	if w.changesTill > w.now {
		w.changeMeanwhile(from, to)
	}
	if !w.topples(streams) || w.toppleTill <= w.now {
		return
	}
	if w.chance.faults.IntN(3) == 0 {
		to.cutInstall, to.fs.downFor = true, draw{w.chance.faults}.between(time.Millisecond, w.electionTimeout())
	}
	if from.strikeAtStream && from.role == raft.Leader {
		from.strikeAtStream = false
		w.mark(struckAtStream)
		w.laterFor(from, time.Duration(w.chance.faults.Int64N(int64(travel)+1)), func() { w.strike(from) })
	}
}

// pileUp gives a leader that is about to be struck many writes at once. What ends it waits until it is at work on them: it tells others of
// entries before its own disk has them.
func (w *world) pileUp(m *member, f Fault) Fault {
	rng := w.chance.faults
	if rng.IntN(4) == 0 {
		return f
	}
	w.pile(m, 1+rng.IntN(pileMax))
	switch {
	case f.Kind == Crash && rng.IntN(2) == 0:
		f.Kind, f.N = CrashSend, uint64(raft.MsgAppend)
	case f.Kind == Crash, f.Kind == Kill:
		f.N |= writing
	}
	return f
}

// pileMax is how many writes a pile has, at most.
const pileMax = 30

// pile is writes of a client that waits for no answer. They are of no call, and of a key of their own.
func (w *world) pile(m *member, writes int) {
	for range writes {
		w.load.values++
		data := encoded(kv.Command{Op: kv.Put, Key: "pile", Value: fmt.Appendf(nil, "pile %d", w.load.values)})
		m.inbox.Proposals = append(m.inbox.Proposals, driver.Proposal{Command: data, Answer: func(driver.Applied, error) {}})
	}
	w.rouse(m)
}

func (w *world) electionTimeout() time.Duration { return w.plan.Tick * time.Duration(w.plan.Election) }

// strike ends the member, or cuts it off, for one to three election time-outs: long enough for another to be elected.
func (w *world) strike(m *member) {
	m.strikeAtCommit, m.strikeAtStream = false, false
	if w.healing {
		return
	}
	rng := w.chance.faults
	kinds := []FaultKind{Isolate, Isolate, Isolate, Mute, Crash, Kill}
	if w.topples(moments) {
		kinds = append(kinds, Pause)
	}
	f := Fault{Kind: pick(draw{rng}, kinds...), For: w.electionTimeout() + time.Duration(rng.Int64N(2*int64(w.electionTimeout())))}
	if w.topples(moments) && f.Kind <= Kill {
		f.N = w.chance.faults.Uint64N(4)
	}
	if w.topples(piles) {
		f = w.pileUp(m, f)
	}
	w.tell("%v is struck as it leads: %v", m.id, f)
	w.options.Picture.struck(m.slot, w.now, f)
	w.faults[f.Kind]++
	switch {
	case f.Kind < Crash:
		w.cutFault(f, m)
	case f.Kind == Pause:
		w.timeFault(f, m)
	default:
		w.endFault(f, m)
	}
	w.later(f.For, func() {
		if m.up && m.role == raft.Leader && w.toppleTill > w.now {
			w.topple(m) // it was not deposed
		}
	})
}
