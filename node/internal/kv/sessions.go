package kv

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"raftlab/raft"
)

// SessionsMax is how many idempotency keys the cluster remembers: those that were first applied last.
//
// The promise, and where it ends: requests with one idempotency key take effect once, and all are told what
// the first was told, until SessionsMax newer keys have been applied. Then the key is forgotten, and a request
// with it is a new request, which takes effect again. At 1,000 such writes a second that is after ten seconds.
// Nobody can tell that from a first use, unless the client says since when it has been trying (Command.Since):
// then what may have been forgotten is refused with ErrKeyForgotten, and the promise has no end. Without that a
// client must end its retries before, or give a condition (If-Match, or If-None-Match: *), which holds for ever.
//
// The number decides what a command does, so it is part of the log's meaning: it cannot be an option of a
// member, and to change it takes a new version of the command.
const SessionsMax = 10_000

// ErrKeyReused is the result of a command whose idempotency key belongs to another request. It changes nothing.
var ErrKeyReused = errors.New("kv: idempotency key was used for another request")

// ErrKeyForgotten is the result of a command that was first sent before the oldest idempotency key that is remembered was
// applied: its own may have been forgotten, and the command have taken effect. It changes nothing.
var ErrKeyForgotten = errors.New("kv: idempotency key may have been forgotten")

// fingerprint tells requests apart. It is of a cryptographic hash: a client that can choose two requests with
// one fingerprint would be told that the second is done.
type fingerprint [16]byte

// fingerprintOf covers all of the request (operation, key, conditions, content type, value) but its
// idempotency key and since when it has been sent.
func fingerprintOf(c Command) fingerprint {
	value := c.Value
	c.Value, c.IdempotencyKey, c.Since = nil, "", 0
	head, err := c.AppendBinary(make([]byte, 0, c.Size()))
	if err != nil {
		panic("kv: decoded command is not valid: " + err.Error())
	}
	digest := sha256.New()
	digest.Write(head) // says itself where it ends
	digest.Write(value)
	return fingerprint(digest.Sum(nil)[:len(fingerprint{})])
}

// session is what is remembered of the first request with an idempotency key. It is never changed.
type session struct {
	key         string
	fingerprint fingerprint
	first       Result
}

// sum is its hash.
func (s *session) sum() contents {
	var b [8 + 8 + 8 + 1 + len(s.fingerprint)]byte
	binary.BigEndian.PutUint64(b[0:], uint64(s.first.Index))
	binary.BigEndian.PutUint64(b[8:], uint64(s.first.Term))
	binary.BigEndian.PutUint64(b[16:], uint64(s.first.Current))
	b[24] = s.flags()
	copy(b[25:], s.fingerprint[:])
	var digest xxhash.Digest
	digest.Reset()
	digest.Write(b[:])
	digest.WriteString(s.key)
	return contents(digest.Sum64())
}

const (
	sessionDone    = 1 << 0
	sessionExisted = 1 << 1
)

func (s *session) flags() (flags byte) {
	if s.first.Done {
		flags |= sessionDone
	}
	if s.first.Existed {
		flags |= sessionExisted
	}
	return flags
}

// sessions are the last max of them, in the order of the log. The oldest goes first, whether it was asked for
// again or not: so what is forgotten depends on the log alone, and a repeat writes nothing.
type sessions struct {
	byKey   *btree.Map[string, *session]
	byIndex *btree.Map[raft.Index, *session]
	sum     contents
	max     int
}

func newSessions(max int) sessions {
	return sessions{byKey: btree.NewMap[string, *session](0), byIndex: btree.NewMap[raft.Index, *session](0), max: max}
}

func (s *sessions) copy() sessions {
	c := *s
	c.byKey, c.byIndex = s.byKey.Copy(), s.byIndex.Copy()
	return c
}

// add remembers one more, and forgets the oldest if they are too many.
func (s *sessions) add(n *session) {
	s.byKey.Set(n.key, n)
	s.byIndex.Set(n.first.Index, n)
	s.sum += n.sum()
	for s.byIndex.Len() > s.max {
		_, old, _ := s.byIndex.PopMin()
		s.byKey.Delete(old.key)
		s.sum -= old.sum()
	}
}

// mayHaveForgotten reports whether a key that was first applied after that entry may be gone; zero is of a client that does
// not ask. Keys go in the order in which they came: all that came with the oldest that is there, or after it, are here.
func (s *sessions) mayHaveForgotten(since raft.Index) bool {
	oldest, _, _ := s.byIndex.Min()
	return since != 0 && s.byIndex.Len() >= s.max && since+1 < oldest
}

// applyOnce carries a command with an idempotency key out, or says again what came of it. A condition that
// failed is an answer too, and stays it: a retry must not be decided by a newer state.
func (s *state) applyOnce(result Result, w write) Result {
	known, ok := s.sessions.byKey.Get(w.command.IdempotencyKey)
	switch {
	case ok && known.fingerprint != w.fingerprint:
		result.Err = ErrKeyReused
		return result
	case ok:
		result = known.first
		result.Repeat = true
		return result
	case s.sessions.mayHaveForgotten(w.command.Since):
		result.Err = ErrKeyForgotten
		return result
	}
	result = s.apply(result, w)
	s.sessions.add(&session{key: w.command.IdempotencyKey, fingerprint: w.fingerprint, first: result})
	return result
}

// Sessions is how many idempotency keys are remembered, and at which index the oldest was first applied.
func (s *Store) Sessions() (count int, oldest raft.Index) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	oldest, _, _ = s.sessions.byIndex.Min()
	return s.sessions.byIndex.Len(), oldest
}
