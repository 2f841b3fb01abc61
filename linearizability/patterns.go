package linearizability

import (
	"context"
	"fmt"
	"time"
)

// unfounded finds a value that was seen but that nobody can have written by then.
func (r *reading) unfounded(context.Context) *Explanation {
	sortByReturn(r.seers)
	for _, op := range r.seers {
		v, _ := saw(op)
		l := r.byValue[v]
		switch {
		case l != nil && isUnknown(*l.write) && l.write.Kind == CAS && r.byValue[l.write.Expect] == nil:
			return explain(NeverWritten, []*Operation{op, l.write},
				"%s, so %s must have swapped, but no operation on this key ever wrote %s",
				tells(op), name(l.write), show(l.write.Expect))
		case l == nil:
			return explain(NeverWritten, []*Operation{op},
				"%s, but no operation on this key ever wrote %s", tells(op), show(v))
		case l.write.Outcome == Failed:
			return explain(PhantomFailure, []*Operation{op, l.write},
				"%s although %s had failed, which promised that it did not happen and never would%s",
				tells(op), name(l.write), reason(l.write))
		case !mayWrite(l.write):
			return explain(PhantomFailure, []*Operation{op, l.write},
				"%s although %s had been refused and so wrote nothing", tells(op), name(l.write))
		case before(op, l.write):
			return explain(FutureRead, []*Operation{op, l.write},
				"%s %s before %s was even called", tells(op), gap(op, l.write), name(l.write))
		}
	}
	return nil
}

// takenTwice finds two swaps of the same value: the first replaced it, and it is written only once.
func (r *reading) takenTwice(context.Context) *Explanation {
	for _, l := range r.lives {
		if len(l.taken) < 2 {
			continue
		}
		first, second := l.taken[0], l.taken[1]
		return explain(DoubleSwap, []*Operation{second, first},
			"%s and %s both swapped%s, but %s was written once and can be taken once",
			name(first), name(second), r.seenAll(first, second), show(l.value))
	}
	return nil
}

// seenAll says how the swap of a cas without an answer is known.
func (r *reading) seenAll(swaps ...*Operation) string {
	text := ""
	for _, op := range swaps {
		if isUnknown(*op) {
			text += fmt.Sprintf(" (%s)", tells(r.byValue[op.Value].seen[0]))
		}
	}
	return text
}

// gone finds a read of nothing while a value was certainly there and no delete can have removed it.
func (r *reading) gone(ctx context.Context) *Explanation {
	sortByReturn(r.absent)
	for _, get := range r.absent {
		if ctx.Err() != nil {
			return nil
		}
		for i := len(r.lives) - 1; i >= 0; i-- {
			l := r.lives[i]
			if l.first == nil || !before(l.first, get) {
				continue
			}
			removed, failed := r.removal(l, get)
			if removed {
				break // the same delete may have removed whatever was written earlier
			}
			switch {
			case failed != nil:
				return explain(PhantomFailure, []*Operation{get, failed, l.first},
					"%s although %s %s before it began: only %s can have removed it, and that had failed%s",
					tells(get), proves(l.first, l.value), gap(l.first, get), name(failed), reason(failed))
			default:
				return explain(LostWrite, []*Operation{get, l.write, l.first},
					"%s although %s %s before it began, and no delete can have removed it",
					tells(get), proves(l.first, l.value), gap(l.first, get))
			}
		}
	}
	return nil
}

// removal says whether a delete may have removed the value before get, and otherwise which failed one would.
func (r *reading) removal(l *life, get *Operation) (removed bool, failed *Operation) {
	for _, d := range r.deletes {
		switch {
		case !mayFallBetween(d, l.write, get):
		case d.Outcome == Failed:
			failed = d
		default:
			return true, nil
		}
	}
	return false, failed
}

// refusedWrongly finds what makes the refusal of a cas impossible.
func (r *reading) refusedWrongly(cas *Operation) *Explanation {
	l := r.byValue[cas.Expect]
	if l == nil || l.first == nil || !before(l.first, cas) {
		return nil
	}
	for _, w := range r.writes {
		if w != l.write && mayFallBetween(w, l.write, cas) {
			return nil
		}
	}
	return explain(WrongRefusal, []*Operation{cas, l.write, l.first},
		"%s although the key certainly held %s: %s %s before it began, and nothing else was written since",
		tells(cas), show(l.value), proves(l.first, l.value), gap(l.first, cas))
}

