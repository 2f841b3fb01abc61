package driver

import (
	"time"

	"raftlab/raft"
)

// StateMachine is what the log is for. Apply is called from one goroutine, in log order, once for each
// entry of every type; Applied, Hash and Items may be called by the same goroutine only.
type StateMachine interface {
	// Apply returns what the proposer of the entry is told.
	Apply(e raft.Entry) any
	// Applied is the index of the last entry applied.
	Applied() raft.Index
	// Hash is the running hash of the state at Applied: equal on members with equal Applied.
	Hash() uint64
}

// Applied is the fate of a command that was committed and applied here.
type Applied struct {
	Index  raft.Index
	Term   raft.Term
	Result any
}

// Status is what a member knows of itself at one moment.
type Status struct {
	ID            raft.ID
	Cluster       raft.ClusterID
	Address       string
	Role          raft.Role
	Learner       bool
	Term          raft.Term
	Leader        raft.ID // zero if none is known
	LeaderAddress string

	First, Last, Commit, Applied, Snapshot, Stable raft.Index

	Configuration      raft.Configuration
	ConfigurationIndex raft.Index
	Peers              []PeerStatus  // on the leader only
	LeaderContact      time.Duration // since the leader was last heard; 0 on the leader, -1 if never

	StateHash     uint64 // of the state at Applied
	Pending       int    // commands proposed here and not yet answered
	LeaderChanges uint64 // how often the known leader changed, to none or from none not counted
	Elections     uint64 // how often this member campaigned
	DiskErr       error  // why the log can no longer be written
}

// PeerStatus is what the leader knows of another member (Figure 2: nextIndex, matchIndex).
type PeerStatus struct {
	ID          raft.ID
	Address     string
	Learner     bool
	Match, Next raft.Index
	State       string // probe or replicate
	Active      bool   // heard of within the last election time-out
}
