package sim

import (
	"slices"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// shadow is what a member's log must hold. It is told of every batch, and which of them were synced. Whoever starts must
// find all that was synced, and of what followed the first batches or none, each as a whole.
type shadow struct {
	known   bool // not of a new or a damaged disk, nor after a crash in recovery
	durable image
	since   []batch // written perhaps, and not known to be durable, oldest first
}

// image is a log without its data.
type image struct {
	hard  raft.HardState
	base  wal.Position
	terms []raft.Term // of the entries after base
}

// batch is one call of a Log: a restart after a position, or a hard state and entries.
type batch struct {
	restart *wal.Position
	hard    *raft.HardState
	entries []raft.Entry
}

func imageOf(hard raft.HardState, base wal.Position, entries []raft.Entry) image {
	i := image{hard: hard, base: base}
	i.apply(batch{entries: entries})
	return i
}

func (i *image) last() raft.Index { return i.base.Index + raft.Index(len(i.terms)) }

// term is that of an entry, or zero where there is none.
func (i *image) term(at raft.Index) raft.Term {
	switch {
	case at == i.base.Index:
		return i.base.Term
	case at > i.base.Index && at <= i.last():
		return i.terms[at-i.base.Index-1]
	}
	return 0
}

func (i *image) apply(b batch) {
	if b.restart != nil {
		i.base, i.terms = *b.restart, nil
	}
	if b.hard != nil {
		i.hard = *b.hard
	}
	if len(b.entries) > 0 {
		i.terms = i.terms[:b.entries[0].Index-i.base.Index-1]
	}
	for _, e := range b.entries {
		i.terms = append(i.terms, e.Term)
	}
}

// equal compares what both hold: of either a first part may have been dropped, which a snapshot covers.
func (i *image) equal(o *image) bool {
	if i.hard != o.hard || i.last() != o.last() {
		return false
	}
	for at := max(i.base.Index, o.base.Index); at <= i.last(); at++ {
		if i.term(at) != o.term(at) {
			return false
		}
	}
	return true
}

// holds reports whether what was found at a start is what there must be, and remembers it.
func (s *shadow) holds(found image) bool {
	want := s.durable
	want.terms = slices.Clone(want.terms)
	ok := !s.known || want.equal(&found)
	for _, b := range s.since {
		if ok {
			break
		}
		want.apply(b)
		ok = want.equal(&found)
	}
	*s = shadow{known: true, durable: found}
	return ok
}

// shadowed is a log that tells its shadow.
type shadowed struct {
	driver.WAL
	shadow *shadow
}

func (l shadowed) Append(hard *raft.HardState, entries []raft.Entry) error {
	b := batch{entries: entries}
	if hard != nil {
		now := *hard
		b.hard = &now
	}
	l.shadow.since = append(l.shadow.since, b)
	return l.WAL.Append(hard, entries)
}

func (l shadowed) Restart(last raft.Index, term raft.Term) error {
	l.shadow.since = append(l.shadow.since, batch{restart: &wal.Position{Index: last, Term: term}})
	return l.WAL.Restart(last, term)
}

func (l shadowed) Sync() error {
	err := l.WAL.Sync()
	if err == nil {
		for _, b := range l.shadow.since {
			l.shadow.durable.apply(b)
		}
		l.shadow.since = nil
	}
	return err
}

// voteKept: a vote, the candidate's for itself too, is on the disk before anybody hears of it.
func (w *world) voteKept(from *member, message *raft.Message) {
	vote := message.To
	if message.Type == raft.MsgVote {
		vote = from.id
	}
	if on := from.shadow.durable.hard; on.Term < message.Term || on.Term == message.Term && on.Vote != vote {
		w.fail("disk", "%v says that it votes for %v in term %d; its disk has a vote for %v in term %d", from.id, vote, message.Term, on.Vote, on.Term)
	}
}

// snapshotKept: a snapshot that is said to be taken is there.
func (w *world) snapshotKept(m *member, s raft.Snapshot) {
	w.mark(checkedSnapshotKept)
	if latest, _ := m.snaps.Latest(); latest.Index < s.Index {
		w.fail("disk", "%v says that its snapshot of entries up to %d is written; the latest is one up to %d", m.id, s.Index, latest.Index)
	}
	w.newestKept(m)
}

// newestKept: the latest snapshot is never older than the latest before: not when one was received, and not after a start.
func (w *world) newestKept(m *member) {
	w.mark(checkedNewestKept)
	latest, _ := m.snaps.Latest()
	if latest.Index < m.newest {
		w.fail("disk", "%v goes back to its snapshot of entries up to %d; it had one up to %d", m.id, latest.Index, m.newest)
	}
	m.newest = latest.Index
}

// startsOn: the snapshot and the log from which a member starts do not contradict each other.
func (w *world) startsOn(m *member, s raft.Snapshot, log image) {
	w.mark(checkedStartsOn)
	if s.Index >= log.base.Index && log.term(s.Index) != s.Term {
		w.fail("start", "%v starts from a snapshot up to entry %d of term %d with a log that has term %d there", m.id, s.Index, s.Term, log.term(s.Index))
	}
}

// diskBelieved: what a member takes to be on its disk is there, in its log or in its snapshot.
func (w *world) diskBelieved(m *member) {
	r := m.raft()
	at := r.StableIndex()
	if at <= r.Snapshot().Index || at <= m.shadow.durable.base.Index {
		return
	}
	if term, ok := r.TermAt(at); ok && m.shadow.durable.term(at) != term {
		w.fail("disk", "%v takes entry %d of term %d to be on its disk, which holds entries up to %d and has term %d there", m.id, at, term, m.shadow.durable.last(), m.shadow.durable.term(at))
	}
}
