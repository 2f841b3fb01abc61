package sim

import (
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// A member's process: it ends, stands still, and goes on.

// What N of a crash or a kill has.
const (
	again   = 1 << iota // the power is cut soon after it started again
	writing             // it ends while it next writes: with nothing half done there is little to lose
)

// endFault ends a process.
func (w *world) endFault(f Fault, m *member) {
	if f.N&writing != 0 && f.Kind <= Kill {
		if !m.writing {
			m.endAtWrite = &f
			return
		}
		if !m.fs.dead {
			w.cutShort(m, 1, pick(draw{w.chance.faults}, 1, 1, cutShortMax-1))
		}
	}
	switch f.Kind {
	case Crash:
		w.crash(m, true)
		w.endAgain(f, m)
	case Kill:
		if m.writing && !m.fs.dead {
			w.cutShort(m, 0, cutShortMax) // what was written is in the page cache, synced or not
		}
		w.crash(m, false)
		w.endAgain(f, m)
	case CrashInstall:
		m.cutInstall, m.fs.downFor = true, f.For
		return
	case CrashSend:
		m.cutSend, m.fs.downFor = raft.MessageType(f.N), f.For
		return
	case CrashCall:
		m.fs.cutAt, m.fs.downFor = m.fs.calls+1+f.N, f.For
		return
	case Stop:
		w.stop(m, f.For)
		return
	}
	w.restartAfter(m, f.For)
}

// endAgain cuts the power soon after the member started again, if that is part of the fault.
func (w *world) endAgain(f Fault, m *member) {
	if f.N&again == 0 {
		return
	}
	w.later(max(f.For, time.Millisecond)+time.Duration(w.chance.faults.Int64N(int64(killedAgainMax))), func() {
		if m.up && !w.healing {
			w.crash(m, true)
			w.restartAfter(m, f.For)
		}
	})
}

// killedAgainMax is how long a member whose process was killed lives at most, where the machine is about to die too.
const killedAgainMax = 20 * time.Millisecond

// endWriting ends a member somewhere in a write that takes so long, if that is what it waits for.
func (w *world) endWriting(m *member, took time.Duration) {
	f := m.endAtWrite
	if f == nil {
		return
	}
	m.endAtWrite = nil
	w.laterFor(m, time.Duration(w.chance.faults.Int64N(int64(took)+1)), func() {
		if m.writing && !w.healing {
			w.mark(endedWriting)
			w.endFault(*f, m)
		}
	})
}

// stop is SIGTERM: the member hands over if it leads, answers who waits, and closes its log.
func (w *world) stop(m *member, downFor time.Duration) {
	end := func() {
		if w.healing {
			return
		}
		w.mark(stoppedOrderly)
		m.driver.Stop()
		if !m.writing {
			if err := m.log.Close(); err != nil && !m.fs.refused {
				w.fail("end", "%v cannot close its log: %v", m.id, err)
			}
		}
		w.crash(m, false)
		w.restartAfter(m, downFor)
	}
	if m.role != raft.Leader {
		w.laterFor(m, 0, end)
		return
	}
	m.inbox.Other = append(m.inbox.Other, func(d *driver.Driver) { d.Transfer(0, func(raft.ID, error) {}) })
	w.rouse(m)
	w.laterFor(m, 300*time.Millisecond, end)
}

// timeFault makes a member wrong about the time.
func (w *world) timeFault(f Fault, m *member) bool {
	switch f.Kind {
	case Pause:
		if m.paused {
			return false
		}
		w.mark(memberPaused)
		m.paused = true
		w.options.Picture.stands(m.slot, w.now, true)
		life := m.life
		w.later(f.For, func() {
			if m.life == life && m.up {
				w.resume(m)
			}
		})
	case Drift:
		m.drift = min(max(f.N, 10), 1000)
		w.later(f.For, func() { m.drift = 100 })
	case Jump:
		w.mark(clockJumped)
		w.act(m, func() {
			for range min(f.N, 200) {
				if m.paused || m.driver.Failure() != nil {
					return
				}
				m.driver.Tick()
			}
		})
	}
	return true
}

// resume lets a member that stood still go on with what piled up.
func (w *world) resume(m *member) {
	if !m.paused {
		return
	}
	m.paused = false
	w.options.Picture.stands(m.slot, w.now, false)
	w.deliverOwed(m)
	if m.owedSync {
		m.owedSync = false
		w.syncAt(m, w.now)
	}
	for _, arg := range m.owedCalls {
		w.schedule(event{at: w.now, kind: evCall, who: int32(m.slot), life: m.life, arg: arg})
	}
	m.owedCalls = nil
	if m.owedWake {
		m.owedWake = false
		w.schedule(event{at: w.now, kind: evWake, who: int32(m.slot), life: m.life})
	}
}

// deliverOwed gives a member that stood still what its kernel has kept for it. Each connection is read by a thread of its own,
// so the order is kept within a link only, and what clients asked may be looked at first.
func (w *world) deliverOwed(m *member) {
	var read [slotsMax]time.Duration
	for i := range read {
		read[i] = time.Duration(w.chance.network.Int64N(int64(resumeMax)))
	}
	for _, f := range m.owed {
		w.schedule(event{at: w.now + read[f.from], kind: evArrive, who: int32(m.slot), arg: w.network.flying.put(f)})
	}
	m.owed = nil
}

// resumeMax is how much later than others a connection is read, at most.
const resumeMax = 2 * time.Millisecond
