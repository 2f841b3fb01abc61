package safety

import (
	"bytes"
	"fmt"

	"raftlab/raft"
)

// Watch checks the five properties of Figure 3 along one history, member by member: Observe one after each of its
// events. What it costs grows with what the event changed, not with the length of the logs; Checker, which looks at
// everything, is for those who jump between states.
//
// Log Matching is checked by induction: every entry that appears in any log must be the one that any log has had at
// that index and term, and must follow an entry of the same term. Once in a while a whole log is read again, for
// changes behind an end that stayed the same.
type Watch struct {
	leaders   map[raft.Term]raft.ID
	entries   map[position]*fact
	committed []commit // by index, from 1
	members   map[raft.ID]*seen
	leading   []*seen // who leads as far as is known, in the order of their elections
}

type position struct {
	index raft.Index
	term  raft.Term
}

// fact is the entry at a position, and the term of the one before it.
type fact struct {
	entry raft.Entry
	prev  raft.Term
}

type commit struct {
	term raft.Term // of the entry; zero where nobody was seen to commit it
	when raft.Term // the least term in which it was seen committed
}

// seen is a member as it was observed last.
type seen struct {
	id        raft.ID
	r         *raft.Raft // another one is another life
	term      raft.Term
	role      raft.Role
	base      raft.Index  // the log begins after this
	terms     []raft.Term // of base, and of each entry
	committed raft.Index
	snapshot  raft.Index
	looks     int
}

// wholeEvery is the number of observations between two of a whole log.
const wholeEvery = 256

// NewWatch returns a Watch that has seen nothing.
func NewWatch() *Watch {
	return &Watch{leaders: map[raft.Term]raft.ID{}, entries: map[position]*fact{}, members: map[raft.ID]*seen{}, committed: make([]commit, 1)}
}

// Observe looks at one member. A member that restarted is another *raft.Raft under the same ID.
func (w *Watch) Observe(r *raft.Raft) error {
	s := w.members[r.ID()]
	if s == nil || s.r != r {
		w.Down(r.ID())
		s = &seen{id: r.ID(), r: r, base: r.FirstIndex() - 1}
		term, _ := r.TermAt(s.base)
		s.terms = append(s.terms, term)
		w.members[r.ID()] = s
	}
	was := *s
	mismatch, err := w.followLog(s)
	if err != nil {
		return err
	}
	s.term, s.role = r.Term(), r.Role()
	if was.role == raft.Leader && (s.role != raft.Leader || s.term != was.term) {
		w.stopLeading(s)
	}
	if s.role == raft.Leader && (was.role != raft.Leader || s.term != was.term) {
		if err := w.elected(s); err != nil {
			return err
		}
	}
	if err := w.followCommits(s); err != nil {
		return err
	}
	return mismatch // said last: the others name the cause better
}

// Down says that a member is not there any more, until it is observed again.
func (w *Watch) Down(id raft.ID) {
	if s := w.members[id]; s != nil {
		w.stopLeading(s)
		delete(w.members, id)
	}
}

func (w *Watch) stopLeading(s *seen) {
	for i, l := range w.leading {
		if l == s {
			w.leading = append(w.leading[:i], w.leading[i+1:]...)
			return
		}
	}
}

func (s *seen) last() raft.Index { return s.base + raft.Index(len(s.terms)) - 1 }

// followLog brings what is known of a log up to date, and checks what is new in it.
func (w *Watch) followLog(s *seen) (mismatch, err error) {
	r := s.r
	base, last := r.FirstIndex()-1, r.LastIndex()
	s.looks++
	if base != s.base {
		term, _ := r.TermAt(base)
		if base > s.last() || base < s.base || s.terms[base-s.base] != term { // the log began anew after a snapshot
			s.base, s.terms = base, append(s.terms[:0], term)
		} else {
			s.terms = append(s.terms[:0], s.terms[base-s.base:]...)
			s.base = base
		}
	}
	agreed := min(last, s.last())
	for agreed > base {
		if term, _ := r.TermAt(agreed); term == s.terms[agreed-base] {
			break
		}
		agreed--
	}
	// Leader Append-Only: "a leader never overwrites or deletes entries in its log".
	if agreed < s.last() && s.role == raft.Leader && r.Role() == raft.Leader && r.Term() == s.term {
		return nil, fmt.Errorf("leader append-only: %v, leader of term %d, no longer has entry %d of term %d", s.id, s.term, agreed+1, s.terms[agreed+1-base])
	}
	s.terms = s.terms[:agreed-base+1]
	from := agreed
	if s.looks%wholeEvery == 0 {
		from = base
	}
	for i := from + 1; i <= last; i++ {
		e, _ := r.EntryAt(i)
		if i > agreed {
			s.terms = append(s.terms, e.Term)
		}
		if err := w.logMatching(s, e, s.terms[i-1-base]); err != nil && mismatch == nil {
			mismatch = err
		}
	}
	return mismatch, nil
}

