package linearizability

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// explainUnordered says where the history stops to make sense, when no pattern does. Every beginning of a
// linearizable history is linearizable, so there is one return that makes it impossible, and it is found by
// halving.
func (c checker) explainUnordered(ctx context.Context, h *keyHistory, options Options) (e Explanation) {
	e = Explanation{Pattern: Unordered, Sentence: "no order of the operations on this key explains their results"}
	defer func() {
		// FAIL is certain by now: nothing that goes wrong in the wording may take it back.
		if p := recover(); p != nil {
			e.Sentence += fmt.Sprintf(" (saying more panicked: %v)", p)
		}
	}()
	culprit, err := c.culprit(ctx, h, options)
	if err != nil {
		e.Sentence += fmt.Sprintf(" (which one is to blame was not found: %v)", err)
		return e
	}
	e.Operations = append(e.Operations, culprit.ID)
	var around []string
	for _, op := range neighbours(h, culprit, 6) {
		e.Operations = append(e.Operations, op.ID)
		around = append(around, fmt.Sprintf("%s in [%s, %s]", tells(op), clock(op.Call), returned(op)))
	}
	e.Sentence = fmt.Sprintf("no order explains %s in [%s, %s]: everything that had returned before can be ordered, but not together with it",
		tells(culprit), clock(culprit.Call), returned(culprit))
	if len(around) > 0 {
		e.Sentence += "; around it: " + strings.Join(around, ", ")
	}
	return e
}

// culprit returns the operation whose return made the history impossible.
func (c checker) culprit(ctx context.Context, h *keyHistory, options Options) (*Operation, error) {
	var ends []*Operation
	for _, op := range h.search {
		if s := op.Input.(*step); !s.unknown {
			ends = append(ends, s.op)
		}
	}
	slices.SortFunc(ends, func(a, b *Operation) int { return cmp.Compare(a.Return, b.Return) })
	low, high := 0, len(ends)-1 // the culprit is in ends[low:high+1]
	for low < high {
		middle := (low + high) / 2
		s := search{
			register:   c.newRegister(h.absent),
			entriesMax: entryBudget(options.shareBytes(), len(h.search)),
		}
		verdict, _, err := s.run(ctx, h, h.until(ends[middle].Return), false)
		switch {
		case err != nil:
			return nil, err
		case verdict == Fail:
			high = middle
		default:
			low = middle + 1
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("no operation returned")
	}
	return ends[low], nil
}

// until is the history as it was known at a time: what was open then is unknown.
func (h *keyHistory) until(at time.Duration) []porcupine.Operation {
	var known []porcupine.Operation
	for _, op := range h.search {
		s := op.Input.(*step)
		switch {
		case op.Call > int64(at):
		case s.unknown || op.Return <= int64(at):
			known = append(known, op)
		case s.kind == Get:
		default:
			open := *s
			open.unknown = true
			op.Input, op.Return = &open, math.MaxInt64
			known = append(known, op)
		}
	}
	return known
}

// neighbours are the operations that bear on one: those that overlap it first, then the last before it.
func neighbours(h *keyHistory, culprit *Operation, most int) []*Operation {
	var near []*Operation
	for _, op := range h.search {
		if o := op.Input.(*step).op; o != culprit && !before(culprit, o) {
			near = append(near, o)
		}
	}
	slices.SortStableFunc(near, func(a, b *Operation) int { return cmp.Compare(distance(a, culprit), distance(b, culprit)) })
	near = near[:min(most, len(near))]
	slices.SortFunc(near, func(a, b *Operation) int { return cmp.Compare(a.Call, b.Call) })
	return near
}

// distance is zero for operations that overlap.
func distance(op, culprit *Operation) time.Duration {
	if !ended(op) {
		return 0
	}
	return max(0, culprit.Call-op.Return)
}

func clock(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

func returned(op *Operation) string {
	if !ended(op) {
		return "no end"
	}
	return clock(op.Return)
}
