package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// dice returns a number in [0, n). Tests feed it from rapid, which shrinks, or from a seeded generator.
type dice func(n int) int

// shape says what a generated history of one key looks like.
type shape struct {
	operations int
	spread     int // an operation reaches that many points to either side: about 2*spread are in flight
	unknowns   int // of 100 writes
	failures   int // of 100 operations
	cas        int // of 100 operations
	deletes    int // of 100 operations
}

// legal plays a register: operation i takes effect at point i of time, somewhere between its call and its
// return. So it is linearizable by construction.
func legal(roll dice, s shape) []Operation {
	ops, _ := legalLogged(roll, s)
	for i := range ops {
		ops[i].Index, ops[i].Term, ops[i].Version = 0, 0, 0
	}
	return ops
}

// legalLogged also lets each answer claim where it was in the log, and returns the log.
func legalLogged(roll dice, s shape) ([]Operation, []LogEntry) {
	var log []LogEntry
	var index, version uint64 // of the log, and of what the key holds
	const point = 1000
	var holds *string
	ops := make([]Operation, s.operations)
	ends := make([]time.Duration, s.operations)
	for i := range ops {
		at := (i + s.spread + 1) * point
		reach := s.spread*point + point/2
		op := &ops[i]
		*op = Operation{Key: "k", Node: fmt.Sprintf("n%d", 1+roll(5)),
			Call: time.Duration(at - roll(reach)), Return: time.Duration(at + roll(reach))}
		op.Outcome = OK
		switch n := roll(100); {
		case n < s.cas:
			op.Kind, op.Value, op.Expect = CAS, fmt.Sprintf("v%d", i), fmt.Sprintf("v%d", roll(i+1)-1) // v-1 is never written
			if holds != nil && roll(2) == 0 {
				op.Expect = *holds
			}
		case n < s.cas+s.deletes:
			op.Kind = Delete
		case n < s.cas+s.deletes+(100-s.cas-s.deletes)/2:
			op.Kind, op.Value = Put, fmt.Sprintf("v%d", i)
		default:
			op.Kind = Get
		}
		ends[i] = op.Return
		if roll(100) < s.failures {
			op.Outcome = Failed
			continue
		}
		unknown := op.Kind != Get && roll(100) < s.unknowns
		if unknown {
			op.Outcome = Unknown
		}
		if unknown && roll(2) == 0 {
			continue // it never happens
		}
		met := version
		swaps := op.Kind == CAS && holds != nil && *holds == op.Expect
		if op.Kind != Get {
			index++ // also for a cas that is refused: it is in the log
		}
		if op.Kind == Put || op.Kind == Delete || swaps {
			entry := LogEntry{Index: index, Term: 1 + index/5, Kind: Put, Key: op.Key, Value: op.Value}
			if op.Kind == Delete {
				entry.Kind = Delete
			}
			log = append(log, entry)
			version = index
		}
		holds = takeEffect(op, holds)
		if op.Outcome == OK {
			op.Index, op.Term = index, 1+index/5
			if op.Kind == Get && holds != nil || op.Kind == CAS && !swaps && holds != nil {
				op.Version = met
			}
		}
	}
	number(ops)
	return ops, log
}

// takeEffect applies op to what the key holds, and fills in its answer if it has one.
func takeEffect(op *Operation, holds *string) *string {
	switch op.Kind {
	case Get:
		op.Got = holds
	case Put:
		return Value(op.Value)
	case Delete:
		return nil
	case CAS:
		if holds != nil && *holds == op.Expect {
			op.Swapped = op.Outcome == OK
			return Value(op.Value)
		}
	}
	return holds
}

// number gives ids in the order of the calls, and each operation a process that is free.
func number(ops []Operation) {
	slices.SortStableFunc(ops, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
	var free []time.Duration // per process, when its last operation ended
	for i := range ops {
		op := &ops[i]
		op.ID, op.Process = int64(i+1), len(free)
		for p, at := range free {
			if at < op.Call {
				op.Process = p
				break
			}
		}
		end := op.Return
		if op.Outcome == Unknown {
			end = 1 << 60
		}
		if op.Process == len(free) {
			free = append(free, 0)
		}
		free[op.Process] = end
	}
}

// disturb changes one thing that a client saw, or when. The history may stay linearizable.
func disturb(roll dice, ops []Operation) {
	op := &ops[roll(len(ops))]
	value := func() string { return fmt.Sprintf("v%d", roll(len(ops)+1)) }
	switch roll(5) {
	case 0: // another answer
		switch {
		case op.Kind == Get && op.Outcome == OK && roll(4) == 0:
			op.Got = nil
		case op.Kind == Get && op.Outcome == OK:
			op.Got = Value(value())
		case op.Kind == CAS && op.Outcome == OK:
			op.Swapped = !op.Swapped
		}
	case 1: // later
		by := time.Duration(roll(5000))
		op.Call, op.Return = op.Call+by, op.Return+by
	case 2: // shorter
		op.Return = op.Call + (op.Return-op.Call)/2
	case 3: // another outcome
		if op.Outcome = []Outcome{OK, Failed, Unknown}[roll(3)]; op.Outcome != OK {
			op.Got, op.Swapped = nil, false
		}
	case 4:
		if v := value(); op.Kind == CAS && v != op.Value {
			op.Expect = v
		}
	}
	number(ops)
}

// coarsen widens operations to full points, so that many of them touch in one instant.
func coarsen(ops []Operation) {
	for i := range ops {
		ops[i].Call = max(1, ops[i].Call/1000*1000)
		ops[i].Return = (ops[i].Return + 999) / 1000 * 1000
	}
	number(ops)
}

// staleRead makes one read return the value that was there before the last write that it must have seen, and
// reports whether it found a place for it.
func staleRead(ops []Operation) bool {
	for i := len(ops) * 3 / 4; i < len(ops); i++ {
		get := &ops[i]
		if get.Kind != Get || get.Outcome != OK {
			continue
		}
		var done []*Operation // puts that returned before the read began, by their returns
		for j := range ops[:i] {
			if op := &ops[j]; op.Kind == Put && op.Outcome == OK && op.Return < get.Call {
				done = append(done, op)
			}
		}
		sortByReturn(done)
		if n := len(done); n > 1 {
			newest := done[n-1]
			for _, old := range done[:n-1] {
				if old.Return < newest.Call {
					get.Got = Value(old.Value)
					return true
				}
			}
		}
	}
	return false
}
