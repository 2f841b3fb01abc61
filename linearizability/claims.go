package linearizability

import (
	"cmp"
	"slices"
	"time"
)

// unique holds that no two writes have one index: an entry of a log holds one command.
func (w *witness) unique() {
	for i := 1; i < len(w.all); i++ {
		a, b := w.all[i-1], w.all[i]
		if a.index == b.index && a.op != b.op {
			w.find(UniqueIndexes, b.key, []*Operation{b.op, a.op}, "%s and %s, but an index holds one write", a.tells(), b.tells())
		}
	}
}

// terms holds that an index belongs to one term and that terms grow along the log (§5.3 of the Raft paper).
func (w *witness) terms() {
	type claim struct {
		index, term uint64
		op          *Operation
	}
	claims := make([]claim, 0, len(w.ops))
	for i := range w.ops {
		if op := &w.ops[i]; op.Outcome == OK && op.Index > 0 && op.Term > 0 {
			claims = append(claims, claim{op.Index, op.Term, op})
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.index, b.index) })
	for i := 1; i < len(claims); i++ {
		a, b := claims[i-1], claims[i]
		switch {
		case a.index == b.index && a.term != b.term:
			w.find(OneTerm, b.op.Key, []*Operation{b.op, a.op}, "index %d is of term %d for %s and of term %d for %s",
				a.index, a.term, name(a.op), b.term, name(b.op))
		case a.term > b.term:
			w.find(OneTerm, b.op.Key, []*Operation{b.op, a.op}, "index %d of %s is of term %d, but the earlier index %d of %s of the later term %d",
				b.index, name(b.op), b.term, a.index, name(a.op), a.term)
		}
	}
}

// edge is a call or a return of something that has an index.
type edge struct {
	at      time.Duration
	returns bool
	writes  bool // has the index for itself
	index   uint64
	op      *Operation
}

// realTime holds that whoever is called after another has returned comes behind it in the log: a write strictly, a read
// at least as far. The log is one order over all keys, so this is asked over all keys.
func (w *witness) realTime() {
	var newest edge // that has returned, by index
	for _, e := range w.edges() {
		switch {
		case e.returns:
			if e.index > newest.index {
				newest = e
			}
		case newest.op == nil:
		case e.index < newest.index || e.writes && e.index == newest.index:
			w.find(RealTime, e.op.Key, []*Operation{e.op, newest.op}, "%s at index %d, although %s at index %d, %s before it began",
				tells(e.op), e.index, tells(newest.op), newest.index, gap(newest.op, e.op))
		}
	}
}

// edges are in the order of time. At one instant calls come first: operations that touch overlap.
func (w *witness) edges() []edge {
	edges := make([]edge, 0, 2*len(w.ops))
	for i := range w.ops {
		op := &w.ops[i]
		at, writes := w.placeOf(op)
		index := at.index
		if !writes && looked(op) {
			index = op.Index
		}
		if index == 0 {
			continue
		}
		edges = append(edges, edge{op.Call, false, writes, index, op})
		if ended(op) {
			edges = append(edges, edge{op.Return, true, writes, index, op})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.returns == b.returns {
			return c
		}
		if a.returns {
			return 1
		}
		return -1
	})
	return edges
}
