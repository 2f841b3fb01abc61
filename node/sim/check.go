package sim

import (
	"fmt"
	"io"
	"slices"

	"raftlab/linearizability"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// machine is a member's state machine: the real one, and a witness beside it.
type machine struct {
	*kv.Store
	w *world
	m *member
}

func (s machine) Apply(e raft.Entry) any {
	result := s.Store.Apply(e).(kv.Result)
	s.m.told.applied(e, result)
	s.w.applied(s.m, e, result, s.Store.Hash())
	return result
}

func (s machine) Restore(from io.Reader) error {
	if err := s.Store.Restore(from); err != nil {
		return err
	}
	hash, index := s.Store.HashAt()
	s.m.told = told{before: index}
	s.w.restored(s.m, index, hash)
	return nil
}

// ledger is what the cluster has agreed on, seen from outside: each entry that any member has applied, and a model of
// the store that is too simple to be wrong in the same way. What it holds never changes.
type ledger struct {
	agreed   []agreed // by index, from 1
	versions map[string][]version
	sessions map[string]session    // by idempotency key
	keys     []string              // of sessions, in the order of the log
	keysMax  int                   // then the oldest is forgotten
	writes   map[string]*call      // by value, which is unique: who called it
	since    map[string]raft.Index // by idempotency key of a command that says since when it has been tried, for ever: where it was carried out
}

// session is the first request with an idempotency key, and what it was told.
type session struct {
	request string
	told    kv.Result
}

// agreed is one entry and what it did.
type agreed struct {
	term   raft.Term
	hash   uint64 // of the state after it
	result kv.Result
	key    string
	value  string // of a put
	keys   int    // that there are after it
}

// version is what a key holds from an index on.
type version struct {
	index raft.Index
	here  bool
	value string
}

func newLedger(keysMax int) ledger {
	return ledger{
		agreed: make([]agreed, 1), versions: map[string][]version{}, sessions: map[string]session{}, writes: map[string]*call{},
		since: map[string]raft.Index{}, keysMax: keysMax,
	}
}

// remembered is how many idempotency keys the cluster remembers.
func (w *world) remembered() int {
	if n := w.plan.Remembered; n > 0 {
		return n
	}
	return kv.SessionsMax
}

func (l *ledger) last() raft.Index { return raft.Index(len(l.agreed)) - 1 }

// at is what a key holds after an entry.
func (l *ledger) at(key string, i raft.Index) version {
	v := l.versions[key]
	n, _ := slices.BinarySearchFunc(v, i+1, func(v version, i raft.Index) int { return int(v.index) - int(i) })
	if n == 0 {
		return version{}
	}
	return v[n-1]
}

// applied checks what a member has applied: the same entry, with the same result and the same state after it, as
// everybody else; and, the first time, what the model says.
func (w *world) applied(m *member, e raft.Entry, got kv.Result, hash uint64) {
	l := &w.ledger
	w.sum(uint64(e.Index)<<20|uint64(e.Term), hash)
	switch {
	case e.Index <= l.last():
		switch a := &l.agreed[e.Index]; {
		case a.term != e.Term:
			w.fail("ledger", "%v applied entry %d of term %d; others applied one of term %d there", m.id, e.Index, e.Term, a.term)
		case a.result != got:
			w.fail("ledger", "%v applied entry %d: %s; to others it was: %s", m.id, e.Index, answered(got), answered(a.result))
		case a.hash != hash:
			w.fail("ledger", "%v applied entry %d and has state %016x; others applied it and had %016x", m.id, e.Index, hash, a.hash)
		}
		return
	case e.Index > l.last()+1:
		w.fail("ledger", "%v applied entry %d, and nobody has applied entry %d", m.id, e.Index, l.last()+1)
		return
	}
	a := agreed{term: e.Term, hash: hash, result: got, keys: l.agreed[e.Index-1].keys}
	want := kv.Result{Index: e.Index, Term: e.Term, Done: true}
	if e.Type == raft.EntryCommand {
		c, err := kv.Decode(e.Data)
		if err != nil {
			w.fail("ledger", "entry %d is no command: %v", e.Index, err)
			return
		}
		a.key, a.value = c.Key, string(c.Value)
		w.onceOnly(m, c, e, got)
		want = l.model(c, e)
		switch {
		case !want.Done || want.Repeat:
		case c.Op == kv.Put && !want.Existed:
			a.keys++
		case c.Op == kv.Delete && want.Existed:
			a.keys--
		}
		if by := l.writes[a.value]; c.Op == kv.Put && by != nil && by.outcome == linearizability.Failed && !want.Repeat && want.Err == nil {
			w.fail("ledger", "call %d was told for certain that it had failed, and is entry %d", by.id, e.Index)
		}
	}
	l.agreed = append(l.agreed, a)
	if want != got {
		w.fail("ledger", "%v applied entry %d: %s; the model says: %s", m.id, e.Index, answered(got), answered(want))
	}
}

// onceOnly: a command that says since when it has been tried is carried out once, however late it comes again and whatever was
// forgotten. It asks the answer, not the model: both could forget alike.
func (w *world) onceOnly(m *member, c kv.Command, e raft.Entry, got kv.Result) {
	if c.Since == 0 || got.Err != nil || got.Repeat {
		return
	}
	if before, done := w.ledger.since[c.IdempotencyKey]; done {
		w.fail("ledger", "%v carried out at entry %d what entry %d had done, though it says that it was tried since entry %d", m.id, e.Index, before, c.Since)
	}
	w.ledger.since[c.IdempotencyKey] = e.Index
}

// answered says what a client is told.
func answered(r kv.Result) string {
	words := fmt.Sprintf("done by entry %d of term %d", r.Index, r.Term)
	switch {
	case r.Err != nil:
		words = fmt.Sprintf("refused by entry %d of term %d (%v)", r.Index, r.Term, r.Err)
	case !r.Done:
		words = fmt.Sprintf("its condition failed at entry %d of term %d", r.Index, r.Term)
	}
	if r.Existed {
		words += ", the key was there"
	}
	if r.Current > 0 {
		words += fmt.Sprintf(", its version is %d now", r.Current)
	}
	if r.Repeat {
		words += ", told again"
	}
	return words
}

// restored checks the state that a snapshot brought.
func (w *world) restored(m *member, index raft.Index, hash uint64) {
	w.mark(checkedRestored)
	if index > w.ledger.last() || w.ledger.agreed[index].hash != hash {
		w.fail("ledger", "%v restored a snapshot of entries up to %d with state %016x, which is not the state that others had there", m.id, index, hash)
	}
}

// model is the store in a few lines: conditions, sessions, versions.
func (l *ledger) model(c kv.Command, e raft.Entry) kv.Result {
	request := ""
	if c.IdempotencyKey != "" {
		request = requestOf(c)
		if first, ok := l.sessions[c.IdempotencyKey]; ok && first.request != request {
			return kv.Result{Index: e.Index, Term: e.Term, Err: kv.ErrKeyReused}
		} else if ok {
			first.told.Repeat = true
			return first.told
		}
		if c.Since != 0 && len(l.keys) >= l.keysMax && l.sessions[l.keys[0]].told.Index > c.Since+1 { // of those before the oldest, nobody knows
			return kv.Result{Index: e.Index, Term: e.Term, Err: kv.ErrKeyForgotten}
		}
	}
	old := l.at(c.Key, e.Index)
	r := kv.Result{Index: e.Index, Term: e.Term, Existed: old.here}
	if old.here {
		r.Current = old.index
	}
	holds := (c.IfMatch == 0 || r.Current == c.IfMatch) && (!c.IfExists || old.here) && (!c.IfNoneMatch || !old.here)
	if holds {
		r.Done, r.Current = true, 0
		if c.Op == kv.Put {
			r.Current = e.Index
		}
		l.versions[c.Key] = append(l.versions[c.Key], version{e.Index, c.Op == kv.Put, string(c.Value)})
	}
	if c.IdempotencyKey != "" {
		l.sessions[c.IdempotencyKey] = session{request, r}
		if l.keys = append(l.keys, c.IdempotencyKey); len(l.keys) > l.keysMax {
			delete(l.sessions, l.keys[0])
			l.keys = l.keys[1:]
		}
	}
	return r
}

// requestOf is all of a command but its idempotency key, and since when it has been tried.
func requestOf(c kv.Command) string {
	c.IdempotencyKey, c.Since = "", 0
	b, err := c.AppendBinary(nil)
	if err != nil {
		panic(fmt.Sprintf("sim: a command that was decoded cannot be encoded: %v", err))
	}
	return string(b)
}

// listed checks what a member listed, page after page, at one index: all keys that there are, each with its value.
func (w *world) listed(m *member, list []kv.Entry, at raft.Index) {
	w.mark(checkedListed)
	l := &w.ledger
	if at > l.last() || len(list) != l.agreed[at].keys {
		w.fail("ledger", "%v lists %d keys after entry %d; there are others", m.id, len(list), at)
		return
	}
	for i, e := range list {
		if v := l.at(e.Key, at); !v.here || v.value != string(e.Item.Value) || v.index != e.Item.ModIndex || i > 0 && e.Key <= list[i-1].Key {
			w.fail("ledger", "%v lists key %s with %q of entry %d after entry %d; the ledger has %q of entry %d", m.id, e.Key, e.Item.Value, e.Item.ModIndex, at, v.value, v.index)
		}
	}
}

// readGranted checks the index from which on a member may answer a read: it is not before what anybody had committed when the
// member was asked. What the member answers then is mostly newer, and shows a mistake about this once in a thousand times.
func (w *world) readGranted(m *member, c *call, granted, floor raft.Index) {
	w.mark(checkedReadGranted)
	if granted < floor {
		w.fail("stale", "%v may answer call %d from entry %d on; entry %d was committed before it was asked", m.id, c.id, granted, floor)
	}
}

// answered checks an answer that a client got against the ledger: an index that is not before what anybody had committed
// when the call began, which is more than what had been acknowledged, the value that the key held there, the command that stands there.
func (w *world) answered(c *call, a answer) {
	w.mark(checkedAnswered)
	l := &w.ledger
	if a.index > l.last() {
		w.fail("ledger", "call %d (%v) was answered with entry %d; the last that anybody applied is %d", c.id, c.kind, a.index, l.last())
		return
	}
	if c.kind == linearizability.Get {
		if a.index < c.floor {
			w.fail("stale", "call %d read the state after entry %d; entry %d was committed before it began", c.id, a.index, c.floor)
		}
		if v := l.at(c.key, a.index); v.here != a.here || v.value != a.value {
			w.fail("ledger", "call %d read %q of key %s after entry %d; the ledger has %q", c.id, a.value, c.key, a.index, v.value)
		}
	} else {
		if at := l.agreed[a.index]; at.key != c.key || at.value != c.value {
			w.fail("ledger", "call %d wrote %q and was answered with entry %d, which is of %q", c.id, c.value, a.index, at.value)
		}
		if a.index <= c.floor && c.attempt == 1 && !a.repeat { // the same request with the same key was an earlier call
			w.fail("stale", "call %d wrote entry %d; entry %d was committed before it began", c.id, a.index, c.floor)
		}
	}
	w.history.acknowledged = max(w.history.acknowledged, a.index)
}
