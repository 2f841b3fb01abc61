package harness

import (
	"math/rand/v2"

	"raftlab/linearizability"
)

// Lists appends to lists, over compare-and-set: a key is created by one put, then clients read it, and try to put the list
// that they saw last with one element more in its place. An element is tried once, so values are unique. What it finds that
// registers do not is what is lost or doubled over a long time: the last list has everything that was ever acknowledged.
type Lists struct{ *rotation[list] }

type list struct {
	newest   string // the longest list that some reply has shown; empty: not created yet
	creating bool
}

// NewLists takes Keys, ClientsPerKey, OpsPerKey and UnknownsPerKey of config, or names the field that is wrong.
func NewLists(config RegistersConfig) (*Lists, error) {
	config.Weights = Weights{Get: 1, CAS: 1}
	keys, err := newRotation[list]("l", config)
	if err != nil {
		return nil, err
	}
	return &Lists{keys}, nil
}

// Asks are the kinds that clients must be served while something is broken: a put happens once in the life of a key.
func (w *Lists) Asks() []linearizability.Kind {
	return []linearizability.Kind{linearizability.Get, linearizability.CAS}
}

func (w *Lists) Next(r *rand.Rand, client int) (linearizability.Operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.take(r)
	if s == nil {
		return linearizability.Operation{}, false
	}
	op, l := linearizability.Operation{Kind: linearizability.Get, Key: s.key}, &s.seen
	switch {
	case l.newest == "" && !l.creating:
		l.creating = true
		op.Kind, op.Value = linearizability.Put, w.word(client)
	case l.newest != "" && r.IntN(2) == 0:
		op.Kind, op.Expect = linearizability.CAS, l.newest
		op.Value = l.newest + " " + w.word(client)
	}
	return op, true
}

func (w *Lists) Observe(op linearizability.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.give(op)
	if s == nil {
		return
	}
	if op.Kind == linearizability.Put && op.Outcome != linearizability.OK {
		w.retire(s) // whether it was created is not known, and it must not be created twice
	}
	if value, ok := shown(op); ok && len(value) > len(s.seen.newest) {
		s.seen.newest = value
	}
}
