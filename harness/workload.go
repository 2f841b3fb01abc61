package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"raftlab/linearizability"
)

// Workload decides what is asked next. It is a function of the random source and of what it has seen so
// far, and of nothing else: no clock, no hidden randomness. Methods are safe for concurrent use.
type Workload interface {
	// Next fills in Kind, Key, Value and Expect for the client. The operation counts as in flight until it is
	// given to Observe. It returns false where every key has as many clients as it may have; then ask again later.
	Next(r *rand.Rand, client int) (linearizability.Operation, bool)
	// Observe tells the workload how an operation of Next ended.
	Observe(op linearizability.Operation)
	// Keys returns every key that was ever asked for, oldest first.
	Keys() []string
}

// Weights say how often each kind is asked for, relative to the others.
type Weights struct{ Get, Put, Delete, CAS int }

// RegistersConfig bounds a Registers workload. Zero values mean the default. The bounds are what porcupine
// can decide: beyond ten clients at once on a key its search explodes, and unknown writes hide violations
// (measured, see design.md).
type RegistersConfig struct {
	Keys           int     // keys in use at a time, default 10
	ClientsPerKey  int     // operations in flight per key, default 5
	OpsPerKey      int     // then the key is retired, default 100
	UnknownsPerKey int     // writes of unknown outcome after which a key is retired, default 5
	Weights        Weights // default 4 get, 3 put, 1 delete, 2 cas
}

var defaultWeights = Weights{Get: 4, Put: 3, Delete: 1, CAS: 2}

func (c *RegistersConfig) defaults() error {
	for _, d := range []struct {
		name  string
		field *int
		value int
	}{
		{"Keys", &c.Keys, 10},
		{"ClientsPerKey", &c.ClientsPerKey, 5},
		{"OpsPerKey", &c.OpsPerKey, 100},
		{"UnknownsPerKey", &c.UnknownsPerKey, 5},
	} {
		if *d.field < 0 {
			return fmt.Errorf("harness: workload: %s is %d, it must not be negative", d.name, *d.field)
		}
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Weights == (Weights{}) {
		c.Weights = defaultWeights
	}
	w := c.Weights
	if w.Get < 0 || w.Put < 0 || w.Delete < 0 || w.CAS < 0 {
		return fmt.Errorf("harness: workload: weights %+v must not be negative", w)
	}
	if w.Get+w.Put+w.Delete == 0 {
		return errors.New("harness: workload: a compare-and-set needs values that others wrote: give get, put or delete a weight")
	}
	return nil
}

// Registers asks for gets, puts, deletes and compare-and-sets on keys k0, k1, ... Every value is written
// at most once, so a read says which write it saw. A key that has had its share of operations, or of unknown
// outcomes, is retired and replaced by the next.
type Registers struct{ *rotation[register] }

// register is the values that some reply has shown to be there at some time, newest last.
type register struct{ recent []string }

// recentMax bounds the values that a compare-and-set chooses from: old ones never match.
const recentMax = 3

// NewRegisters makes the workload, or names the field that is wrong.
func NewRegisters(config RegistersConfig) (*Registers, error) {
	keys, err := newRotation[register]("k", config)
	if err != nil {
		return nil, err
	}
	return &Registers{keys}, nil
}

func (w *Registers) Next(r *rand.Rand, client int) (linearizability.Operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.take(r)
	if s == nil {
		return linearizability.Operation{}, false
	}
	recent := s.seen.recent
	op := linearizability.Operation{Kind: w.kind(r, len(recent) > 0), Key: s.key}
	switch op.Kind {
	case linearizability.Put:
		op.Value = w.word(client)
	case linearizability.CAS:
		op.Value = w.word(client)
		op.Expect = recent[r.IntN(len(recent))]
		if r.IntN(2) == 0 { // else most would lose the race against a newer value
			op.Expect = recent[len(recent)-1]
		}
	}
	return op, true
}

// kind draws by weight; without a value to expect there is no compare-and-set.
func (w *Registers) kind(r *rand.Rand, canCAS bool) linearizability.Kind {
	weights := w.config.Weights
	if !canCAS {
		weights.CAS = 0
	}
	n := r.IntN(weights.Get + weights.Put + weights.Delete + weights.CAS)
	for _, choice := range []struct {
		kind   linearizability.Kind
		weight int
	}{
		{linearizability.Get, weights.Get},
		{linearizability.Put, weights.Put},
		{linearizability.Delete, weights.Delete},
	} {
		if n < choice.weight {
			return choice.kind
		}
		n -= choice.weight
	}
	return linearizability.CAS
}

func (w *Registers) Observe(op linearizability.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.give(op)
	if s == nil {
		return
	}
	if value, ok := shown(op); ok {
		s.seen.saw(value)
	}
}

// saw remembers a value to expect. The last reply is not always the last write, which is wanted: some
// compare-and-sets must be refused.
func (reg *register) saw(value string) {
	if i := slices.Index(reg.recent, value); i >= 0 {
		reg.recent = slices.Delete(reg.recent, i, i+1)
	}
	reg.recent = append(reg.recent, value)
	if len(reg.recent) > recentMax {
		reg.recent = slices.Delete(reg.recent, 0, 1)
	}
}

// Sessions asks for what Registers does, and its writes carry an idempotency key: one that has no answer is sent again, to one
// member after the other, and must be done once however often it arrives (Raft thesis §6.3). A write that is done twice, or
// that is answered as if it had not been done, breaks the history of a register: a compare-and-set that was done is refused
// when it arrives again, and a put that arrives late takes back what came after it.
type Sessions struct{ Registers }

// NewSessions makes the workload, or names the field that is wrong.
func NewSessions(config RegistersConfig) (*Sessions, error) {
	w, err := NewRegisters(config)
	if err != nil {
		return nil, err
	}
	return &Sessions{*w}, nil
}

func (w *Sessions) Next(r *rand.Rand, client int) (linearizability.Operation, bool) {
	op, ok := w.Registers.Next(r, client)
	switch {
	case !ok || op.Kind == linearizability.Get:
	case op.Kind == linearizability.Delete:
		w.mu.Lock()
		defer w.mu.Unlock()
		op.Once = w.word(client)
	default:
		op.Once = op.Value
	}
	return op, ok
}
