package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/snapshot"
	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// member is one address, the disk that is there now, and the process, while it lives.
type member struct {
	w        *world
	slot     int // from 0
	address  string
	founders []raft.Member // of the cluster; nil: it joins

	// With the disk.
	id   raft.ID
	fs   *disk
	lost bool // its data are damaged or gone: nobody may count on them

	sameAgain bool // it was wiped, and its id is the one that it had
	logLost   bool // it has snapshots and no log
	stopped   bool // the operator has switched it off
	shadow    shadow
	newest    raft.Index // of its snapshots

	// With the process; a life is one of it.
	life      uint32
	up        bool
	starting  bool
	log       *wal.Log
	snaps     *snapshot.Store
	store     *kv.Store
	told      told // of its log
	driver    *driver.Driver
	queue     driver.Queue
	writer    driver.Writer
	writing   bool  // an fsync is under way
	syncing   int32 // the event that ends it
	inbox     driver.Inbox
	spare     []raft.Message // room for the next inbox
	roused    bool           // a wake is scheduled
	outbox    driver.Outbox
	role      raft.Role
	term      raft.Term
	members   raft.Configuration // in force when it was seen last
	since     raft.Index         // the entry that brought it
	sinceTerm raft.Term

	committed raft.Index

	paused    bool
	owedWake  bool
	owedSync  bool
	owedCalls []int32
	owed      []flight // messages that have arrived at the machine
	drift     uint64   // percent of a tick; 100: none
	slowSync  time.Duration
	stuckTill time.Duration

	strikeAtCommit bool             // it is struck when it commits something as the leader that it is
	strikeAtStream bool             // it is struck when it sends a snapshot as the leader that it is
	endAtWrite     *Fault           // it ends while it next writes
	cutSend        raft.MessageType // the power is cut when the next of these is sent
	cutInstall     bool             // the power is cut when the next snapshot has arrived
}

const dataDir = "/data"

// newMember adds an address with an empty disk.
func (w *world) newMember() *member {
	m := &member{w: w, slot: len(w.members), address: fmt.Sprintf("a%d", len(w.members)+1), drift: 100}
	w.members = append(w.members, m)
	w.newDisk(m)
	return m
}

// newDisk gives an address an empty disk, which is a new member: raftd's rule says who.
func (w *world) newDisk(m *member) {
	m.id = driver.NewIdentity(m.address, func() uint64 { w.ids++; return w.ids }).ID
	w.byID[m.id] = m
	m.fs = &disk{Mem: vfs.NewMem(), mark: w.mark, chance: w.chance.disk}
	m.logLost = false
	m.lost, m.stopped, m.founders, m.members, m.since = false, false, nil, raft.Configuration{}, 0
	m.shadow, m.newest = shadow{}, 0
}

func (m *member) raft() *raft.Raft { return m.driver.Raft() }

