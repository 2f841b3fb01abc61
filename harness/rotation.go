package harness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"raftlab/linearizability"
)

// rotation is the keys that a workload asks for: so many in use at a time, each with a bound on who asks at once, on how
// often it is asked, and on unknown outcomes; then another takes its place. What a workload knows of a key is its S.
type rotation[S any] struct {
	config RegistersConfig
	prefix string

	mu     sync.Mutex // of all below, and of every S
	made   int        // keys made so far: the prefix with 0 to made-1
	active []*slot[S] // in use, config.Keys of them
	byKey  map[string]*slot[S]
	words  map[int]int // words made so far, per client
}

type slot[S any] struct {
	key      string
	asked    int
	inFlight int
	unknown  int
	seen     S
}

func newRotation[S any](prefix string, config RegistersConfig) (*rotation[S], error) {
	if err := config.defaults(); err != nil {
		return nil, err
	}
	k := &rotation[S]{config: config, prefix: prefix, byKey: map[string]*slot[S]{}, words: map[int]int{}}
	for range config.Keys {
		k.active = append(k.active, k.make())
	}
	return k, nil
}

func (k *rotation[S]) make() *slot[S] {
	s := &slot[S]{key: fmt.Sprintf("%s%d", k.prefix, k.made)}
	k.made++
	k.byKey[s.key] = s
	return s
}

// take draws one of the keys that may have another client, nil if none may, and counts the operation that will be asked.
func (k *rotation[S]) take(r *rand.Rand) *slot[S] {
	var free []*slot[S]
	for _, s := range k.active {
		if s.inFlight < k.config.ClientsPerKey {
			free = append(free, s)
		}
	}
	if len(free) == 0 {
		return nil
	}
	s := free[r.IntN(len(free))]
	s.inFlight++
	if s.asked++; s.asked >= k.config.OpsPerKey {
		k.retire(s)
	}
	return s
}

// give counts the end of an operation, and returns its key: nil of a key that is not ours, as the final reads of another
// workload's are. A read of unknown outcome changed nothing: the checker drops it.
func (k *rotation[S]) give(op linearizability.Operation) *slot[S] {
	s := k.byKey[op.Key]
	if s == nil {
		return nil
	}
	s.inFlight--
	if op.Outcome == linearizability.Unknown && op.Kind != linearizability.Get {
		if s.unknown++; s.unknown == k.config.UnknownsPerKey {
			k.retire(s)
		}
	}
	return s
}

// retire puts a new key in the place of this one.
func (k *rotation[S]) retire(s *slot[S]) {
	if i := slices.Index(k.active, s); i >= 0 {
		k.active[i] = k.make()
	}
}

// word is one that no client has said before.
func (k *rotation[S]) word(client int) string {
	k.words[client]++
	return fmt.Sprintf("c%d-%d", client, k.words[client])
}

// Keys returns every key that was ever asked for, oldest first.
func (k *rotation[S]) Keys() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []string
	for i := range k.made {
		if key := fmt.Sprintf("%s%d", k.prefix, i); k.byKey[key].asked > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// shown is the value that a reply has shown to be at the key at some time.
func shown(op linearizability.Operation) (value string, ok bool) {
	switch {
	case op.Outcome != linearizability.OK:
	case op.Kind == linearizability.Get && op.Got != nil:
		return *op.Got, true
	case op.Kind == linearizability.Put, op.Swapped:
		return op.Value, true
	}
	return "", false
}
