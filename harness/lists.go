package harness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"raftlab/linearizability"
)

// Lists appends to lists, over compare-and-set: a key is created by one put, then clients read it, and try to put the list
// that they saw last with one element more in its place. An element is tried once, so values are unique. What it finds that
// registers do not is what is lost or doubled over a long time: the last list has everything that was ever acknowledged.
type Lists struct {
	config RegistersConfig

	mu     sync.Mutex
	made   int
	active []*list
	byKey  map[string]*list
	tries  map[int]int // elements tried so far, per client
}

type list struct {
	key             string
	asked, inFlight int
	unknown         int
	newest          string // the longest list that some reply has shown; empty: not created yet
	creating        bool
}

// NewLists takes Keys, ClientsPerKey, OpsPerKey and UnknownsPerKey of config, or names the field that is wrong.
func NewLists(config RegistersConfig) (*Lists, error) {
	config.Weights = Weights{Get: 1, CAS: 1}
	if err := config.defaults(); err != nil {
		return nil, err
	}
	w := &Lists{config: config, byKey: map[string]*list{}, tries: map[int]int{}}
	for range config.Keys {
		w.active = append(w.active, w.newList())
	}
	return w, nil
}

// Asks are the kinds that clients must be served while something is broken: a put happens once in the life of a key.
func (w *Lists) Asks() []linearizability.Kind {
	return []linearizability.Kind{linearizability.Get, linearizability.CAS}
}

func (w *Lists) newList() *list {
	l := &list{key: fmt.Sprintf("l%d", w.made)}
	w.made++
	w.byKey[l.key] = l
	return l
}

func (w *Lists) Next(r *rand.Rand, client int) (linearizability.Operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var free []*list
	for _, l := range w.active {
		if l.inFlight < w.config.ClientsPerKey {
			free = append(free, l)
		}
	}
	if len(free) == 0 {
		return linearizability.Operation{}, false
	}
	l := free[r.IntN(len(free))]
	op := linearizability.Operation{Kind: linearizability.Get, Key: l.key}
	switch {
	case l.newest == "" && !l.creating:
		l.creating = true
		op.Kind, op.Value = linearizability.Put, w.element(client)
	case l.newest != "" && r.IntN(2) == 0:
		op.Kind, op.Expect = linearizability.CAS, l.newest
		op.Value = l.newest + " " + w.element(client)
	}
	l.asked++
	l.inFlight++
	if l.asked >= w.config.OpsPerKey {
		w.retire(l)
	}
	return op, true
}

func (w *Lists) element(client int) string {
	w.tries[client]++
	return fmt.Sprintf("c%d-%d", client, w.tries[client])
}

func (w *Lists) retire(l *list) {
	if i := slices.Index(w.active, l); i >= 0 {
		w.active[i] = w.newList()
	}
}

func (w *Lists) Observe(op linearizability.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.byKey[op.Key]
	if l == nil {
		return
	}
	l.inFlight--
	switch {
	case op.Outcome == linearizability.OK && op.Kind == linearizability.Get && op.Got != nil:
		l.saw(*op.Got)
	case op.Outcome == linearizability.OK && op.Kind == linearizability.Put, op.Outcome == linearizability.OK && op.Swapped:
		l.saw(op.Value)
	case op.Kind == linearizability.Put && op.Outcome != linearizability.OK:
		w.retire(l) // whether it was created is not known, and it must not be created twice
	case op.Outcome == linearizability.Unknown && op.Kind != linearizability.Get:
		if l.unknown++; l.unknown == w.config.UnknownsPerKey {
			w.retire(l)
		}
	}
}

func (l *list) saw(value string) {
	if len(value) > len(l.newest) {
		l.newest = value
	}
}

func (w *Lists) Keys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []string
	for i := range w.made {
		if key := fmt.Sprintf("l%d", i); w.byKey[key].asked > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}