// mix makes a number of several, for seeds.
func mix(words ...uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, w := range words {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h | 1
}

// ticks schedules the next tick of the member's clock.
func (w *world) ticks(m *member) {
	every := w.plan.Tick * time.Duration(m.drift) / 100
	w.schedule(event{at: w.now + every, kind: evTick, who: int32(m.slot), life: m.life})
}

func (w *world) tick(m *member) {
	w.ticks(m)
	if m.paused {
		return
	}
	w.acting = m
	m.driver.Tick()
	w.settle(m)
}

// rouse has the member look at its inbox soon. What arrives meanwhile is taken together.
func (w *world) rouse(m *member) {
	if m.roused {
		return
	}
	m.roused = true
	w.schedule(event{at: w.now + w.plan.Loop, kind: evWake, who: int32(m.slot), life: m.life})
}

func (w *world) wake(m *member) {
	if m.paused {
		m.owedWake = true
		return
	}
	m.roused = false
	w.acting = m
	in := m.inbox
	m.inbox = driver.Inbox{Messages: m.spare[:0]}
	in.GiveTo(m.driver)
	clear(in.Messages)
	m.spare = in.Messages
	w.settle(m)
}

// settle is what follows each event of a member: its disk gets its work, and what it did is checked.
func (w *world) settle(m *member) {
	if err := m.driver.Failure(); err != nil {
		w.ended(m, err)
		return
	}
	w.write(m)
	if !m.up || w.failure != nil {
		return
	}
	r := m.raft()
	if err := w.watch.Observe(r); err != nil {
		w.fail("figure-3", "%v", err)
		return
	}
	w.diskBelieved(m)
	if r.ConfigurationIndex() != m.since {
		w.reconfigured(m)
	}
	if c := r.Committed(); c != m.committed {
		m.committed = c
		w.leads(m)
		if m.strikeAtCommit && r.Role() == raft.Leader {
			w.mark(struckAtCommit)
			w.laterFor(m, 0, func() { w.strike(m) }) // before any message arrives that tells of it
		}
		w.options.Picture.committed(m.slot, w.now, c)
	}
	role, term := r.Role(), r.Term()
	if role != m.role || term != m.term {
		w.turned(m, role, term)
	}
	w.follow(m)
}

// follow notes the configuration that is in force at a member, and the last one that is committed.
func (w *world) follow(m *member) {
	r, o := m.raft(), &w.operator
	since, term := m.since, m.sinceTerm
	m.members, m.since = r.Configuration(), r.ConfigurationIndex()
	m.sinceTerm, _ = r.TermAt(m.since)
	if another := m.since != since || m.sinceTerm != term; another && !slices.ContainsFunc(o.told, func(t configured) bool { return t.index == m.since && t.term == m.sinceTerm }) {
		o.told = append(o.told, configured{m.since, m.sinceTerm, m.members})
	}
	if m.since > o.committedAt && m.since <= r.Committed() {
		o.committedAt, o.committed = m.since, m.members
		w.removedStays()
	}
}

// turned notices a change of role or term.
func (w *world) turned(m *member, role raft.Role, term raft.Term) {
	if m.role == raft.Leader && term > m.term {
		w.mark(deposedByTerm)
	}
	if role == raft.Candidate {
		for _, other := range w.members {
			if other != m && other.up && other.role == raft.Candidate && other.term == term {
				w.mark(electionSplit)
			}
		}
	}
	if role == raft.PreCandidate {
		w.campaigns(m)
	}
	m.role, m.term = role, term
	w.options.Picture.turned(m.slot, w.now, role, term)
	if role == raft.Leader && w.churnTill > w.now {
		w.changeBeside(m, w.hurry)
	}
	m.strikeAtCommit, m.strikeAtStream = false, false
	if role == raft.Leader && w.toppleTill > w.now {
		w.topple(m)
	}
}

// write gives the disk what waits for it, if it is free.
func (w *world) write(m *member) {
	for !m.writing && !m.queue.Empty() {
		dirty, err := m.writer.Append(m.queue.Take())
		if err != nil {
			w.ended(m, err)
			return
		}
		if dirty {
			m.writing = true
			took := w.syncTime(m)
			w.syncAt(m, w.now+took)
			w.endWriting(m, took)
			return
		}
		w.finish(m)
	}
}

func (w *world) syncTime(m *member) time.Duration {
	p := &w.plan
	d := p.SyncMin + time.Duration(w.chance.disk.Int64N(int64(p.SyncMax-p.SyncMin)+1)) + m.slowSync
	return max(d, m.stuckTill-w.now)
}

// syncAt says when the fsync that is under way ends, whatever was said before.
func (w *world) syncAt(m *member, at time.Duration) {
	m.syncing++
	w.schedule(event{at: at, kind: evSynced, who: int32(m.slot), life: m.life, arg: m.syncing})
}

// synced: the bytes of an fsync reach the disk when it ends; a power cut before that may leave any part of them.
func (w *world) synced(m *member) {
	if m.paused {
		m.owedSync = true
		return
	}
	if m.stuckTill > w.now {
		w.syncAt(m, m.stuckTill)
		return
	}
	w.acting = m
	err := m.writer.Sync()
	if errors.Is(err, wal.ErrFull) {
		w.mark(diskFull)
		w.syncAt(m, w.now+driver.FullRetry)
		return
	}
	if err != nil {
		w.ended(m, err)
		return
	}
	m.writing = false
	w.finish(m)
	if m.up {
		w.write(m)
	}
}

func (w *world) finish(m *member) {
	saved, err := m.writer.Finish()
	if err != nil {
		w.ended(m, err)
		return
	}
	if len(saved) > 0 {
		m.inbox.Saved = append(m.inbox.Saved, saved...)
		w.rouse(m)
	}
}
