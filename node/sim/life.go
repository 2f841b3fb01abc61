package sim

import (
	"errors"
	"fmt"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/snapshot"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// start is what raftd does when it starts: it opens the log, or makes one, then the snapshots, and drives.
func (w *world) start(m *member) {
	if m.up || m.stopped {
		return
	}
	m.life++
	m.fs.dead, m.fs.refused, m.starting = false, false, true
	m.up = true // so that a power cut during recovery finds a process to end
	m.inbox, m.queue, m.writing, m.roused, m.outbox = driver.Inbox{}, driver.Queue{}, false, false, driver.Outbox{}
	m.paused, m.owedWake, m.owedSync, m.owedCalls, m.owed = false, false, false, nil, nil
	m.role, m.term, m.driver = raft.Follower, 0, nil
	stored, clusterID, err := w.open(m)
	if err == nil {
		m.store, m.told = kv.NewRemembering(w.remembered()), told{}
		m.writer = driver.Writer{Log: shadowed{driver.WAL{Log: m.log}, &m.shadow}}
		m.driver, err = driver.New(w.driverConfig(m, stored, clusterID))
	}
	m.starting = false
	if err != nil {
		w.refusedToStart(m, err)
		return
	}
	if m.logLost {
		w.fail("start", "%v starts, and its log is lost: snapshots are all that is left", m.id)
		return
	}
	w.newestKept(m)
	m.lost = false // it has read all its data: the bit that was flipped means nothing
	w.tell("%v starts, life %d", m.id, m.life)
	w.options.Picture.up(m.slot, w.now, true, m.id)
	m.role, m.term, m.committed = m.raft().Role(), m.raft().Term(), m.raft().Committed()
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
	if is := imageOf(found.HardState, found.Base, found.Entries); !m.shadow.holds(is) {
		w.fail("disk", "%v finds entries up to %d of term %d, and %+v; that is no state in which a crash may leave its log", m.id, is.last(), is.term(is.last()), is.hard)
	}
	m.log = log
	if m.snaps, err = snapshot.Open(m.fs, dataDir+"/"+wal.SnapshotDir); err != nil {
		return raft.Stored{}, 0, err
	}
	stored, again, err := driver.Recover(log, found, m.snaps)
	is := imageOf(stored.HardState, wal.Position{Index: stored.Base, Term: stored.BaseTerm}, stored.Entries)
	if err == nil {
		w.startsOn(m, stored.Snapshot, is)
	}
	switch {
	case again && err != nil:
		m.shadow.known = false // the disk failed while they were made to fit: the log is as it was, or begins anew
	case again:
		w.mark(mended)
		m.shadow.durable = is
	}
	return stored, found.Identity.Cluster, err
}

func (w *world) driverConfig(m *member, stored raft.Stored, id raft.ClusterID) driver.Config {
	p := &w.plan
	return driver.Config{
		Raft: raft.Config{
			ID: m.id, Cluster: id, Seed: mix(p.Seed, uint64(m.id), uint64(m.life), 9),
			HeartbeatTicks: p.Heartbeat, ElectionTicks: p.Election, MaxAppendBytes: p.AppendBytes, MaxInflightAppends: p.Inflight,
			MaxInflightBytes: p.InflightBytes, MaxUncommittedBytes: p.Uncommitted, TailEntries: max(p.Tail, 1) + m.slot%2*p.Uneven,
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
		if m.logLost {
			w.mark(logLostRefused)
		}
		w.replace(m)
	case m.fs.refused:
		m.fs.Kill()
		w.restartAfter(m, 300*time.Millisecond)
	default:
		w.fail("start", "%v refuses to start on a disk that nobody damaged: %v", m.id, err)
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
	m.shadow.known = m.shadow.known && !m.starting // a recovery may have changed the log, or not
	if cut && m.writing && !m.fs.dead && !m.starting {
		w.mark(crashedInSave)
		w.cutShort(m, 0, cutShortMax)
	}
	m.up, m.writing, m.starting = false, false, false
	m.fs.cutAt, m.fs.failing, m.cutSend, m.cutInstall, m.endAtWrite = 0, false, 0, false, nil
	m.driver, m.log, m.snaps, m.store = nil, nil, nil, nil
	m.inbox, m.queue, m.spare = driver.Inbox{}, driver.Queue{}, nil
	if cut {
		m.fs.Crash(w.chance.disk)
	} else {
		m.fs.Kill()
	}
	w.tell("%v is down", m.id)
	w.options.Picture.up(m.slot, w.now, false, m.id)
}

// cutShortMax is how many calls a write takes that makes a new file.
const cutShortMax uint64 = 5

// cutShort lets the write that was under way go as far as it got: through so many of its calls, and up to some more.
func (w *world) cutShort(m *member, through, more uint64) {
	m.fs.cutAt = m.fs.calls + through + 1 + w.chance.disk.Uint64N(more)
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
