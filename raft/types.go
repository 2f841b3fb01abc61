package raft

import (
	"errors"
	"fmt"
)

// ID names one life of one member. It is drawn at random when the member's data directory is made,
// kept there, and never used again: a member whose disk was wiped is a new member (thesis §4, and
// RethinkDB #5289 for what happens otherwise). Zero is nobody.
type ID uint64

// String gives n1, n2, ... for the small ids of scripts and the simulator, and hex for drawn ones.
func (id ID) String() string {
	switch {
	case id == 0:
		return "nobody"
	case id < 1<<16:
		return fmt.Sprintf("n%d", uint64(id))
	}
	return fmt.Sprintf("%016x", uint64(id))
}

// ClusterID names one cluster. It is drawn at random by the member that starts the cluster.
type ClusterID uint64

func (id ClusterID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Term is Raft's logical clock (§5.1): at most one leader in each.
type Term uint64

// Index is a position in the log. The first entry has index 1; zero is the place before it.
type Index uint64

// EntryType says who an entry is for.
type EntryType uint8

const (
	// EntryCommand carries a command for the state machine.
	EntryCommand EntryType = iota
	// EntryNoop is what a leader appends first in its term (§5.4.2, §8): committing it tells the
	// leader which entries are committed.
	EntryNoop
	// EntryConfiguration carries a Configuration (§6): in force from the moment it is in the log.
	EntryConfiguration
)

func (t EntryType) String() string {
	switch t {
	case EntryCommand:
		return "command"
	case EntryNoop:
		return "no-op"
	case EntryConfiguration:
		return "configuration"
	}
	return fmt.Sprintf("entry type %d", uint8(t))
}

// Entry is one element of the log. Who holds an Entry must not change its Data.
type Entry struct {
	Term  Term
	Index Index
	Type  EntryType
	Data  []byte
}

// HardState is what §5.2 and Figure 2 call persistent: it must be on disk before any message that
// speaks of it is sent.
type HardState struct {
	Term Term
	Vote ID // whom this member voted for in Term; zero if nobody
}

// Role of a member (Figure 4). A learner is a follower that has no vote; a pre-candidate asks
// whether it could win before it raises its term (thesis §9.6).
type Role uint8

const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "pre-candidate", "candidate", "leader"}[r]
}

// Errors of Step. Each means that nothing was appended, queued or sent.
var (
	ErrNotLeader        = errors.New("raft: not leader")
	ErrNoLeader         = errors.New("raft: no leader known")
	ErrOverloaded       = errors.New("raft: too many uncommitted bytes")
	ErrTransferring     = errors.New("raft: leadership is being transferred")
	ErrChangePending    = errors.New("raft: another membership change is not yet committed")
	ErrNotReady         = errors.New("raft: leader has not yet committed an entry of its own term")
	ErrUnknownMember    = errors.New("raft: no such member")
	ErrMemberExists     = errors.New("raft: address belongs to a member already")
	ErrRemoved          = errors.New("raft: this member was removed; its id does not come back")
	ErrLastVoter        = errors.New("raft: the last voter cannot be removed")
	ErrLearnerNotCaught = errors.New("raft: learner has not caught up")
	ErrDropped          = errors.New("raft: message dropped")
)
