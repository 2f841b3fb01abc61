package linearizability

import (
	"fmt"
	"sort"
)

// placeSeen gives a write of unknown outcome the index that a read showed for its value. That is no guess: a value is
// written by one operation only, and the reply names the index of the write that it shows.
func (w *witness) placeSeen() {
	for i := range w.ops {
		op := &w.ops[i]
		if op.Kind != Get || op.Outcome != OK || op.Got == nil || op.Version == 0 {
			continue
		}
		writer := w.writers[*op.Got]
		if writer == nil || writer.Key != op.Key || writer.Outcome == Failed {
			continue // the replay says what is wrong with it
		}
		at, known := w.placeOf(writer)
		switch {
		case !known && mayWrite(writer):
			w.filled[writer] = position{index: op.Version, op: writer, value: writer.Value, here: true}
		case known && at.index != op.Version:
			w.find(UniqueIndexes, op.Key, []*Operation{op, writer},
				"%s and says that it was written at index %d, but %s has index %d", tells(op), op.Version, name(writer), at.index)
		}
	}
}

// placeOf is where a write took effect, as far as that is known.
func (w *witness) placeOf(op *Operation) (position, bool) {
	if at, ok := w.filled[op]; ok {
		return at, true
	}
	if wrote(op) && op.Index > 0 {
		return position{op.Index, op.Term, op, op.Value, op.Kind != Delete}, true
	}
	return position{}, false
}

func (w *witness) replayAll() {
	for i := range w.ops { // in the order of the calls, so that the first sentence is about the first
		op := &w.ops[i]
		if looked(op) && op.Index > 0 {
			w.replay(w.keys[op.Key], op)
		}
		if at, filled := w.filled[op]; filled && op.Kind == CAS {
			w.replaySwap(w.keys[op.Key], op, at.index)
		}
	}
}

// replaySwap: a cas of unknown outcome that shows itself must have found what it expected.
func (w *witness) replaySwap(c *claimed, op *Operation, index uint64) {
	last, written := c.newest(index - 1)
	if written && last.here && last.value == op.Expect {
		return
	}
	writer := w.writers[op.Expect]
	if writer != nil && writer.Key == op.Key && mayWrite(writer) && !w.covered(last.index+1, index-1) {
		if _, known := w.placeOf(writer); !known {
			return // the value that it found may have been there: its write is open
		}
	}
	w.find(ReplayEqual, op.Key, []*Operation{op, last.op}, "%s took effect at index %d, but there the newest write is %s", name(op), index, last.tells())
}

// newest is the last write at or below an index.
func (c *claimed) newest(index uint64) (position, bool) {
	i := sort.Search(len(c.writes), func(i int) bool { return c.writes[i].index > index })
	if i == 0 {
		return position{}, false
	}
	return c.writes[i-1], true
}

// replay holds one answer against the newest write at or below its index: of a swapped cas, below it.
func (w *witness) replay(c *claimed, op *Operation) {
	at := op.Index
	if op.Kind == CAS && op.Swapped {
		at--
	}
	last, written := c.newest(at)
	if explained(op, last, written) {
		w.seen.Reads++
		return
	}
	if saidValue, ok := saw(op); ok {
		w.wrongValue(op, saidValue, last, at)
		return
	}
	// It found nothing, or something else than it expected: only another write can be the reason.
	if w.mayBeOpen(c, op, last, at) {
		w.seen.Gaps++
		return
	}
	w.seen.Reads++
	w.find(ReplayEqual, op.Key, []*Operation{op, last.op}, "%s at index %d, but there the newest write is %s",
		tells(op), op.Index, last.tells())
}

// explained: the newest write is a reason for the answer.
func explained(op *Operation, last position, written bool) bool {
	here := written && last.here
	switch {
	case idle(op):
		return !here
	case op.Kind == Get && op.Got == nil:
		return !here
	case op.Kind == Get:
		return here && last.value == *op.Got
	case op.Swapped:
		return here && last.value == op.Expect
	default:
		return !here || last.value != op.Expect
	}
}

// wrongValue says what is wrong with an answer that shows another value than the newest write.
func (w *witness) wrongValue(op *Operation, value string, last position, at uint64) {
	writer := w.writers[value]
	involved := []*Operation{op, writer, last.op}
	w.seen.Reads++
	var own position
	known := false
	if writer != nil {
		own, known = w.placeOf(writer)
	}
	switch {
	case writer == nil || writer.Key != op.Key:
		w.find(ReplayEqual, op.Key, []*Operation{op}, "%s at index %d, but no operation on this key ever wrote %s", tells(op), op.Index, show(value))
	case !mayWrite(writer):
		w.find(ReplayEqual, op.Key, involved[:2], "%s at index %d although %s did not happen", tells(op), op.Index, name(writer))
	case known && own.index > at:
		w.find(ReplayEqual, op.Key, involved[:2], "%s at index %d, but %s has the later index %d", tells(op), op.Index, name(writer), own.index)
	case known:
		w.find(ReplayEqual, op.Key, involved, "%s, written at index %d, at index %d, but there the newest write is %s",
			tells(op), own.index, op.Index, last.tells())
	case before(op, writer):
		w.find(ReplayEqual, op.Key, involved[:2], "%s %s before %s was even called", tells(op), gap(op, writer), name(writer))
	case w.covered(last.index+1, at):
		w.find(ReplayEqual, op.Key, involved, "%s at index %d, but there the newest write is %s", tells(op), op.Index, last.tells())
	default:
		w.seen.Reads--
		w.seen.Gaps++
	}
}

// mayBeOpen: a write that may have happened, at an index that nobody told, could be the reason for what op says.
func (w *witness) mayBeOpen(c *claimed, op *Operation, last position, at uint64) bool {
	if w.covered(last.index+1, at) {
		return false // a log has told every write there
	}
	if op.Version != 0 && op.Version == last.index {
		return false // the reply itself says that this was the newest
	}
	for _, o := range c.open {
		if before(op, o) || o == op {
			continue
		}
		if nothing := op.Kind != CAS; nothing && o.Kind != Delete {
			continue
		}
		return true
	}
	return false
}

// tells is how a sentence speaks of a write by its place.
func (p position) tells() string {
	switch {
	case p.op != nil:
		return fmt.Sprintf("%s at index %d", name(p.op), p.index)
	case p.here:
		return fmt.Sprintf("that of %s at index %d", show(p.value), p.index)
	case p.index == 0:
		return "none"
	default:
		return fmt.Sprintf("a delete at index %d", p.index)
	}
}
