package sim

import (
	"errors"
	"fmt"
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
	id      raft.ID
	fs      *disk
	lost    bool // its data are damaged or gone: nobody may count on them
	stopped bool // the operator has switched it off

	// With the process; a life is one of it.
	life     uint32
	up       bool
	starting bool
	log      *wal.Log
	snaps    *snapshot.Store
	store    *kv.Store
	driver   *driver.Driver
	queue    driver.Queue
	writer   driver.Writer
	writing  bool // an fsync is under way
	inbox    driver.Inbox
	spare    []raft.Message // room for the next inbox
	roused   bool           // a wake is scheduled
	outbox   driver.Outbox
	role     raft.Role
	term     raft.Term
	members  raft.Configuration // in force when it was seen last
	since    raft.Index         // the entry that brought it

	committed raft.Index

	paused    bool
	owedWake  bool
	owedSync  bool
	owedCalls []int32
	drift     uint64 // percent of a tick; 100: none
	slowSync  time.Duration
	stuckTill time.Duration

	cutSend    raft.MessageType // the power is cut when the next of these is sent
	cutInstall bool             // the power is cut when the next snapshot has arrived
}

const dataDir = "/data"

// newMember adds an address with an empty disk.
func (w *world) newMember() *member {
	m := &member{w: w, slot: len(w.members), address: fmt.Sprintf("a%d", len(w.members)+1), drift: 100}
	w.members = append(w.members, m)
	w.newDisk(m)
	return m
}

