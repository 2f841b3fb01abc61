package kv

import (
	"fmt"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"raftlab/raft"
)

// Item is what a key holds. Who gets an Item must not change its Value.
type Item struct {
	Value       []byte
	ContentType string
	ModIndex    raft.Index // of the entry that wrote it last; a key that is made again never reuses one

	sum contents // itemSum
}

// Result is what the proposer of a command is told.
type Result struct {
	Index   raft.Index // of the command that decided this: of an earlier one if Repeat
	Term    raft.Term  // of the same
	Done    bool       // written or deleted; false if a condition failed or the command is malformed
	Existed bool       // the key existed before
	Current raft.Index // ModIndex of the key after the command; 0 if it does not exist then
	Repeat  bool       // the idempotency key was seen before with this request; all else is what that was told
	Err     error      // ErrMalformed: no command; ErrKeyReused: another request had the idempotency key. Nothing was changed
}

// ConditionFailed reports that the command was well formed and its condition did not hold.
func (r Result) ConditionFailed() bool { return !r.Done && r.Err == nil }

// Position is the place in the log up to which a read saw the state.
type Position struct {
	Index raft.Index
	Term  raft.Term // of the entry at Index
}

// Store is the map at one position of the log. Apply belongs to one goroutine; everything else may be
// called from any, at any time.
//
// Readers are kept apart from Apply by a lock and not by publishing an immutable copy for each entry,
// because btree.Map's Copy makes the next write clone every node on its path. With 100,000 keys of 256
// bytes on two cores a put then costs 5.5 µs and 4.7 KB instead of 1.5 µs and 0.4 KB (BenchmarkApply against
// BenchmarkApplyCopying). What is done under the lock is bounded: one key, or one page of a list. Readers may
// share the tree: btree.Map's Get and Ascend write nothing (they load nodes with mut=false).
type Store struct {
	mu sync.RWMutex
	state
}

// state is everything that the log has made: what a snapshot holds, and nothing more.
type state struct {
	items    *btree.Map[string, *Item] // an Item is replaced, never changed
	itemsSum contents
	sessions sessions
	at       Position
	chain    chain
}

func newState(sessionsMax int) state {
	return state{items: btree.NewMap[string, *Item](0), sessions: newSessions(sessionsMax)}
}

// copy shares with the original what neither changes later. It marks both as shared, so it counts as a write.
func (s *state) copy() state {
	c := *s
	c.items, c.sessions = s.items.Copy(), s.sessions.copy()
	return c
}

// New returns an empty store, before the first entry of the log.
func New() *Store { return NewRemembering(SessionsMax) }

// NewRemembering is New with so many idempotency keys instead of SessionsMax, for a lab that forgets some within a few
// commands. All members of a cluster must remember as many.
func NewRemembering(keys int) *Store { return &Store{state: newState(keys)} }

// Apply takes the next entry of the log, of any type, and returns a Result.
func (s *Store) Apply(e raft.Entry) any {
	var w write
	var err error
	if e.Type == raft.EntryCommand {
		w, err = prepare(e) // before the lock: it copies and hashes the value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Index != s.at.Index+1 {
		panic(fmt.Sprintf("kv: entry %d of term %d applied after entry %d of term %d", e.Index, e.Term, s.at.Index, s.at.Term))
	}
	result := Result{Index: e.Index, Term: e.Term}
	switch {
	case err != nil:
		result.Err = err
	case e.Type == raft.EntryCommand && w.command.IdempotencyKey != "":
		result = s.applyOnce(result, w)
	case e.Type == raft.EntryCommand:
		result = s.apply(result, w)
	default: // no-op, configuration: the map is not concerned
		result.Done = true
	}
	s.at = Position{Index: e.Index, Term: e.Term}
	s.chain.add(e, result)
	return result
}

// write is a command, and all that can be worked out of it without the state.
type write struct {
	command     Command
	item        *Item       // Put only
	fingerprint fingerprint // with an idempotency key only
}

func prepare(e raft.Entry) (write, error) {
	c, err := Decode(e.Data)
	if err != nil {
		return write{}, err
	}
	w := write{command: c}
	if c.Op == Put {
		w.item = &Item{Value: c.Value, ContentType: c.ContentType, ModIndex: e.Index}
		w.item.sum = itemSum(c.Key, w.item)
	}
	if c.IdempotencyKey != "" {
		w.fingerprint = fingerprintOf(c)
	}
	return w, nil
}

// apply decides the condition and carries the command out.
func (s *state) apply(result Result, w write) Result {
	c := &w.command
	old, existed := s.items.Get(c.Key)
	result.Existed = existed
	if existed {
		result.Current = old.ModIndex
	}
	switch {
	case c.IfMatch != 0 && result.Current != c.IfMatch,
		c.IfExists && !existed,
		c.IfNoneMatch && existed:
		return result
	}
	result.Done, result.Current = true, 0
	if existed {
		s.itemsSum -= old.sum
	}
	if c.Op == Delete {
		s.items.Delete(c.Key)
		return result
	}
	s.items.Set(c.Key, w.item)
	s.itemsSum += w.item.sum
	result.Current = w.item.ModIndex
	return result
}

// Get returns the item of a key, and the position at which that was so.
func (s *Store) Get(key string) (Item, bool, Position) {
	s.mu.RLock()
	item, ok := s.items.Get(key)
	at := s.at
	s.mu.RUnlock()
	if !ok {
		return Item{}, false, at
	}
	return *item, true, at
}

// Entry is a key and its item, in a list.
type Entry struct {
	Key  string
	Item Item
}

// List returns up to limit items in the order of their keys: those that begin with prefix and come after
// the key after. more says that there are others; at is the position of the whole page.
func (s *Store) List(prefix, after string, limit int) (page []Entry, more bool, at Position) {
	from := max(prefix, after)
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.items.Ascend(from, func(key string, item *Item) bool {
		switch {
		case key == after && after != "": // a page goes on behind its last key
			return true
		case !strings.HasPrefix(key, prefix):
			return false // from >= prefix, so the keys with the prefix are behind us
		case len(page) >= limit:
			more = true
			return false
		}
		page = append(page, Entry{Key: key, Item: *item})
		return true
	})
	return page, more, s.at
}

// Len is the number of keys.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.items.Len()
}

// Applied is the index of the last entry applied.
func (s *Store) Applied() raft.Index {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at.Index
}

// Hash is the hash of everything applied up to Applied, and of the state that it made.
func (s *Store) Hash() uint64 {
	hash, _ := s.HashAt()
	return hash
}

// HashAt is Hash together with the index that it belongs to: two members may be compared if they give
// the same index.
func (s *Store) HashAt() (uint64, raft.Index) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hash(), s.at.Index
}

// Clone returns a store of its own, at the same position. It takes the same short time for any number of
// keys: the two share what neither has changed since.
func (s *Store) Clone() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{state: s.copy()}
}
