package wal

import (
	"errors"
	"fmt"

	"raftlab/raft"
)

var (
	// ErrNotExist says that the directory holds no log, so that Create may make one.
	ErrNotExist = errors.New("wal: no log in this directory")
	// ErrExist says that Create found a log.
	ErrExist = errors.New("wal: directory has a log already; open it instead")
	// ErrForeign says that the directory holds files that are not a log's.
	ErrForeign = errors.New("wal: directory holds files that are not a log; give the log a directory of its own")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("wal: directory is in use by another process; stop it, or give each member a directory of its own")
	// ErrOtherMember says that the log is of another member or cluster.
	ErrOtherMember = errors.New("wal: directory belongs to another member")
	// ErrFull says that the disk has no room. Sync: nothing of what was appended is on disk, the log is as
	// it was, and the next Sync tries again; Append goes on meanwhile.
	ErrFull = errors.New("wal: disk is full, nothing was written; make room")
	// ErrClosed is what a closed Log returns.
	ErrClosed = errors.New("wal: log is closed")
	// ErrCorrupt says that bytes that were on stable storage cannot be read any more. errors.As with a
	// *CorruptError tells which.
	ErrCorrupt = errors.New("wal: log is damaged")
)

// CorruptError says what was lost, after damage that no crash explains. Open has changed nothing.
type CorruptError struct {
	File   string
	Offset int64 // the first damaged byte is in the record that begins here
	// Entries First to Last were durable and cannot be read. Last below First: no entry, but a term, a
	// vote or a cluster id. Rest: First and whatever followed, Last is not known.
	First, Last raft.Index
	Rest        bool
	Reason      string
}

func (e *CorruptError) Error() string {
	lost := fmt.Sprintf("entries %d to %d were on stable storage and cannot be read", e.First, e.Last)
	switch {
	case e.Rest:
		lost = fmt.Sprintf("entry %d and those after it may have been on stable storage and cannot be read", e.First)
	case e.Last < e.First:
		lost = "all entries can be read, but a term, a vote or a cluster id was on stable storage and cannot"
	}
	return fmt.Sprintf("%v: %s at byte %d: %s; %s; nothing was changed. This member must not vote with what is left: "+
		"keep the directory for inspection, remove the member from the cluster, and join again with an empty directory, as a new member",
		ErrCorrupt, e.File, e.Offset, e.Reason, lost)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
