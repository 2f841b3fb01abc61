package kv

import (
	"io"
	"slices"
	"sync"

	"raftlab/raft"
)

// Told is a Store that remembers what it was told to write, for a lab that holds what members claim against what they did.
// A log does not remember: it is cut off behind a snapshot.
type Told struct {
	*Store

	mu     sync.Mutex
	before raft.Index // the entries up to here are not remembered: a snapshot had them, or they were too many
	last   raft.Index
	writes []Write
	bytes  int
}

// Write is a command that took effect, at the index at which it did.
type Write struct {
	Index raft.Index
	Term  raft.Term
	Op    Op
	Key   string
	Value []byte // Put only
}

// toldBytesMax bounds the keys and values that are remembered.
const toldBytesMax = 16 << 20

// NewTold remembers from where s is now.
func NewTold(s *Store) *Told { return &Told{Store: s, before: s.Applied(), last: s.Applied()} }

// Apply applies, and remembers the command if it took effect: not one whose condition did not hold, nor one that an
// idempotency key has made take effect before.
func (t *Told) Apply(e raft.Entry) any {
	applied := t.Store.Apply(e)
	result, _ := applied.(Result)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = e.Index
	if e.Type != raft.EntryCommand || !result.Done || result.Repeat {
		return applied
	}
	c, err := Decode(e.Data)
	if err != nil { // then it was not done
		return applied
	}
	t.writes = append(t.writes, Write{Index: e.Index, Term: e.Term, Op: c.Op, Key: c.Key, Value: slices.Clone(c.Value)})
	t.bytes += len(c.Key) + len(c.Value)
	if t.bytes > toldBytesMax {
		t.forget()
	}
	return applied
}

// forget drops the older half.
func (t *Told) forget() {
	n := (len(t.writes) + 1) / 2
	t.before = t.writes[n-1].Index
	t.writes = slices.Clone(t.writes[n:])
	t.bytes = 0
	for _, w := range t.writes {
		t.bytes += len(w.Key) + len(w.Value)
	}
}

// Restore replaces the state, and what was remembered: what led to the new one is not known.
func (t *Told) Restore(from io.Reader) error {
	if err := t.Store.Restore(from); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.last = t.Applied(), t.Applied()
	t.writes, t.bytes = nil, 0
	return nil
}

// Writes are all that took effect behind before and up to last, in order. The caller must not change them.
func (t *Told) Writes() (writes []Write, before, last raft.Index) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.writes), t.before, t.last
}