// newDisk gives an address an empty disk, which is a new member.
func (w *world) newDisk(m *member) {
	m.id = raft.ID(len(w.byID))
	w.byID = append(w.byID, m)
	m.fs = &disk{Mem: vfs.NewMem(), mark: w.mark}
	m.lost, m.stopped, m.founders, m.members, m.since = false, false, nil, raft.Configuration{}, 0
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

// start is what raftd does when it starts: it opens the log, or makes one, then the snapshots, and drives.
func (w *world) start(m *member) {
	if m.up || m.stopped {
		return
	}
	m.life++
	m.fs.dead, m.fs.refused, m.starting = false, false, true
	m.up = true // so that a power cut during recovery finds a process to end
	m.inbox, m.queue, m.writing, m.roused, m.outbox = driver.Inbox{}, driver.Queue{}, false, false, driver.Outbox{}
	m.paused, m.owedWake, m.owedSync, m.owedCalls = false, false, false, nil
	m.role, m.term, m.driver = raft.Follower, 0, nil
	stored, clusterID, err := w.open(m)
	if err == nil {
		m.store = kv.New()
		m.writer = driver.Writer{Log: driver.WAL{Log: m.log}}
		m.driver, err = driver.New(w.driverConfig(m, stored, clusterID))
	}
	m.starting = false
	if err != nil {
		w.refusedToStart(m, err)
		return
	}
	m.lost = false // it has read all its data: the bit that was flipped means nothing
	w.tell("%v starts, life %d", m.id, m.life)
	w.options.Picture.up(m.slot, w.now, true)
	m.role, m.term = m.raft().Role(), m.raft().Term()
	w.follow(m)
	w.ticks(m)
}

func (w *world) open(m *member) (raft.Stored, raft.ClusterID, error) {
	sizes := wal.Sizes{Segment: int64(w.plan.Segment), Chunk: int64(w.plan.Chunk)}
	log, found, err := wal.OpenSized(m.fs, dataDir, sizes)
	if errors.Is(err, wal.ErrNotExist) {
		log, err = wal.CreateSized(m.fs, dataDir, wal.Identity{ID: m.id, Address: m.address, Salt: mix(w.plan.Seed, uint64(m.id))}, sizes)
		if err == nil {
			found = wal.Recovered{Identity: log.Identity()}
		}
		if err == nil && m.founders != nil {
			found, err = driver.Bootstrap(log, cluster, m.founders...)
			m.founders = nil
		}
	}
	if err != nil {
		return raft.Stored{}, 0, err
	}
	if found.Identity.ID != m.id {
		return raft.Stored{}, 0, fmt.Errorf("the log is of member %v", found.Identity.ID)
	}
	if found.Torn > 0 {
		w.mark(tornCut)
		w.tell("%v cuts %d torn bytes off its log", m.id, found.Torn)
	}
	m.log = log
	if m.snaps, err = snapshot.Open(m.fs, dataDir+"/"+wal.SnapshotDir); err != nil {
		return raft.Stored{}, 0, err
	}
	stored, again, err := driver.Recover(log, found, m.snaps)
	if again {
		w.mark(mended)
	}
	return stored, found.Identity.Cluster, err
}

func (w *world) driverConfig(m *member, stored raft.Stored, id raft.ClusterID) driver.Config {
	p := &w.plan
	return driver.Config{
		Raft: raft.Config{
			ID: m.id, Cluster: id, Seed: mix(p.Seed, uint64(m.id), uint64(m.life), 9),
			HeartbeatTicks: p.Heartbeat, ElectionTicks: p.Election, MaxAppendBytes: p.AppendBytes, MaxInflightAppends: p.Inflight,
			MaxInflightBytes: p.InflightBytes, MaxUncommittedBytes: p.Uncommitted, TailEntries: max(p.Tail, 1),
			Trace: w.heard, TraceDetail: w.story.on(),
		},
		Stored: stored, Address: m.address, TickEvery: p.Tick, Machine: machine{m.store, w, m}, Disk: &m.queue,
		Transport: &transport{w, m}, Snapshots: &courier{w, m}, SnapshotEntries: p.Snapshot,
	}
}

// refusedToStart: only a disk that we have damaged, or on which we failed a call, is a reason.
func (w *world) refusedToStart(m *member, err error) {
	w.tell("%v does not start: %v", m.id, err)
	m.up = false
	damaged := errors.Is(err, wal.ErrCorrupt) || errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, kv.ErrDamagedSnapshot)
	switch {
	case m.lost && damaged:
		w.mark(corruptionRefused)
		w.replace(m)
	case m.fs.refused:
		m.fs.Kill()
		w.restartAfter(m, 300*time.Millisecond)
	default:
		w.fail("start", "%v refuses to start on a disk that nobody damaged: %v", m.id, err)
	}
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
	if c := r.Committed(); c != m.committed {
		m.committed = c
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
	m.members, m.since = r.Configuration(), r.ConfigurationIndex()
	if m.since > o.committedAt && m.since <= r.Committed() {
		o.committedAt, o.committed = m.since, m.members
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
	if role == raft.PreCandidate && w.operator.removed[m.id] {
		w.mark(removedCampaigns)
	}
	m.role, m.term = role, term
	w.options.Picture.turned(m.slot, w.now, role, term)
	if role == raft.Leader && w.churnTill > w.now {
		w.changeBeside(m)
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
			w.schedule(event{at: w.now + w.syncTime(m), kind: evSynced, who: int32(m.slot), life: m.life})
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

// synced: the bytes of an fsync reach the disk when it ends; a power cut before that may leave any part of them.
func (w *world) synced(m *member) {
	if m.paused {
		m.owedSync = true
		return
	}
	if m.stuckTill > w.now {
		w.schedule(event{at: m.stuckTill, kind: evSynced, who: int32(m.slot), life: m.life})
		return
	}
	w.acting = m
	err := m.writer.Sync()
	if errors.Is(err, wal.ErrFull) {
		w.mark(diskFull)
		w.schedule(event{at: w.now + driver.FullRetry, kind: evSynced, who: int32(m.slot), life: m.life})
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

// ended: the member says that it cannot go on. It is right where we failed a call or damaged its data.
func (w *world) ended(m *member, err error) {
	w.tell("%v ends: %v", m.id, err)
	damaged := errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, kv.ErrDamagedSnapshot)
	switch {
	case m.fs.refused:
		if errors.Is(err, errIO) {
			w.mark(syncFailed)
		}
		w.crash(m, true) // what a failed fsync left in memory is lost
		w.restartAfter(m, 300*time.Millisecond)
	case m.lost && damaged:
		w.crash(m, false)
		w.replace(m)
	default:
		w.fail("end", "%v ends by itself: %v", m.id, err)
	}
}

// crash ends a process: by a power cut, which takes what was not synced, or alone.
func (w *world) crash(m *member, cut bool) {
	if !m.up {
		return
	}
	if m.driver != nil {
		w.follow(m)
	}
	w.watch.Down(m.id)
	if cut && m.writing && !m.fs.dead && !m.starting {
		w.mark(crashedInSave)
		w.cutShort(m)
	}
	m.up, m.writing, m.starting = false, false, false
	m.fs.cutAt, m.fs.failing, m.cutSend, m.cutInstall = 0, false, 0, false
	m.driver, m.log, m.snaps, m.store = nil, nil, nil, nil
	m.inbox, m.queue, m.spare = driver.Inbox{}, driver.Queue{}, nil
	if cut {
		m.fs.Crash(w.chance.disk)
	} else {
		m.fs.Kill()
	}
	w.tell("%v is down", m.id)
	w.options.Picture.up(m.slot, w.now, false)
}

// cutShort lets the write that was under way go as far as it got: to any of its calls.
func (w *world) cutShort(m *member) {
	m.fs.cutAt = m.fs.calls + 1 + w.chance.disk.Uint64N(5)
	defer func() {
		if p := recover(); p != nil {
			if _, cut := p.(powerCut); !cut {
				panic(p)
			}
		}
	}()
	_ = m.writer.Sync()
}

func (w *world) restartAfter(m *member, d time.Duration) {
	life := m.life
	w.later(max(d, time.Millisecond), func() {
		if m.life == life && !m.up {
			w.act(m, func() { w.start(m) })
		}
	})
}
