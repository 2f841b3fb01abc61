package driver

import (
	"errors"

	"raftlab/raft"
)

// These errors are certain: the command was not, and will not be, committed.
var (
	ErrNotLeader     = raft.ErrNotLeader
	ErrNoLeader      = raft.ErrNoLeader
	ErrNotReady      = raft.ErrNotReady
	ErrOverloaded    = raft.ErrOverloaded
	ErrChangePending = raft.ErrChangePending
	ErrTransferring  = raft.ErrTransferring
	ErrRemoved       = raft.ErrRemoved
	ErrStopped       = errors.New("driver: node is shutting down")
)

// ErrUnknown is the honest answer to a command that was proposed and of which nothing more is known:
// leadership was lost, the caller's time ran out, or the node stops. It may be committed yet.
var ErrUnknown = errors.New("driver: proposed, but not known to be committed")
