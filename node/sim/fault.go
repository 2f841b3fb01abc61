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
	Clog                          // what the member sends to slot N is held up; N slotsMax: to whoever leads then
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
	Full                          // the disk has no room; N has copies: not even to overwrite what is there; N has names: it has room for a new file's name
	SyncFails                     // the next fsync fails
	Flip                          // the process ends, and a bit on the disk changes: N 0: anywhere, N 1: at the beginning of a file, N 2: in a zero before a number
	LoseLog                       // the files of the log are lost, and the snapshots are left
	Wipe                          // the disk is lost; the member comes back as a new one
	Add                           // a new member joins
	Remove                        // the member is removed
	Churn                         // for a while, whoever is elected is asked at once to remove a member, and N more; N beside: instead members change whenever a snapshot sets out
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

// Most names the kinds that happened most often, and how many others did.
func (c FaultCounts) Most(n int) string {
	var kinds []FaultKind
	for k := range c {
		if c[k] > 0 {
			kinds = append(kinds, FaultKind(k))
		}
	}
	slices.SortStableFunc(kinds, func(a, b FaultKind) int { return c[b] - c[a] })
	var words []string
	for _, k := range kinds[:min(n, len(kinds))] {
		words = append(words, fmt.Sprintf("%s %d", k, c[k]))
	}
	if more := len(kinds) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("%d other kinds", more))
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
		to := f.N % slotsMax
		if leader := w.leader(); f.N == slotsMax && leader != nil {
			to = uint64(leader.slot)
		}
		n.clogged[m.slot][to] = w.now + f.For
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

// beside is N of a churn that goes with snapshots.
const beside = 1 << 2

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
		if f.N&beside != 0 {
			w.changesTill = w.now + f.For
			return true
		}
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
