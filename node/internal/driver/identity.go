package driver

import (
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// NewIdentity is who a member is whose disk is empty: nobody who ever was. Made of its address, the id of a member whose
// disk was lost would be what it was, and what it promised under that id, a vote or to have an entry, it has forgotten.
// random must not return a number twice.
func NewIdentity(address string, random func() uint64) wal.Identity {
	return wal.Identity{ID: raft.ID(random()), Address: address}
}
