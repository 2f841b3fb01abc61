package modelcheck

import (
	"raftlab/raft"
	"raftlab/raft/safety"
)

// Each distinct member, message and history is kept once and known by a number, so that a state of the cluster is a few
// numbers, and what one action does to one member is computed once however many states it happens in.

// renaming is one permutation of the members that are voters at the start. These are alike but for their ids, so states
// that a renaming makes equal are explored once (symmetry reduction; Ip and Dill 1996).
type renaming []raft.ID // by id

func (p renaming) as(id raft.ID) raft.ID {
	if int(id) < len(p) {
		return p[id]
	}
	return id
}

// renamings lists all permutations of ids 1 to n, the identity first.
func renamings(n int) []renaming {
	all := []renaming{{0}}
	for id := 1; id <= n; id++ {
		var longer []renaming
		for _, p := range all {
			for at := len(p); at >= 1; at-- {
				q := append(append(append(renaming{}, p[:at]...), raft.ID(id)), p[at:]...)
				longer = append(longer, q)
			}
		}
		all = longer
	}
	return all
}

// table keeps values by number. sums holds, for each, its hash under each renaming.
type table[T any] struct {
	renamings int
	values    []T
	sums      []uint64
	known     map[uint64]uint32 // by the hash under the identity
}

func newTable[T any](renamings int) *table[T] {
	return &table[T]{renamings: renamings, known: map[uint64]uint32{}}
}

// add returns the number of a value, a new one if none with its hash is known.
func (t *table[T]) add(v T, hash func(T, int) uint64) uint32 {
	sum := hash(v, 0)
	if n, ok := t.known[sum]; ok {
		return n
	}
	n := uint32(len(t.values))
	t.values = append(t.values, v)
	t.known[sum] = n
	t.sums = append(t.sums, sum)
	for p := 1; p < t.renamings; p++ {
		t.sums = append(t.sums, hash(v, p))
	}
	return n
}

func (t *table[T]) sum(n uint32, renaming int) uint64 { return t.sums[int(n)*t.renamings+renaming] }

// scramble is the finalizer of SplitMix64: sums of scrambled words tell multisets apart.
func scramble(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (w *world) hashMember(m *member, renaming int) uint64 {
	as := w.renamings[renaming].as
	sum := scramble(m.raft.HashAs(as)) + 3*scramble(m.disk.HashAs(as))
	for _, s := range m.saves {
		sum = scramble(sum) + raft.Stored{HardState: s.HardState, Base: s.Done.Index, BaseTerm: s.Done.Term, Entries: s.Entries}.HashAs(as)
		for _, then := range s.Then {
			sum = scramble(sum) + then.HashAs(as)
		}
	}
	return scramble(sum)
}

func (w *world) hashMessage(m raft.Message, renaming int) uint64 {
	return scramble(m.HashAs(w.renamings[renaming].as) + 1)
}

func (w *world) hashHistory(h *safety.History, renaming int) uint64 {
	return scramble(h.HashAs(w.renamings[renaming].as) + 2)
}

// seen is a set of hashes by open addressing, with what each state was reached from.
type seen struct {
	slots  []uint32 // number of the state, plus one
	hashes []uint64 // by number
	parent []uint32
}

func newSeen() *seen { return &seen{slots: make([]uint32, 1<<16)} }

// add reports whether a hash is new, and the number of its state.
func (s *seen) add(hash uint64, parent uint32) (uint32, bool) {
	if 2*len(s.hashes) >= len(s.slots) {
		s.grow()
	}
	at := s.find(hash)
	if s.slots[at] != 0 {
		return s.slots[at] - 1, false
	}
	n := uint32(len(s.hashes))
	s.hashes, s.parent = append(s.hashes, hash), append(s.parent, parent)
	s.slots[at] = n + 1
	return n, true
}

func (s *seen) find(hash uint64) int {
	mask := len(s.slots) - 1
	for at := int(hash) & mask; ; at = (at + 1) & mask {
		if n := s.slots[at]; n == 0 || s.hashes[n-1] == hash {
			return at
		}
	}
}

func (s *seen) grow() {
	s.slots = make([]uint32, 2*len(s.slots))
	for n, hash := range s.hashes {
		s.slots[s.find(hash)] = uint32(n) + 1
	}
}
