package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"raftlab/raft"
)

// chain is a running hash over all entries applied: each step takes in the sum before it, the entry, and
// what the entry did here. So two members at the same index have equal sums only if they applied the same
// entries in the same order and decided every condition alike (up to a collision of 64 bits).
//
// A command without an idempotency key adds what it always added, so that old logs keep their sums.
type chain struct{ sum uint64 }

func (c *chain) add(e raft.Entry, r Result) {
	var head [8 + 8 + 8 + 1 + 8 + 1]byte
	binary.BigEndian.PutUint64(head[0:], c.sum)
	binary.BigEndian.PutUint64(head[8:], uint64(e.Index))
	binary.BigEndian.PutUint64(head[16:], uint64(e.Term))
	head[24] = byte(e.Type)
	binary.BigEndian.PutUint64(head[25:], uint64(r.Current))
	for i, is := range [...]bool{r.Done, r.Existed, r.Err != nil, r.Repeat, r.Err == ErrKeyReused, r.Err == ErrKeyForgotten} {
		if is {
			head[33] |= 1 << i
		}
	}
	var digest xxhash.Digest
	digest.Reset()
	digest.Write(head[:])
	digest.Write(e.Data)
	c.sum = digest.Sum64()
}

// contents is a hash over a set: the sum of the hashes of its elements, so that it can be kept up to date by
// one addition or subtraction, and so that who restores a snapshot computes it anew. The chain alone would be
// equal on a member that was given the right chain and the wrong data.
type contents uint64

// itemSum is the hash of one key and what it holds. Lengths go in, so that no two items are the same bytes.
func itemSum(key string, item *Item) contents {
	var head [8 + 2 + 1]byte
	binary.BigEndian.PutUint64(head[0:], uint64(item.ModIndex))
	binary.BigEndian.PutUint16(head[8:], uint16(len(key)))
	head[10] = byte(len(item.ContentType))
	var digest xxhash.Digest
	digest.Reset()
	digest.Write(head[:])
	digest.WriteString(key)
	digest.WriteString(item.ContentType)
	digest.Write(item.Value)
	return contents(digest.Sum64())
}

// hash is that of the whole state: how it came about, and what it is.
func (s *state) hash() uint64 {
	var b [24]byte
	binary.BigEndian.PutUint64(b[0:], s.chain.sum)
	binary.BigEndian.PutUint64(b[8:], uint64(s.itemsSum))
	binary.BigEndian.PutUint64(b[16:], uint64(s.sessions.sum))
	return xxhash.Sum64(b[:])
}
