package raft_test

import (
	"fmt"
	"slices"
	"strings"

	"raftlab/raft"
	"raftlab/raft/safety"
)

// world is a cluster of real members on a table: messages lie in one pile and saves in one pile a member, and
// nothing moves unless it is told to.
type world struct {
	members map[raft.ID]*member
	ids     []raft.ID
	pile    []raft.Message
	cut     map[[2]raft.ID]bool
	story   []string
	checker *safety.Checker
	detail  bool

	appendBytes int  // MaxAppendBytes
	explored    bool // time-outs come when the script says so

	// What was committed anywhere when each read was asked for: its answer must not be older.
	asked map[asking]raft.Index
}

type asking struct {
	id      raft.ID
	life    uint64
	context uint64
}

// member is one member and the disk that survives it.
type member struct {
	raft    *raft.Raft // nil while it is down
	saves   []raft.Save
	hold    bool                    // the disk is slow: saves wait until they are released
	stored  raft.Stored             // on disk
	states  map[raft.Index][]string // snapshots on disk, and what they hold
	applied []string
	owed    raft.Index // applied, and not yet reported
	lazy    bool       // applying takes a while: it is not reported
	lives   uint64
}

const testCluster raft.ClusterID = 7

func newWorld() *world {
	return &world{asked: map[asking]raft.Index{}, members: map[raft.ID]*member{}, cut: map[[2]raft.ID]bool{}, checker: safety.New(), detail: true}
}

// add puts a member on the table, with what its disk holds.
func (w *world) add(id raft.ID, hard raft.HardState, log []raft.Entry) {
	w.members[id] = &member{stored: raft.Stored{HardState: hard, Entries: log}, states: map[raft.Index][]string{}}
	w.ids = append(w.ids, id)
	slices.Sort(w.ids)
	w.start(id)
}

func (w *world) start(id raft.ID) {
	m := w.members[id]
	m.lives++
	m.owed, m.lazy = 0, false
	m.applied = slices.Clone(m.states[m.stored.Snapshot.Index])
	cluster := testCluster
	if len(m.stored.Entries) == 0 && m.stored.Snapshot.Index == 0 {
		cluster = 0 // it has not joined yet
	}
	var err error
	defer w.normalize(id)
	m.raft, err = raft.New(raft.Config{
		ID: id, Cluster: cluster, Seed: uint64(id)*1000 + m.lives,
		TailEntries: 2, MaxAppendBytes: w.appendBytes, MaxUncommittedBytes: 1000, Trace: func(s string) { w.story = append(w.story, s) }, TraceDetail: w.detail,
	}, m.mend())
	if err != nil {
		panic(err)
	}
}

