package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// FaultKind says what goes wrong.
type FaultKind uint8

const (
	Isolate      FaultKind = iota // nothing passes between the member and the others
	Mute                          // what the member sends is lost
	Deaf                          // what is sent to the member is lost
	Split                         // nothing passes between the slots of the set N and the others
	OneWay                        // what the slots of the set N send to the others is lost
	Bridge                        // as split, but the member hears and is heard by both sides
	Clog                          // what the member sends to slot N is held up
	ClientsCut                    // clients cannot reach the member
	Lossy                         // N percent of all messages are lost
	Crash                         // the power is cut: what was not synced may be lost in any part; N as for kill
	Kill                          // the process ends: what was written stays; N has again: the power is cut soon after it started again; N has writing: it ends while it next writes
	CrashAll                      // the power of all is cut
	CrashInstall                  // the power is cut when the next snapshot has arrived, before the log knows
	CrashCall                     // the power is cut before the Nth call that changes the file system from now
	CrashSend                     // the power is cut right after the next message of type N is sent, before any other
	Stop                          // the process is told to end: it hands over and closes its log
	Pause                         // the process stands still
	Drift                         // the clock ticks every N percent of a tick
	Jump                          // the clock jumps ahead by N ticks
	SlowSync                      // each fsync takes N ms longer
	StuckSync                     // no fsync ends
	Full                          // the disk has no room; N 1: not even to overwrite what is there
	SyncFails                     // the next fsync fails
	Flip                          // the process ends, and a bit on the disk changes: N 0: anywhere, N 1: at the beginning of a file, N 2: in a zero before a number
	LoseLog                       // the files of the log are lost, and the snapshots are left
	Wipe                          // the disk is lost; the member comes back as a new one
	Add                           // a new member joins
	Remove                        // the member is removed
	Churn                         // for a while, whoever is elected is asked at once to remove a member, and N more
	Topple                        // for a while, whoever is elected is soon struck: it crashes, or is cut off; topple.go has N
	Transfer                      // leadership is handed to slot N
	Snapshot                      // the member takes a snapshot now
	Stray                         // for a while, N messages come from a member of another cluster

	faultKinds
)

var faultNames = [faultKinds]string{
	Isolate: "isolate", Mute: "mute", Deaf: "deaf", Split: "split", OneWay: "one-way", Bridge: "bridge", Clog: "clog",
	ClientsCut: "clients-cut", Lossy: "lossy", Crash: "crash", Kill: "kill", CrashAll: "crash-all", CrashInstall: "crash-at-install", CrashCall: "crash-at-call", CrashSend: "crash-at-send",
	Stop: "stop", Pause: "pause", Drift: "drift", Jump: "jump", SlowSync: "slow-sync", StuckSync: "stuck-sync", Full: "full",
	SyncFails: "sync-fails", Flip: "flip", LoseLog: "lose-log", Wipe: "wipe", Add: "add", Remove: "remove", Churn: "churn", Topple: "topple", Transfer: "transfer", Snapshot: "snapshot", Stray: "stray",
}

func (k FaultKind) String() string { return faultNames[k] }

func parseKind(s string) (FaultKind, error) {
	i := slices.Index(faultNames[:], s)
	if i < 0 {
		return 0, fmt.Errorf("unknown fault %q; there are %s", s, strings.Join(faultNames[:], ", "))
	}
	return FaultKind(i), nil
}

// FaultCounts is how many faults of each kind happened. One that its target or the others could not bear at that moment
// did not happen and is not counted.
type FaultCounts [faultKinds]int

// Add sums two counts.
func (c *FaultCounts) Add(o FaultCounts) {
	for k := range c {
		c[k] += o[k]
	}
}

// String names those that happened.
func (c FaultCounts) String() string {
	var words []string
	for k, n := range c {
		if n > 0 {
			words = append(words, fmt.Sprintf("%s %d", FaultKind(k), n))
		}
	}
	return strings.Join(words, ", ")
}

// inject lets a fault happen.
func (w *world) inject(f Fault) {
	if w.healing {
		return
	}
	m := w.leader()
	if f.Who > 0 {
		m = w.members[(f.Who-1)%len(w.members)]
	}
	if m == nil {
		m = w.members[0]
	}
	if !w.faultOn(f, m) {
		return
	}
	w.faults[f.Kind]++
	w.tell("fault: %v (%v)", f, m.id)
	w.options.Picture.struck(m.slot, w.now, f)
	w.sum(uint64(f.Kind), uint64(m.slot))
}

