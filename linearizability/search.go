package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime/debug"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
)

// errMemory is why a search ended that would have needed more than its share.
var errMemory = errors.New("memory limit reached")

// search is one run of porcupine over one key that ends when it must.
//
// Porcupine 1.3.1 has a time-out but takes no context and knows no limit of memory: it keeps one cache entry
// per configuration that it has seen, and a run of ours died at 16 GB inside a limit of 10 s. So the limits
// live in the model, which porcupine asks before every step. Once a limit is reached the model refuses every
// step: the search can then only go back, allocates nothing, and ends within (operations x concurrency)
// steps. Its result is worthless by then, and spoilt says so: neither PASS nor FAIL may come of it.
//
// Memory is counted, not sampled: an accepted step makes one cache entry unless Equal then finds it in the
// cache. A history thus gets the same verdict on every machine, whatever else the process holds.
type search struct {
	register   register
	halt       atomic.Pointer[error] // set from outside: time is over, or the caller has gone
	entries    int64                 // in porcupine's cache; only porcupine's goroutine touches it
	entriesMax int64
	steps      int64
	spoilt     error // why the result is worthless
}

// entryBytes is what porcupine 1.3.1 keeps for one configuration of n operations: a bit set, a bucket of one
// (a slice header and an interface, 48 bytes as allocated) and a slot of the map (40 bytes, at worst 7/16
// full while a table grows). TestMemoryOfASearchIsBounded holds it against the real heap.
func entryBytes(n int) int64 {
	words := max(1, (n+63)/64)
	set := 8 * words
	if words > 2 {
		set += set / 8 // rounding to the size classes of the allocator wastes at most an eighth
	}
	return int64(set) + 48 + 96
}

// entryBudget is how many cache entries fit into a share of the memory limit.
func entryBudget(shareBytes int64, n int) int64 {
	// Every operation also costs a few list nodes and a place on the stack of the search.
	const operationBytes = 512
	return max(0, (shareBytes-int64(n)*operationBytes)/entryBytes(n))
}

// run searches ops to the end, or until ctx ends or the entries are used up. With info it also keeps the
// longest prefixes, for a drawing.
func (s *search) run(ctx context.Context, h *keyHistory, ops []porcupine.Operation, verbose bool) (Verdict, porcupine.LinearizationInfo, error) {
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		s.halt.Store(&cause)
	})
	defer stop()
	if ctx.Err() != nil {
		return Undecided, porcupine.LinearizationInfo{}, context.Cause(ctx)
	}
	var result porcupine.CheckResult
	var info porcupine.LinearizationInfo
	// A time-out of zero waits for porcupine's goroutine to end: none is left behind.
	if verbose {
		result, info = porcupine.CheckOperationsVerbose(s.model(h), ops, 0)
	} else {
		result = porcupine.CheckOperationsTimeout(s.model(h), ops, 0)
	}
	switch {
	case s.spoilt != nil:
		return Undecided, info, s.spoilt
	case result == porcupine.Ok:
		return Pass, info, nil
	case result == porcupine.Illegal:
		return Fail, info, nil
	default:
		return Undecided, info, fmt.Errorf("porcupine said %q", result)
	}
}

// model is the register as porcupine wants it, with the limits inside.
func (s *search) model(h *keyHistory) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return h.absent },
		Step: func(state, input, _ any) (ok bool, next any) {
			if s.spoilt != nil {
				return false, state
			}
			// Porcupine calls us on a goroutine of its own, where a panic would end the process.
			defer func() {
				if p := recover(); p != nil {
					s.spoilt = fmt.Errorf("the model panicked: %v\n%s", p, debug.Stack())
					ok, next = false, state
				}
			}()
			if cause := s.halt.Load(); cause != nil {
				s.spoilt = *cause
				return false, state
			}
			s.steps++
			ok, after := s.register(state.(*content), input.(*step))
			if ok {
				if s.entries++; s.entries > s.entriesMax {
					s.spoilt = errMemory
					return false, state
				}
			}
			return ok, after
		},
		Equal: func(a, b any) bool {
			if a != b {
				return false
			}
			s.entries-- // found in the cache: nothing was added after all
			return true
		},
		Hash: func(state any) uint64 { return bits.RotateLeft64(state.(*content).hash, 1) },
	}
}
