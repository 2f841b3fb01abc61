package driver

import (
	"io"
	"slices"
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
	// Freeze is cheap and returns a function that writes the state as it is now, once, in any goroutine, while Apply
	// goes on.
	Freeze() func(io.Writer) error
	// Restore replaces the state by one that was written. After an error the state is as it was.
	Restore(io.Reader) error
	// Check says whether Restore would take a state of the entries up to index, and changes nothing. It may be called by
	// any goroutine.
	Check(state io.Reader, index raft.Index) error
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
	// Removed says that this member was removed from its cluster, by what its own log holds committed, or, while it knows
	// no leader, by the word of another member (Node.ToldRemoved): whom the leader has removed it sends nothing more, so
	// the entry that says so seldom arrives.
	Removed       bool
	Peers         []PeerStatus  // on the leader only
	LeaderContact time.Duration // since the leader was last heard; 0 on the leader, -1 if never
	LeaderCommit  raft.Index    // the highest commit index that a leader named to this process; may be beyond Commit
	CaughtUp      bool          // since the process began, all that a leader of the present term named was applied

	StateHash     uint64 // of the state at Applied
	Pending       int    // commands proposed here and not yet answered
	LeaderChanges uint64 // how often the known leader changed, to none or from none not counted
	Elections     uint64 // how often this member campaigned
	Installs      uint64 // how often the leader's snapshot replaced this member's state, since its process began
	DiskErr       error  // why the log can no longer be written
}

// HasRemoved reports whether that member is out for good: a removal that is not committed may be taken back yet.
func (s Status) HasRemoved(id raft.ID) bool {
	return s.ConfigurationIndex <= s.Commit && slices.Contains(s.Configuration.Removed, id)
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

// notice counts what an operator wants to know.
func (d *Driver) notice() {
	if leader := d.raft.Leader(); leader != d.seen.leader {
		if leader != 0 {
			d.leaderChanges++
		}
		d.seen.leader = leader
	}
	role, term := d.raft.Role(), d.raft.Term()
	if role == raft.Candidate && (d.seen.role != raft.Candidate || d.seen.term != term) {
		d.elections++
	}
	d.seen.role, d.seen.term = role, term
}

// Status describes the member as it is now.
func (d *Driver) Status() Status {
	r := d.raft
	self, _ := d.members.Find(r.ID())
	s := Status{
		ID: r.ID(), Cluster: r.Cluster(), Address: d.config.Address, Role: r.Role(), Learner: self.Learner,
		Term: r.Term(), Leader: r.Leader(),
		First: r.FirstIndex(), Last: r.LastIndex(), Commit: r.Committed(), Applied: d.config.Machine.Applied(),
		Snapshot: r.Snapshot().Index, Stable: r.StableIndex(),
		Configuration: d.members, ConfigurationIndex: d.configuration,
		StateHash: d.config.Machine.Hash(), Pending: d.waiting + len(d.held),
		LeaderCommit: d.news.commit, CaughtUp: d.news.caughtUp,
		LeaderChanges: d.leaderChanges, Elections: d.elections, Installs: d.installs,
	}
	s.Removed = s.HasRemoved(s.ID)
	if leader, ok := d.members.Find(s.Leader); ok {
		s.LeaderAddress = leader.Address
	}
	switch {
	case s.Role == raft.Leader:
	case d.contactTicks < 0:
		s.LeaderContact = -1
	default:
		s.LeaderContact = time.Duration(d.contactTicks) * d.config.TickEvery
	}
	return s
}

// Peers describes the other members as the leader sees them; nothing on others.
func (d *Driver) Peers() []PeerStatus {
	var peers []PeerStatus
	for _, m := range d.members.Members {
		if p, ok := d.raft.Progress(m.ID); ok {
			peers = append(peers, PeerStatus{
				ID: m.ID, Address: m.Address, Learner: m.Learner,
				Match: p.Match, Next: p.Next, State: p.State, Active: p.Active,
			})
		}
	}
	return peers
}
