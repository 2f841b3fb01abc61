package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"raftlab/raft"
)

// chain is a running hash over all entries applied: each step takes in the sum before it, the entry, and
// what the entry did here. So two members at the same index have equal sums only if they applied the same
// entries in the same order and decided every condition alike (up to a collision of 64 bits).
type chain struct{ sum uint64 }

func (c *chain) add(e raft.Entry, r Result) {
	var head [8 + 8 + 8 + 1 + 8 + 1]byte
	binary.BigEndian.PutUint64(head[0:], c.sum)
	binary.BigEndian.PutUint64(head[8:], uint64(e.Index))
	binary.BigEndian.PutUint64(head[16:], uint64(e.Term))
	head[24] = byte(e.Type)
	binary.BigEndian.PutUint64(head[25:], uint64(r.Current))
	for i, is := range [...]bool{r.Done, r.Existed, r.Err != nil} {
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
