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

	appendBytes int // MaxAppendBytes
}

// member is one member and the disk that survives it.
type member struct {
	raft    *raft.Raft // nil while it is down
	saves   []raft.Save
	hold    bool // the disk is slow: saves wait until they are released
	hard    raft.HardState
	log     []raft.Entry // on disk
	applied []string
	lives   uint64
}

const testCluster raft.ClusterID = 7

func newWorld() *world {
	return &world{members: map[raft.ID]*member{}, cut: map[[2]raft.ID]bool{}, checker: safety.New(), detail: true}
}

// add puts a member on the table, with what its disk holds.
func (w *world) add(id raft.ID, hard raft.HardState, log []raft.Entry) {
	w.members[id] = &member{hard: hard, log: log}
	w.ids = append(w.ids, id)
	slices.Sort(w.ids)
	w.start(id)
}

func (w *world) start(id raft.ID) {
	m := w.members[id]
	m.lives++
	m.applied = nil
	cluster := testCluster
	if len(m.log) == 0 {
		cluster = 0 // it has not joined yet
	}
	var err error
	m.raft, err = raft.New(raft.Config{
		ID: id, Cluster: cluster, Seed: uint64(id)*1000 + m.lives,
		MaxAppendBytes: w.appendBytes, MaxUncommittedBytes: 1000, Trace: func(s string) { w.story = append(w.story, s) }, TraceDetail: w.detail,
	}, m.hard, slices.Clone(m.log))
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
	err := m.raft.Step(in)
	w.pump(id)
	return err
}

func (w *world) pump(id raft.ID) {
	m := w.members[id]
	for m.raft.HasReady() {
		ready := m.raft.Ready()
		if ready.Save != nil {
			m.saves = append(m.saves, *ready.Save)
		}
		w.pile = append(w.pile, ready.Messages...)
		for _, e := range ready.Committed {
			if e.Type == raft.EntryCommand {
				m.applied = append(m.applied, string(e.Data))
			}
			if err := m.raft.Step(raft.Applied{Index: e.Index}); err != nil {
				panic(err)
			}
		}
		for _, read := range ready.Reads {
			if read.Err != nil {
				w.tell("%v gives up read %d: %v", id, read.Context, read.Err)
			} else {
				w.tell("%v may answer read %d once it has applied %d", id, read.Context, read.Index)
			}
		}
		if !m.hold {
			w.release(id, len(m.saves))
		}
	}
	w.check()
}

// release lets the disk finish its oldest n saves.
func (w *world) release(id raft.ID, n int) {
	m := w.members[id]
	for range min(n, len(m.saves)) {
		save := m.saves[0]
		m.saves = m.saves[1:]
		m.hard = save.HardState
		if len(save.Entries) > 0 {
			m.log = append(slices.Clip(m.log[:save.Entries[0].Index-1]), save.Entries...)
		}
		w.pile = append(w.pile, save.Then...)
		if err := m.raft.Step(save.Done); err != nil {
			panic(err)
		}
	}
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
