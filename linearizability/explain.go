package linearizability

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pattern names a way in which a history can be wrong.
type Pattern string

const (
	NeverWritten     Pattern = "never-written"     // a value was read that no operation wrote
	PhantomFailure   Pattern = "phantom-failure"   // an operation that said it failed shows itself
	FutureRead       Pattern = "future-read"       // a value was read before its write was called
	StaleRead        Pattern = "stale-read"        // an old value came back after a newer one was certain
	LostWrite        Pattern = "lost-write"        // an acknowledged write is gone
	ResurrectedWrite Pattern = "resurrected"       // a deleted value came back
	DoubleSwap       Pattern = "double-swap"       // two cas took the same value
	WrongRefusal     Pattern = "wrong-refusal"     // a cas refused although its value was certainly there
	Unordered        Pattern = "no-order-possible" // none of these, but the search found no order
)

// Explanation says in one sentence why no order of a key's operations exists, and which operations show it.
type Explanation struct {
	Pattern    Pattern `json:"pattern"`
	Sentence   string  `json:"sentence"`
	Operations []int64 `json:"operations"` // ids; the one that showed it comes first
}

// contradiction searches the operations of one key directly for a pair or a triple that no order can contain.
// What it finds is a proof: these operations contradict each other whatever else happened. What it does not
// find proves nothing. ops are in the order of their calls.
func contradiction(ctx context.Context, ops []Operation) *Explanation {
	r := newReading(ops)
	for _, rule := range []func(context.Context) *Explanation{
		r.unfounded, r.takenTwice, r.gone, r.refused, r.deletedAndBack, r.overwrittenAndBack,
	} {
		if e := rule(ctx); e != nil {
			return e
		}
	}
	return nil
}

// reading is what can be said of each value, since each is written by one operation only.
type reading struct {
	lives    []*life // in the order of the calls of their writes
	byValue  map[string]*life
	absent   []*Operation // reads that found nothing
	deletes  []*Operation // failed ones included
	refusals []*Operation // cas that said the key held something else
	seers    []*Operation // whoever saw a value
	writes   []*Operation // everything that may have changed the key, deletes included
}

// life is a value from its write to the last time it was seen.
type life struct {
	value string
	write *Operation
	seen  []*Operation // reads that returned it and cas that took it, in the order of their calls
	taken []*Operation // cas that certainly replaced it, whether or not they were answered
	first *Operation   // the first to return that proves that the value was there; nil if nothing proves it
	last  *Operation   // the last to be called that needs the value to be there, or the write itself
}

// since is when the value was there at the latest.
func (l *life) since() time.Duration { return l.first.Return }

func newReading(ops []Operation) *reading {
	r := &reading{byValue: map[string]*life{}}
	for i := range ops {
		op := &ops[i]
		switch {
		case op.Kind == Put, op.Kind == CAS:
			l := &life{value: op.Value, write: op, last: op}
			r.lives, r.byValue[op.Value] = append(r.lives, l), l
		case op.Kind == Delete:
			r.deletes = append(r.deletes, op)
		}
		switch {
		case mayWrite(op):
			r.writes = append(r.writes, op)
		case op.Outcome == OK && op.Kind == CAS:
			r.refusals = append(r.refusals, op)
		case op.Outcome == OK && op.Kind == Get:
			if op.Got == nil {
				r.absent = append(r.absent, op)
			}
		}
	}
	for i := range ops {
		op := &ops[i]
		v, ok := saw(op)
		if !ok {
			continue
		}
		r.seers = append(r.seers, op)
		if l := r.byValue[v]; l != nil {
			l.seen = append(l.seen, op)
		}
	}
	for _, l := range r.lives {
		if w := l.write; w.Kind == CAS && (did(w) || isUnknown(*w) && len(l.seen) > 0) && r.byValue[w.Expect] != nil {
			r.byValue[w.Expect].taken = append(r.byValue[w.Expect].taken, w)
		}
		if did(l.write) {
			l.first = l.write
		}
		for _, op := range l.seen {
			if l.first == nil || op.Return < l.first.Return {
				l.first = op
			}
			l.last = op
		}
	}
	return r
}