func (w *world) faultOn(f Fault, m *member) bool {
	if f.Kind <= Lossy {
		w.cutFault(f, m)
		if f.Kind <= Bridge && m.role == raft.Leader && w.chance.faults.IntN(4) == 0 {
			w.changeBeside(m, 0)
		}
		return true
	}
	switch f.Kind {
	case Add:
		return w.addMember()
	case CrashAll:
		for _, m := range w.members {
			w.crash(m, true)
			w.restartAfter(m, f.For)
		}
		return true
	}
	if !m.up {
		if f.Kind != CrashCall { // that one may hit the next start
			return false
		}
	}
	switch {
	case f.Kind <= Stop:
		w.endFault(f, m)
		return true
	case f.Kind <= Jump:
		return w.timeFault(f, m)
	case f.Kind <= LoseLog:
		return w.diskFault(f, m)
	}
	return w.memberFault(f, m)
}

// cutFault breaks links, and mends them later.
func (w *world) cutFault(f Fault, m *member) {
	n := &w.network
	in := func(slot int) bool { return f.N>>slot&1 == 1 }
	var is func(from, to int) bool
	switch f.Kind {
	case Isolate:
		is = func(from, to int) bool { return from == m.slot || to == m.slot }
	case Mute:
		is = func(from, _ int) bool { return from == m.slot }
	case Deaf:
		is = func(_, to int) bool { return to == m.slot }
	case Split:
		is = func(from, to int) bool { return in(from) != in(to) }
	case OneWay:
		is = func(from, to int) bool { return in(from) && !in(to) }
	case Bridge:
		is = func(from, to int) bool { return from != m.slot && to != m.slot && in(from) != in(to) }
	case Clog:
		n.clogged[m.slot][f.N%slotsMax] = w.now + f.For
		return
	case ClientsCut:
		n.clientCut[m.slot]++
		w.later(f.For, func() {
			if !w.healing {
				n.clientCut[m.slot]--
			}
		})
		return
	case Lossy:
		n.lossy++
		n.lossyRate = float64(min(f.N, 100)) / 100
		w.later(f.For, func() { n.lossy = max(n.lossy-1, 0) })
		return
	}
	n.cutAll(is, 1)
	w.later(f.For, func() {
		if !w.healing { // then all was mended
			n.cutAll(is, -1)
		}
	})
}

// changeBeside asks a leader that has just been cut off to remove a member, or more: the change may never be committed, and
// then every member that took it must go back.
func (w *world) changeBeside(m *member, more uint64) {
	for range 1 + more {
		other := w.members[w.chance.faults.IntN(len(w.members))]
		if other == m || !m.up || !w.mayRemove(other.id) {
			continue
		}
		w.ask(m, raft.Change{Type: raft.Remove, Member: raft.Member{ID: other.id}}, func(error) {})
	}
}

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

// memberFault changes who is a member, who leads, or what is in a snapshot.
func (w *world) memberFault(f Fault, m *member) bool {
	switch f.Kind {
	case Wipe:
		if m.lost || !w.mayLose(m) {
			return false
		}
		w.crash(m, false)
		m.lost, m.stopped = true, true // nobody starts it on what was lost
		life := m.life
		w.later(max(f.For, time.Millisecond), func() {
			if m.life == life && !m.up {
				w.replace(m)
			}
		})
	case Remove:
		if !w.mayRemove(m.id) {
			return false
		}
		w.wish(raft.Remove, raft.Member{ID: m.id}, false)
	case Churn:
		w.churnTill, w.hurry = w.now+f.For, f.N
	case Topple:
		w.toppleTill, w.toppleHow = w.now+f.For, f.N
		if leader := w.leader(); leader != nil {
			w.topple(leader)
		}
	case Transfer:
		to := w.members[int(f.N)%len(w.members)].id
		m.inbox.Other = append(m.inbox.Other, func(d *driver.Driver) {
			d.Transfer(to, func(leader raft.ID, err error) {
				if err == nil && leader == to {
					w.mark(transferDone)
				}
			})
		})
		w.rouse(m)
	case Snapshot:
		m.inbox.Other = append(m.inbox.Other, func(d *driver.Driver) { d.TakeSnapshot(func(raft.Index, error) {}) })
		w.rouse(m)
	case Stray:
		return w.straying(f, m)
	}
	return true
}

// addMember starts a member on an empty disk, and asks for it to be added.
func (w *world) addMember() bool {
	if len(w.members) >= slotsMax {
		return false
	}
	m := w.newMember()
	w.act(m, func() { w.start(m) })
	w.wish(raft.AddLearner, raft.Member{ID: m.id, Address: m.address}, false)
	return true
}
