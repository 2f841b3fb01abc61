package sim

import (
	"bytes"
	"errors"
	"io"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// courier is a member's driver.Snapshots.
type courier struct {
	w *world
	m *member
}

func (c *courier) tell(after time.Duration, do func(*driver.Driver)) {
	w, m := c.w, c.m
	w.laterFor(m, after, func() {
		m.inbox.Other = append(m.inbox.Other, do)
		w.rouse(m)
	})
}

// Take writes the snapshot a little later: it is durable all at once then, or the power is cut between two calls.
func (c *courier) Take(s raft.Snapshot, write func(io.Writer) error) {
	w, m := c.w, c.m
	w.laterFor(m, 2*w.snapshotSyncTime(m), func() {
		err := driver.WriteSnapshot(m.snaps, s, write)
		if err != nil {
			w.mark(snapshotFailed)
			w.tell("%v could not write its snapshot of entries up to %d: %v", m.id, s.Index, err)
		} else {
			w.snapshotKept(m, s)
		}
		c.tell(0, func(d *driver.Driver) { d.Taken(s, err) })
	})
}

// snapshotSyncTime is that of another file than the log's: it need not wait for an fsync of the log. A disk that hangs to the
// end of the run takes no snapshot either: a learner that comes by one to all that is committed is promoted, and a
// majority may then need what its log never takes.
func (w *world) snapshotSyncTime(m *member) time.Duration {
	if w.healing && m.stuckTill > w.now {
		return m.stuckTill - w.now
	}
	if w.chance.disk.IntN(2) == 0 {
		return w.plan.SyncMin
	}
	return w.syncTime(m)
}

func (c *courier) Read(s raft.Snapshot) (io.ReadCloser, error) { return c.m.snaps.Read(s) }
func (c *courier) Latest() (raft.Snapshot, bool)               { return c.m.snaps.Latest() }

func (c *courier) Send(message raft.Message) {
	if c.m.outbox.Begin(message) {
		c.sendOne(message)
	}
}

// sent ends one sending, and begins the next.
func (c *courier) sent(to raft.ID, err error) {
	after := time.Duration(0)
	if err != nil {
		after = driver.SendAgainAfter
	}
	c.tell(after, func(d *driver.Driver) {
		d.Sent(to, err)
		if next := c.m.outbox.Next(to); next != nil {
			c.sendOne(*next)
		}
	})
}

// streamBroken is when a sender notices at the latest that nobody reads any more.
const streamBroken = 3 * time.Second

// A receiver that is paused is tried again so much later, and so often.
const (
	pausedFor     = 50 * time.Millisecond
	snapshotTries = 40
)

var errNotArrived = errors.New("sim: the connection broke")

// sendOne reads the snapshot now, and lets it travel.
func (c *courier) sendOne(message raft.Message) {
	w, m := c.w, c.m
	s, err := driver.Described(message)
	var body []byte
	if err == nil {
		var from io.ReadCloser
		if from, _, err = m.snaps.Raw(s); err == nil {
			body, err = io.ReadAll(from)
			err = errors.Join(err, from.Close())
		}
	}
	if err != nil {
		c.sent(message.To, err)
		return
	}
	w.network.sent++
	life, answered := m.life, false
	answer := func(err error) { // travels back, if there is still who asked
		if answered {
			return
		}
		answered = true
		w.later(w.network.latency(w), func() {
			if m.life == life && m.up {
				c.sent(message.To, err)
			}
		})
	}
	w.later(streamBroken, func() { answer(errNotArrived) }) // the receiver died, and could not say so
	offer, travel := w.network.latency(w), time.Duration(len(body))*10*time.Nanosecond
	if !w.healing {
		travel += time.Duration(w.chance.network.Int64N(int64(w.plan.Stream) + 1))
	}
	to := w.byID[message.To]
	w.later(offer, func() { w.snapshotOffered(m, to, message, body, travel, snapshotTries, answer) })
}

// snapshotOffered is what the receiving end of the stream does first: it asks whether there is any use in it. While the state
// travels it may be told of more.
func (w *world) snapshotOffered(from, to *member, message raft.Message, body []byte, travel time.Duration, tries int, answer func(error)) {
	if w.network.cut[from.slot][to.slot] > 0 || !to.up || tries == 0 {
		w.drop(from, to, &message, "cut")
		answer(errNotArrived)
		return
	}
	if to.paused {
		w.later(pausedFor, func() { w.snapshotOffered(from, to, message, body, travel, tries-1, answer) })
		return
	}
	w.acting = to
	if err := to.raft().Wants(message); err != nil {
		w.mark(snapshotLate)
		w.tell("%v does not want the snapshot of entries up to %d: %v", to.id, message.Index, err)
		answer(err)
		return
	}
	w.streaming(from, to, travel)
	life := to.life
	w.later(travel, func() {
		if to.life != life {
			answer(errNotArrived)
			return
		}
		w.snapshotArrives(from, to, message, body, snapshotTries, answer)
	})
}

// snapshotArrives is what the receiving end does when all of it is there. A receiver that is paused holds it up.
func (w *world) snapshotArrives(from, to *member, message raft.Message, body []byte, tries int, answer func(error)) {
	if w.network.cut[from.slot][to.slot] > 0 || !to.up || tries == 0 {
		w.drop(from, to, &message, "cut")
		answer(errNotArrived)
		return
	}
	if to.paused {
		w.later(pausedFor, func() { w.snapshotArrives(from, to, message, body, tries-1, answer) })
		return
	}
	w.acting = to
	if err := driver.ReceiveSnapshot(to.snaps, message, to.store, bytes.NewReader(body)); err != nil {
		w.tell("%v does not take the snapshot of entries up to %d: %v", to.id, message.Index, err)
		answer(err)
		return
	}
	w.newestKept(to)
	w.mark(snapshotSent)
	if !from.up || from.role != raft.Leader {
		w.mark(snapshotOfDeposed)
	}
	if w.healing {
		w.mark(healedBehindSnapshot)
	}
	if to.cutInstall {
		to.cutInstall = false
		w.crash(to, true)
		w.restartAfter(to, to.fs.downFor)
		answer(errNotArrived)
		return
	}
	w.laterFor(to, w.snapshotSyncTime(to), func() { // durable, and the log does not know yet
		to.inbox.Other = append(to.inbox.Other, func(d *driver.Driver) {
			if latest, ok := to.snaps.Latest(); ok && latest.Index > message.Index {
				w.mark(snapshotOvertaken)
			}
			if message.Index <= to.raft().Committed() {
				w.mark(snapshotBehind)
				if message.Term == to.raft().Term() && message.Entries[0].Index < to.raft().ConfigurationIndex() {
					w.mark(snapshotOldMembers)
				}
			} else if term, ok := to.raft().TermAt(message.Index); ok && term != message.LogTerm {
				w.mark(snapshotOtherHistory)
			}
			err := d.DeliverSnapshot(message)
			if err != nil {
				w.tell("%v: %v", to.id, err)
			}
			answer(err)
		})
		w.rouse(to)
	})
}
