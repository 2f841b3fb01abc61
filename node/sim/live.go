package sim

import (
	"slices"
	"time"

	"raftlab/raft"
)

// live is the second phase: a quorum is healed, and must get on.
type live struct {
	core  []*member // healed
	rest  rest      // what the others are
	began time.Duration
	until time.Duration
	done  int  // calls answered that were made since
	wrote bool // one of them was a write

	settled time.Duration // all of this was reached, under the leader of a term
	term    raft.Term
}

// rest is what becomes of the members that are not healed. Those that talk must disturb nobody.
type rest uint8

const (
	off  rest = iota
	deaf      // they hear nothing, and talk
	hung      // they hear and talk, and no fsync of theirs ends: such a leader must give way

	rests
)

const (
	// liveWithin bounds the second phase. A run that is well takes a second or two of it.
	liveWithin = 30 * time.Second
	liveEvery  = 50 * time.Millisecond
	// liveCalls must be answered, and a write be among them; then the clients are quiet.
	liveCalls = 5
)

func (l *live) answered() bool { return l.done >= liveCalls && l.wrote }

// heal ends the faults: every member that has its data is started, and of these a random core stays.
func (w *world) heal() {
	w.healing, w.churnTill, w.toppleTill, w.changesTill = true, 0, 0, 0
	w.tell("the faults end")
	n := &w.network
	n.calm, n.lossy = true, 0
	clear(n.cut[:])
	clear(n.clogged[:])
	clear(n.clientCut[:])
	for _, m := range w.members {
		m.fs.full, m.fs.failing, m.fs.cutAt = false, false, 0
		if m.up && m.writing && m.stuckTill > w.now {
			w.syncAt(m, w.now)
		}
		m.slowSync, m.stuckTill, m.drift, m.cutSend, m.cutInstall, m.endAtWrite = 0, 0, 100, 0, false, nil
		if m.up {
			w.resume(m)
			continue
		}
		if !m.lost { // else it waits to be wiped, or is
			w.act(m, func() { w.start(m) })
		}
	}
	if w.failure == nil {
		w.later(time.Millisecond, w.chooseCore)
	}
}

// chooseCore leaves out as many as can be spared.
func (w *world) chooseCore() {
	in := map[raft.ID]bool{}
	for _, m := range w.members {
		if !m.up && !m.lost { // it was told to end before the heal, and ended after it
			w.act(m, func() { w.start(m) })
		}
		in[m.id] = m.up && !m.lost
	}
	is := func(id raft.ID) bool { return in[id] }
	if len(w.configurations()) == 0 { // a majority of nothing is no majority
		w.fail("members", "nobody knows any more who the members are: %v of %d came back from a wiped disk under an id that they had, as if they had lost nothing", w.sameAgain(), len(w.members))
		return
	}
	if !w.quorumOf(is) {
		w.fail("simulator", "no majority of %v could be healed: the simulator took too much away", w.configurations())
		return
	}
	rng := w.chance.faults
	spare := rng.IntN(len(w.members) + 1)
	for _, i := range rng.Perm(len(w.members)) {
		m := w.members[i]
		if spare == 0 || !in[m.id] {
			continue
		}
		if in[m.id] = false; !w.quorumAndMore(is, func(id raft.ID) bool { return !is(id) }) {
			in[m.id] = true
			continue
		}
		spare--
	}
	w.live.began, w.live.until = w.now, w.now+liveWithin
	w.live.rest = rest(rng.IntN(int(rests)))
	for _, m := range w.members {
		if in[m.id] {
			w.live.core = append(w.live.core, m)
		} else {
			w.leaveOut(m)
		}
	}
	w.tell("of %d members %d are healed", len(w.members), len(w.live.core))
	w.live.done, w.live.wrote = 0, false
	for _, c := range w.clients {
		c.leader = w.live.core[0].slot
		w.later(time.Millisecond, c.next)
	}
	w.later(liveEvery, w.lives)
}

// sameAgain are the members that were wiped and came back as who they were.
func (w *world) sameAgain() (ids []raft.ID) {
	for _, m := range w.members {
		if m.sameAgain {
			ids = append(ids, m.id)
		}
	}
	return ids
}

// leaveOut makes a member one of the rest.
func (w *world) leaveOut(m *member) {
	switch {
	case m.up && w.live.rest == hung: // clients reach it: a leader that has nothing to write does not see that its disk hangs
		m.stuckTill = w.live.until + time.Second // which is the rest of the run
		if m.role == raft.Leader {
			w.mark(healedHungLeader)
		}
		return
	case m.up && w.live.rest == deaf:
		w.network.cutAll(func(_, to int) bool { return to == m.slot }, 1)
		w.mark(healedDeaf)
	default:
		w.crash(m, true)
		m.stopped = true
	}
	w.network.clientCut[m.slot] = 1
}

// lives ends the run when the healed members agree, or when their time is over.
func (w *world) lives() {
	why := w.stuck()
	if why == "" && w.calm() {
		w.over = w.failure == nil
		return
	}
	if w.now > w.live.until {
		if why == "" {
			why = "one leader after the other is deposed"
		}
		w.fail("liveness", "%v after a majority was healed %s", liveWithin, why)
		return
	}
	w.later(liveEvery, w.lives)
}

// calm reports whether those that have come to an agreement have been left alone for as long as anybody takes to campaign. Who
// is deaf or removed campaigns for ever, and must not depose a leader. What was said before the heal may, a few times: it comes
// late, or out of a disk that hung.
func (w *world) calm() bool {
	l := &w.live
	if term := w.leader().term; l.settled == 0 || term != l.term {
		l.settled, l.term = w.now, term
	}
	return w.now >= l.settled+4*w.electionTimeout() || !slices.ContainsFunc(w.members, w.disturbs)
}

// disturbs reports whether a member hears no leader, or soon will not, and talks.
func (w *world) disturbs(m *member) bool {
	return m.up && (m.raft().Leader() == 0 || w.live.rest == deaf && !slices.Contains(w.live.core, m))
}

// stuck says what is missing, or nothing.
func (w *world) stuck() string {
	var leader *member
	for _, m := range w.live.core {
		if m.up && m.role == raft.Leader && (leader == nil || m.term > leader.term) {
			leader = m
		}
	}
	if leader == nil {
		return "nobody leads"
	}
	if !w.live.answered() {
		return "clients get no answers"
	}
	r := leader.raft()
	if r.Committed() < w.history.acknowledged {
		return "what was acknowledged is not committed"
	}
	hash, index := leader.store.HashAt()
	for _, m := range w.live.core {
		if _, member := leader.members.Find(m.id); !member {
			continue
		}
		if !m.up {
			return "a healed member is down"
		}
		if m.raft().Leader() != leader.id {
			return "a healed member does not follow the leader"
		}
		if other, i := m.store.HashAt(); i != index || other != hash {
			return "the healed members do not reach the same state"
		}
	}
	if index != r.Committed() || r.Committed() != r.LastIndex() {
		return "the leader's log is not committed and applied"
	}
	if slices.ContainsFunc(leader.members.Members, func(m raft.Member) bool {
		return m.Learner && slices.Contains(w.live.core, w.byID[m.ID]) && w.byID[m.ID].id == m.ID
	}) {
		return "a learner is not promoted"
	}
	return ""
}