// refused finds a cas that refused although the value that it expected was certainly there.
func (r *reading) refused(ctx context.Context) *Explanation {
	sortByReturn(r.refusals)
	for _, cas := range r.refusals {
		if ctx.Err() != nil {
			return nil
		}
		if e := r.refusedWrongly(cas); e != nil {
			return e
		}
	}
	return nil
}

// deletedAndBack finds a value that was there, then certainly was not, and then was seen again. No value is
// written twice, so it cannot have been put back.
func (r *reading) deletedAndBack(ctx context.Context) *Explanation {
	var best *Explanation
	var bestAt time.Duration
	for _, l := range r.lives {
		if l.first == nil || len(l.seen) == 0 || ctx.Err() != nil {
			continue
		}
		for _, ends := range [][]*Operation{r.deletes, r.absent} {
			for _, end := range ends {
				if end.Outcome != OK || !before(l.first, end) {
					continue
				}
				for _, op := range l.seen {
					if before(end, op) {
						e := explain(ResurrectedWrite, []*Operation{op, end, l.first},
							"%s although %s %s before it began, and %s was there before that: %s",
							tells(op), tells(end), gap(end, op), show(l.value), proves(l.first, l.value))
						best, bestAt = earliest(best, bestAt, e, op.Return)
					}
				}
			}
		}
	}
	return best
}

// overwrittenAndBack finds a value that was seen after a newer one was certain.
//
// Old is older than new if something proves old before an operation on new is called, or if a cas replaced
// old by new. Whoever sees old after something proved new contradicts that.
func (r *reading) overwrittenAndBack(ctx context.Context) *Explanation {
	var best *Explanation
	var bestAt time.Duration
	for _, old := range r.lives {
		if ctx.Err() != nil {
			return best // what was found stands; what was not looked at proves nothing
		}
		if old.first == nil || len(old.seen) == 0 {
			continue
		}
		for _, newer := range r.lives {
			if newer == old || newer.first == nil || !before(newer.first, old.last) {
				continue
			}
			for _, op := range old.seen {
				if best != nil && op.Return >= bestAt || !before(newer.first, op) {
					continue
				}
				if later := laterThan(old, newer, op); later != nil {
					best, bestAt = earliest(best, bestAt, r.stale(old, newer, op, later), op.Return)
				}
			}
		}
	}
	return best
}

// laterThan returns the operation on newer that shows that it is newer than old, and that was called no later
// than op: of two operations that contradict each other, the later one is the one to blame.
func laterThan(old, newer *life, op *Operation) *Operation {
	w := newer.write
	if before(old.first, w) || (w.Kind == CAS && w.Expect == old.value && w != op) {
		return w
	}
	for _, s := range newer.seen {
		if before(old.first, s) && s.Call <= op.Call {
			return s
		}
	}
	return nil
}

// stale says what is wrong with op, which saw old although newer had been there.
func (r *reading) stale(old, newer *life, op, later *Operation) *Explanation {
	involved := []*Operation{op, newer.first, old.first}
	if newer.first == newer.write && len(newer.seen) == 0 && r.unseenBy(newer) > 1 {
		return explain(LostWrite, involved,
			"%s was acknowledged but is lost: %s, having begun %s later, and no read ever returned %s",
			name(newer.write), tells(op), gap(newer.write, op), show(newer.value))
	}
	sentence := "%s although %s %s before it began"
	args := []any{tells(op), proves(newer.first, newer.value), gap(newer.first, op)}
	switch {
	case later == newer.write && later.Kind == CAS && later.Expect == old.value:
		// The sentence already names the cas, or its value: that it replaced the old one is its meaning.
		if newer.first != newer.write {
			sentence += ", which %s had put in its place"
			args = append(args, name(newer.write))
		}
	case later != newer.write:
		sentence += "; %s is the newer of the two, for %s %s after %s"
		args = append(args, show(newer.value), tells(later), gap(old.first, later), proves(old.first, old.value))
		involved = append(involved, later)
	}
	return explain(StaleRead, involved, sentence, args...)
}

// unseenBy counts the reads that began after the write was acknowledged and saw a value that is not newer. One
// is a stale read; when several never see the write, it is lost.
func (r *reading) unseenBy(l *life) int {
	n := 0
	for _, other := range r.lives {
		if before(l.write, other.write) {
			continue
		}
		for _, op := range other.seen {
			if before(l.write, op) {
				n++
			}
		}
	}
	return n
}

// reason adds what the client was told.
func reason(op *Operation) string {
	if op.Error == "" {
		return ""
	}
	return " (" + show(op.Error) + ")"
}