// mayWrite: the operation changed the key, or may have or may yet.
func mayWrite(op *Operation) bool {
	switch op.Kind {
	case Get:
		return false
	case CAS:
		return isUnknown(*op) || op.Swapped
	default:
		return op.Outcome != Failed
	}
}

// did: the operation certainly changed the key before it returned.
func did(op *Operation) bool { return op.Outcome == OK && mayWrite(op) }

// saw returns the value that must have been there for the operation to return as it did.
func saw(op *Operation) (string, bool) {
	switch {
	case op.Outcome != OK:
		return "", false
	case op.Kind == Get && op.Got != nil:
		return *op.Got, true
	case op.Kind == CAS && op.Swapped:
		return op.Expect, true
	default:
		return "", false
	}
}

// before: a had returned when b was called. Operations that touch in one instant overlap.
func before(a, b *Operation) bool { return ended(a) && a.Return < b.Call }

// ended is false where the operation can take effect at any time after its call.
func ended(op *Operation) bool { return !isUnknown(*op) }

// mayFallBetween: op may have taken effect between the effects of a and b.
func mayFallBetween(op, a, b *Operation) bool { return !before(op, a) && !before(b, op) }

func explain(p Pattern, ops []*Operation, format string, args ...any) *Explanation {
	e := &Explanation{Pattern: p, Sentence: fmt.Sprintf(format, args...)}
	for _, op := range ops {
		if !slices.Contains(e.Operations, op.ID) {
			e.Operations = append(e.Operations, op.ID)
		}
	}
	return e
}

// name is how a sentence calls an operation: get #12 at n3.
func name(op *Operation) string {
	what := string(op.Kind)
	switch op.Kind {
	case Put:
		what += " " + show(op.Value)
	case CAS:
		what += " " + show(op.Expect) + " to " + show(op.Value)
	}
	return fmt.Sprintf("%s (#%d at %s)", what, op.ID, cmp.Or(op.Node, "no node"))
}

// tells is what an operation told of the value that it found: get (#12 at n3) returned v12.
func tells(op *Operation) string {
	switch {
	case op.Kind == Get && op.Got == nil:
		return name(op) + " found nothing"
	case op.Kind == Get:
		return name(op) + " returned " + show(*op.Got)
	case op.Kind == CAS && op.Outcome == OK && op.Swapped:
		return name(op) + " swapped"
	case op.Kind == CAS && op.Outcome == OK:
		return name(op) + " refused"
	case idle(op):
		return name(op) + " found nothing to delete"
	case op.Outcome == OK:
		return name(op) + " was acknowledged"
	default:
		return name(op) + " has an unknown outcome"
	}
}

// proves is how the first sure sign of a value is told: by its acknowledgement, or by who had seen it.
func proves(op *Operation, value string) string {
	if v, ok := saw(op); ok && v == value {
		return tells(op)
	}
	return name(op) + " was acknowledged"
}

// show quotes a value where it could be mistaken for words, and shortens it.
func show(value string) string {
	const most = 48
	plain := value != "" && !strings.ContainsFunc(value, func(c rune) bool {
		return c <= ' ' || c == '"' || c >= 0x7f
	})
	if len(value) > most {
		return strconv.Quote(value[:most/2]) + fmt.Sprintf("... (%d bytes)", len(value))
	}
	if plain {
		return value
	}
	return strconv.Quote(value)
}

// gap is the time from the return of a to the call of b, rounded for reading.
func gap(a, b *Operation) string {
	d := b.Call - a.Return
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return strings.Replace(d.Round(time.Millisecond).String(), "ms", " ms", 1)
	case d >= time.Millisecond:
		return strings.Replace(d.Round(100*time.Microsecond).String(), "ms", " ms", 1)
	default:
		return fmt.Sprintf("%d µs", max(1, d.Microseconds()))
	}
}

// earliest keeps the explanation whose first operation returned first: later ones are often its echo.
func earliest(best *Explanation, bestAt time.Duration, e *Explanation, at time.Duration) (*Explanation, time.Duration) {
	if best == nil || at < bestAt {
		return e, at
	}
	return best, bestAt
}

// sortByReturn orders operations by their returns.
func sortByReturn(ops []*Operation) {
	slices.SortFunc(ops, func(a, b *Operation) int { return cmp.Compare(a.Return, b.Return) })
}
