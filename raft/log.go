package raft

import (
	"fmt"
	"slices"
)

// log is the sequence of entries since the last snapshot. A slice that it gave out stays as it was: a
// truncation makes the next append copy, so entries that travel or wait for the disk never change.
type log struct {
	base     Index // the entry before entries[0]: 0, or the last one in the snapshot
	baseTerm Term
	entries  []Entry

	handed Index // entries up to here were given out in a Save
	stable Index // entries up to here are on disk; stable <= handed <= last
}

func (l *log) last() Index { return l.base + Index(len(l.entries)) }

func (l *log) lastTerm() Term {
	if n := len(l.entries); n > 0 {
		return l.entries[n-1].Term
	}
	return l.baseTerm
}

// term returns the term of the entry at i, and whether that is known.
func (l *log) term(i Index) (Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, true
	case i < l.base || i > l.last():
		return 0, false
	}
	return l.entries[i-l.base-1].Term, true
}

func (l *log) matches(i Index, t Term) bool {
	have, ok := l.term(i)
	return ok && have == t
}

// upToDate compares by §5.4.1: the later last term wins, then the longer log. To compare length first
// would elect a member whose long log a newer leader has already overwritten in part.
func (l *log) upToDate(lastIndex Index, lastTerm Term) bool {
	if lastTerm != l.lastTerm() {
		return lastTerm > l.lastTerm()
	}
	return lastIndex >= l.last()
}

// slice returns entries first..last, but stops after maxBytes, at one entry at the earliest.
func (l *log) slice(first, last Index, maxBytes int) []Entry {
	if first > last {
		return nil
	}
	part := l.entries[first-l.base-1 : last-l.base]
	size := 0
	for i := range part {
		size += len(part[i].Data)
		if size > maxBytes && i > 0 {
			part = part[:i]
			break
		}
	}
	return part[:len(part):len(part)]
}

func (l *log) append(entries ...Entry) {
	for i, e := range entries {
		if e.Index != l.last()+Index(i)+1 {
			panic(fmt.Sprintf("raft: entry %d (term %d) appended after entry %d", e.Index, e.Term, l.last()))
		}
	}
	l.entries = append(l.entries, entries...)
}

// truncate removes the entry at from and all after it.
func (l *log) truncate(from Index) {
	l.entries = slices.Clip(l.entries[:from-l.base-1])
	l.handed = min(l.handed, from-1)
	l.stable = min(l.stable, from-1)
}

// compact forgets the entries up to and including i.
func (l *log) compact(i Index) {
	term, _ := l.term(i)
	l.entries = append([]Entry(nil), l.entries[i-l.base:]...) // a copy, so that the old ones can be freed
	l.base, l.baseTerm = i, term
}

// lastNotAfter returns the greatest index up to i whose term is not above t. Both sides of a conflict
// use it to skip a whole term in one round trip (§5.3, the last paragraphs).
func (l *log) lastNotAfter(i Index, t Term) (Index, Term) {
	for ; i > l.base; i-- {
		if have, ok := l.term(i); ok && have <= t {
			return i, have
		}
	}
	return l.base, l.baseTerm
}
