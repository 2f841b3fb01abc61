package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

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
type Registers struct {
	config RegistersConfig

	mu     sync.Mutex
	made   int                  // keys made so far: k0 to k<made-1>
	active []*register          // in use, config.Keys of them
	byKey  map[string]*register // active and retired
	writes map[int]int          // values made so far, per client
}

// register is what the workload knows of one key.
type register struct {
	key      string
	asked    int
	inFlight int
	unknown  int
	recent   []string // values that some reply has shown to be there at some time, newest last
}

// recentMax bounds the values that a compare-and-set chooses from: old ones never match.
const recentMax = 3

// NewRegisters makes the workload, or names the field that is wrong.
func NewRegisters(config RegistersConfig) (*Registers, error) {
	if err := config.defaults(); err != nil {
		return nil, err
	}
	w := &Registers{config: config, byKey: map[string]*register{}, writes: map[int]int{}}
	for range config.Keys {
		w.active = append(w.active, w.newRegister())
	}
	return w, nil
}

func (w *Registers) newRegister() *register {
	reg := &register{key: fmt.Sprintf("k%d", w.made)}
	w.made++
	w.byKey[reg.key] = reg
	return reg
}

func (w *Registers) Next(r *rand.Rand, client int) (linearizability.Operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	reg := w.choose(r)
	if reg == nil {
		return linearizability.Operation{}, false
	}
	op := linearizability.Operation{Kind: w.kind(r, len(reg.recent) > 0), Key: reg.key}
	switch op.Kind {
	case linearizability.Put:
		op.Value = w.value(client)
	case linearizability.CAS:
		op.Value = w.value(client)
		op.Expect = reg.recent[r.IntN(len(reg.recent))]
		if r.IntN(2) == 0 { // else most would lose the race against a newer value
			op.Expect = reg.recent[len(reg.recent)-1]
		}
	}
	reg.asked++
	reg.inFlight++
	if reg.asked >= w.config.OpsPerKey {
		w.retire(reg)
	}
	return op, true
}

// choose draws one of the keys that may take another client, nil if none may.
func (w *Registers) choose(r *rand.Rand) *register {
	var free []*register
	for _, reg := range w.active {
		if reg.inFlight < w.config.ClientsPerKey {
			free = append(free, reg)
		}
	}
	if len(free) == 0 {
		return nil
	}
	return free[r.IntN(len(free))]
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

func (w *Registers) value(client int) string {
	w.writes[client]++
	return fmt.Sprintf("c%d-%d", client, w.writes[client])
}

// retire puts a new key in the place of this one.
func (w *Registers) retire(reg *register) {
	if i := slices.Index(w.active, reg); i >= 0 {
		w.active[i] = w.newRegister()
	}
}

func (w *Registers) Observe(op linearizability.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	reg := w.byKey[op.Key]
	if reg == nil {
		return // not one of ours: a final read of a key that another workload wrote
	}
	reg.inFlight--
	switch {
	case op.Outcome == linearizability.OK && op.Kind == linearizability.Get && op.Got != nil:
		reg.saw(*op.Got)
	case op.Outcome == linearizability.OK && op.Kind == linearizability.Put,
		op.Outcome == linearizability.OK && op.Kind == linearizability.CAS && op.Swapped:
		reg.saw(op.Value)
	case op.Outcome == linearizability.Unknown && op.Kind != linearizability.Get:
		// A read of unknown outcome changed nothing: the checker drops it.
		if reg.unknown++; reg.unknown == w.config.UnknownsPerKey {
			w.retire(reg)
		}
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

func (w *Registers) Keys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []string
	for i := range w.made {
		if key := fmt.Sprintf("k%d", i); w.byKey[key].asked > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}
