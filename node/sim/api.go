package sim

import (
	"errors"

	"raftlab/linearizability"
	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// answer is what a member says.
type answer struct {
	err    error
	toward raft.ID // not here, but there
	index  raft.Index
	term   raft.Term // of the entry at index
	here   bool      // a read: the key exists; a write: it existed before
	value  string
	etag   raft.Index
	done   bool // a write: its condition held
	repeat bool
	reused bool // the idempotency key was that of another request
	gone   bool // the idempotency key may have been forgotten
}

var errNotHere = errors.New("sim: this member does not lead")
var errRefused = errors.New("sim: connection refused")

// request is what a member does with a call: what its API does.
func (w *world) request(m *member, x *call, back func(answer)) {
	if !m.up {
		back(answer{err: errRefused})
		return
	}
	life := m.life
	if x.kind == linearizability.Get {
		floor := w.watch.Committed()
		m.inbox.Reads = append(m.inbox.Reads, func(granted raft.Index, err error) {
			if m.life != life || !m.up {
				return
			}
			if err != nil {
				back(answer{err: err})
				return
			}
			w.readGranted(m, x, granted, floor)
			item, ok, at := m.store.Get(x.key)
			if x.list {
				w.listed(m, m.list(), at.Index)
			}
			if m.role != raft.Leader {
				w.mark(readAtFollower)
			}
			back(answer{index: at.Index, term: at.Term, here: ok, value: string(item.Value), etag: item.ModIndex})
		})
		w.rouse(m)
		return
	}
	if r := m.raft(); r.Role() != raft.Leader {
		back(answer{err: errNotHere, toward: r.Leader()})
		return
	}
	m.inbox.Proposals = append(m.inbox.Proposals, driver.Proposal{Command: x.data, Answer: func(a driver.Applied, err error) {
		if err != nil {
			back(answer{err: err})
			return
		}
		result := a.Result.(kv.Result)
		back(answer{index: result.Index, term: result.Term, here: result.Existed, done: result.Done, repeat: result.Repeat, etag: result.Current,
			reused: errors.Is(result.Err, kv.ErrKeyReused), gone: errors.Is(result.Err, kv.ErrKeyForgotten)})
	}})
	w.rouse(m)
}

// list follows the pages of a list of all keys.
func (m *member) list() (all []kv.Entry) {
	for after, more := "", true; more; {
		var page []kv.Entry
		if page, more, _ = m.store.List("", after, 2); len(page) > 0 {
			after = page[len(page)-1].Key
		}
		all = append(all, page...)
	}
	return all
}
