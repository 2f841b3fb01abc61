package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// wellFormed returns why ops cannot be judged: what a Recorder cannot have recorded, and values that occur
// twice. With a value that two operations wrote a read no longer says which write it saw (a domain of five
// values hid 21 of 24 planted stale reads).
func wellFormed(ops []Operation) error {
	ids := make(map[int64]bool, len(ops))
	writers := make(map[string]int64, len(ops)/2)
	for i := range ops {
		op := &ops[i]
		if err := op.wellFormed(); err != nil {
			return fmt.Errorf("operation %d: %w", op.ID, err)
		}
		if ids[op.ID] {
			return fmt.Errorf("operation %d occurs twice", op.ID)
		}
		ids[op.ID] = true
		if op.Kind != Put && op.Kind != CAS {
			continue
		}
		if first, ok := writers[op.Value]; ok {
			return fmt.Errorf("operations %d and %d both write %q: values must be unique", first, op.ID, op.Value)
		}
		writers[op.Value] = op.ID
	}
	return oneAtATime(ops)
}

// wellFormed judges an operation alone.
func (op Operation) wellFormed() error {
	if err := op.validCall(); err != nil {
		return err
	}
	if op.Outcome != "" {
		if err := op.Result.valid(op.Kind); err != nil {
			return err
		}
	}
	switch {
	case op.Call <= 0:
		return fmt.Errorf("called at %d ns, which is not after the start", op.Call)
	case op.Return == 0 && !isUnknown(op):
		return fmt.Errorf("it is %s but never returned", op.Outcome)
	case op.Return != 0 && op.Return < op.Call:
		return fmt.Errorf("it returns %v before its call", op.Call-op.Return)
	case op.Return != 0 && op.Outcome == "":
		return fmt.Errorf("it returned without an outcome")
	}
	return nil
}

// oneAtATime holds that a process has one call open at a time, and none after an unknown one: it is in that
// call for ever.
func oneAtATime(ops []Operation) error {
	sorted := make([]*Operation, len(ops)) // pointers: an operation is too long to be moved about
	for i := range ops {
		sorted[i] = &ops[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Operation) int {
		return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.Call, b.Call))
	})
	for i := 1; i < len(sorted); i++ {
		a, b := sorted[i-1], sorted[i]
		switch {
		case a.Process != b.Process:
		case isUnknown(*a):
			return fmt.Errorf("process %d calls operation %d after the outcome of operation %d was unknown: it must take a new process", b.Process, b.ID, a.ID)
		case b.Call < a.Return:
			return fmt.Errorf("process %d calls operation %d while operation %d is open", b.Process, b.ID, a.ID)
		}
	}
	return nil
}

// byKey splits a history; linearizability is decided per key because it is local (Herlihy and Wing, 1990).
// Keys come in the order of their names, operations in the order of their calls.
func byKey(ops []Operation) [][]Operation {
	split := map[string][]Operation{}
	for _, op := range ops {
		split[op.Key] = append(split[op.Key], op)
	}
	keys := make([][]Operation, 0, len(split))
	for _, list := range split {
		slices.SortStableFunc(list, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
		keys = append(keys, list)
	}
	slices.SortFunc(keys, func(a, b []Operation) int { return cmp.Compare(a[0].Key, b[0].Key) })
	return keys
}

// inFlight is the most operations open at once: what the time of a search grows with.
func inFlight(h *keyHistory) int {
	type edge struct {
		at   time.Duration
		open int
	}
	edges := make([]edge, 0, 2*len(h.search))
	for _, op := range h.search {
		edges = append(edges, edge{time.Duration(op.Call), 1}, edge{time.Duration(op.Return), -1})
	}
	// At the same instant calls come first, as porcupine counts them: such operations overlap.
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.open, a.open)) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.open
		most = max(most, now)
	}
	return most
}