// crash ends a member: what its disk had not finished is lost.
func (w *world) crash(id raft.ID) {
	m := w.members[id]
	m.raft, m.saves = nil, nil
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

// step gives a member one input and carries out what it asks for.
func (w *world) step(id raft.ID, in raft.Input) error {
	m := w.members[id]
	if read, ok := in.(raft.Read); ok {
		if w.explored {
			m.raft.Normalize(read.Context + 1)
		}
		key := asking{id, m.lives, read.Context}
		w.asked[key] = 0
		for _, other := range w.members {
			if other.raft != nil {
				w.asked[key] = max(w.asked[key], other.raft.Committed())
			}
		}
	}
	err := m.raft.Step(in)
	w.pump(id)
	return err
}

func (w *world) pump(id raft.ID) {
	m := w.members[id]
	defer w.normalize(id)
	for m.raft.HasReady() {
		ready := m.raft.Ready()
		if ready.Save != nil {
			m.saves = append(m.saves, *ready.Save)
		}
		w.pile = append(w.pile, ready.Messages...)
		if s := ready.Install; s != nil {
			m.applied, m.owed = slices.Clone(m.states[s.Index]), s.Index
			if got := m.raft.Configuration(); got.String() != s.Configuration.String() || m.raft.ConfigurationIndex() != s.ConfigurationIndex {
				panic(fmt.Sprintf("%v installed a snapshot with members %v and has %v", id, s.Configuration, got))
			}
			m.report()
		}
		for _, e := range ready.Committed {
			if e.Type == raft.EntryCommand {
				m.applied = append(m.applied, string(e.Data))
			}
			m.owed = e.Index
		}
		m.report()
		for _, read := range ready.Reads {
			if read.Err != nil {
				w.tell("%v gives up read %d: %v", id, read.Context, read.Err)
			} else {
				if least := w.asked[asking{id, m.lives, read.Context}]; read.Index < least {
					panic(fmt.Sprintf("linearizability: %v may answer a read at %d; when it was asked, %d was committed", id, read.Index, least))
				}
				w.tell("%v may answer read %d once it has applied %d", id, read.Context, read.Index)
			}
		}
		if !m.hold {
			w.release(id, len(m.saves))
		}
	}
	w.check()
}

// report tells Raft what is applied.
func (m *member) report() {
	if m.lazy || m.owed <= m.raft.Applied() {
		return
	}
	if err := m.raft.Step(raft.Applied{Index: m.owed}); err != nil {
		panic(err)
	}
}

// release lets the disk finish its oldest n saves.
func (w *world) release(id raft.ID, n int) {
	m := w.members[id]
	for range min(n, len(m.saves)) {
		save := m.saves[0]
		m.saves = m.saves[1:]
		d := &m.stored
		d.HardState = save.HardState
		if s := save.Restart; s != nil {
			d.Base, d.BaseTerm, d.Entries = s.Index, s.Term, nil
		}
		if len(save.Entries) > 0 {
			d.Entries = append(slices.Clip(d.Entries[:save.Entries[0].Index-d.Base-1]), save.Entries...)
		}
		w.pile = append(w.pile, save.Then...)
		if err := m.raft.Step(save.Done); err != nil {
			panic(err)
		}
	}
}

// receive puts a snapshot on the disk, as a rename does: at once, and before the log knows.
func (m *member) receive(msg raft.Message, state []string) {
	var c raft.Configuration
	if err := c.UnmarshalBinary(msg.Entries[0].Data); err != nil {
		panic(err)
	}
	if msg.Index <= m.stored.Snapshot.Index {
		return
	}
	m.states[msg.Index] = state
	if msg.Index > m.raft.Committed() && msg.Term >= m.raft.Term() {
		m.stored.Snapshot = raft.Snapshot{Index: msg.Index, Term: msg.LogTerm, Configuration: c, ConfigurationIndex: msg.Entries[0].Index}
	}
}

// mend is what a start does after a crash between a snapshot and the log that follows it: the log begins anew.
func (m *member) mend() raft.Stored {
	d := &m.stored
	s := d.Snapshot
	at := int(s.Index) - int(d.Base) - 1
	fits := s.Index == d.Base && s.Term == d.BaseTerm || at >= 0 && at < len(d.Entries) && d.Entries[at].Term == s.Term
	if !fits {
		d.Base, d.BaseTerm, d.Entries = s.Index, s.Term, nil
	}
	d.HardState.Term = max(d.HardState.Term, s.Term)
	copied := *d
	copied.Entries = slices.Clone(d.Entries)
	return copied
}

// snapshot takes one of what a member has applied, puts it on its disk, and lets the log forget.
func (w *world) snapshot(id raft.ID) bool {
	m := w.members[id]
	s, ok := m.raft.SnapshotAt(m.raft.Applied())
	if !ok || s.Index <= m.stored.Snapshot.Index || m.lazy {
		return false
	}
	m.states[s.Index] = slices.Clone(m.applied)
	m.stored.Snapshot = s
	_ = w.step(id, raft.SnapshotTaken{Snapshot: s})
	d := &m.stored
	// Dropping the prefix is the disk's work too, and comes after what it has yet to do.
	if first := m.raft.FirstIndex(); first > d.Base+1 && len(m.saves) == 0 {
		d.BaseTerm = d.Entries[first-2-d.Base].Term
		d.Entries = slices.Clone(d.Entries[first-1-d.Base:])
		d.Base = first - 1
	}
	return true
}

func (w *world) check() {
	var up []*raft.Raft
	for _, id := range w.ids {
		if r := w.members[id].raft; r != nil {
			up = append(up, r)
		}
	}
	if err := w.checker.Observe(up); err != nil {
		panic(err)
	}
}

// deliver hands over the message at i of the pile.
func (w *world) deliver(i int, keep bool) {
	m := w.pile[i]
	if !keep {
		w.pile = slices.Delete(w.pile, i, i+1)
	}
	to, ok := w.members[m.To]
	if w.cut[[2]raft.ID{m.From, m.To}] || !ok || to.raft == nil {
		return
	}
	if m.Type == raft.MsgSnapshot {
		// The state travelled with it, and is on the receiver's disk before Raft hears of it.
		state, ok := w.members[m.From].states[m.Index]
		if !ok {
			return
		}
		to.receive(m, state)
	}
	_ = w.step(m.To, m) // what the gate refuses is in the story
}

// settle delivers until nothing is left.
func (w *world) settle() {
	for n := 0; len(w.pile) > 0; n++ {
		if n > 10000 {
			panic("the members do not come to rest")
		}
		w.deliver(0, false)
	}
}

// passTimeout lets time pass for one member until it asks for votes.
func (w *world) passTimeout(id raft.ID) {
	for range 40 {
		r := w.members[id].raft
		term, role := r.Term(), r.Role()
		_ = w.step(id, raft.Tick{})
		if r.Term() != term || r.Role() != role && r.Role() != raft.Follower || role == raft.PreCandidate && len(w.pile) > 0 {
			return
		}
	}
}

func configurationEntry(index raft.Index, term raft.Term, c raft.Configuration) raft.Entry {
	data, err := c.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return raft.Entry{Index: index, Term: term, Type: raft.EntryConfiguration, Data: data}
}

// founded is the log of a new cluster: one entry, with its members.
func founded(voters int) []raft.Entry {
	var c raft.Configuration
	for i := range voters {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(i + 1), Address: fmt.Sprintf("n%d:8000", i+1)})
	}
	return []raft.Entry{configurationEntry(1, 1, c)}
}

// picture draws one member's log as its terms: n1@3 leader, commit 2: 1 1 | 3 (3)   The bar is the commit
// index, brackets what is not on disk.
func (w *world) picture(id raft.ID) string {
	m := w.members[id]
	if m.raft == nil {
		return fmt.Sprintf("%v is down", id)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v@%d %v:", id, m.raft.Term(), m.raft.Role())
	if first := m.raft.FirstIndex(); first > 1 {
		fmt.Fprintf(&b, " [..%d]", first-1)
		if m.raft.Committed() == first-1 {
			b.WriteString(" |")
		}
	}
	for _, e := range m.raft.Entries() {
		format := " %d"
		if e.Index > m.raft.StableIndex() {
			format = " (%d)"
		}
		fmt.Fprintf(&b, format, e.Term)
		if e.Index == m.raft.Committed() {
			b.WriteString(" |")
		}
	}
	return b.String()
}