// logMatching: "if two logs contain an entry with the same index and term, then the logs are identical in all
// entries up through the given index".
func (w *Watch) logMatching(s *seen, e raft.Entry, prev raft.Term) error {
	at := position{e.Index, e.Term}
	f := w.entries[at]
	if f == nil {
		w.entries[at] = &fact{e, prev}
		return nil
	}
	same := f.entry.Index == e.Index && f.entry.Type == e.Type && len(f.entry.Data) == len(e.Data) &&
		(len(e.Data) == 0 || &f.entry.Data[0] == &e.Data[0] || bytes.Equal(f.entry.Data, e.Data))
	if !same || f.prev != prev {
		return fmt.Errorf("log matching: %v has another entry %d of term %d, or another before it, than was seen elsewhere", s.id, e.Index, e.Term)
	}
	return nil
}

// elected checks Election Safety ("at most one leader can be elected in a given term") and Leader Completeness: "if a
// log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
// higher-numbered terms".
func (w *Watch) elected(s *seen) error {
	if other, ok := w.leaders[s.term]; ok && other != s.id {
		return fmt.Errorf("election safety: %v and %v both led term %d", other, s.id, s.term)
	}
	w.leaders[s.term] = s.id
	w.leading = append(w.leading, s)
	for i := s.base + 1; i < raft.Index(len(w.committed)); i++ {
		if err := w.complete(s, i); err != nil {
			return err
		}
	}
	return nil
}

// complete checks that a leader has what was committed at an index before its term.
func (w *Watch) complete(s *seen, i raft.Index) error {
	c := w.committed[i]
	if c.term == 0 || c.when >= s.term || i <= s.base {
		return nil
	}
	if i > s.last() || s.terms[i-s.base] != c.term {
		return fmt.Errorf("leader completeness: %v leads term %d without entry %d of term %d, committed in term %d", s.id, s.term, i, c.term, c.when)
	}
	return nil
}

// followCommits checks State Machine Safety: what is committed at an index is the same everywhere and for ever.
func (w *Watch) followCommits(s *seen) error {
	r := s.r
	for i := max(s.committed, s.base) + 1; i <= r.Committed(); i++ {
		if err := w.commit(s, i, s.terms[i-s.base]); err != nil {
			return err
		}
	}
	s.committed = r.Committed()
	if snapshot := r.Snapshot(); snapshot.Index > s.snapshot {
		s.snapshot = snapshot.Index
		if i := snapshot.Index; i < raft.Index(len(w.committed)) && w.committed[i].term != 0 && w.committed[i].term != snapshot.Term {
			return fmt.Errorf("state machine safety: the snapshot of %v ends with entry %d of term %d, another had committed it of term %d", s.id, i, snapshot.Term, w.committed[i].term)
		}
	}
	return nil
}

func (w *Watch) commit(s *seen, i raft.Index, term raft.Term) error {
	for raft.Index(len(w.committed)) <= i {
		w.committed = append(w.committed, commit{})
	}
	c := &w.committed[i]
	switch {
	case c.term == 0:
		*c = commit{term, s.term}
	case c.term != term:
		return fmt.Errorf("state machine safety: %v has committed entry %d of term %d, another had it of term %d", s.id, i, term, c.term)
	case c.when <= s.term:
		return nil
	default:
		c.when = s.term
	}
	for _, l := range w.leading {
		if err := w.complete(l, i); err != nil {
			return err
		}
	}
	return nil
}

// Committed is the last entry that anybody was seen to commit.
func (w *Watch) Committed() raft.Index { return raft.Index(len(w.committed)) - 1 }
