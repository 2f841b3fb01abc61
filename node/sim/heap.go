package sim

import "time"

type eventKind uint8

const (
	evTick    eventKind = iota // of a member's clock
	evArrive                   // a message reaches a member
	evWake                     // a member takes what arrived
	evSynced                   // an fsync ends
	evClient                   // a client goes on
	evRequest                  // a call reaches a member
	evReply                    // an answer reaches a client
	evCall                     // anything else
)

// event is what happens at a moment of virtual time. Of two at one moment, the one that was made first comes first.
type event struct {
	at   time.Duration
	seq  uint64
	kind eventKind
	life uint32 // of the member; another life's events are void
	who  int32  // slot of a member, or number of a client
	arg  int32  // place in a slab
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// heap has four children a node: fewer levels than two, and the children share a cache line or two.
type heap []event

func (h *heap) push(e event) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
	*h = s
}

func (h *heap) pop() event {
	s := *h
	first := s[0]
	n := len(s) - 1
	e := s[n]
	s = s[:n]
	*h = s
	if n == 0 {
		return first
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= n {
			break
		}
		for c := least + 1; c < min(4*i+5, n); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if !s[least].before(&e) {
			break
		}
		s[i] = s[least]
		i = least
	}
	s[i] = e
	return first
}

// slab keeps values that events name by number, so that events stay small.
type slab[T any] struct {
	values []T
	free   []int32
}

func (s *slab[T]) put(v T) int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.values[i] = v
		return i
	}
	s.values = append(s.values, v)
	return int32(len(s.values) - 1)
}

func (s *slab[T]) take(i int32) T {
	var none T
	v := s.values[i]
	s.values[i] = none
	s.free = append(s.free, i)
	return v
}
