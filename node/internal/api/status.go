package api

import (
	"net/http"
	"runtime"
	"runtime/debug"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// statusReply is GET /__pyraft/status, and GET / as JSON.
type statusReply struct {
	ID      string    `json:"id"`
	Cluster string    `json:"cluster"`
	Address string    `json:"address"`
	Role    string    `json:"role"` // follower, pre-candidate, candidate, leader
	Learner bool      `json:"learner"`
	Removed bool      `json:"removed,omitempty"`
	Term    raft.Term `json:"term"`
	// Leader is its address, or null.
	Leader   *string `json:"leader"`
	LeaderID string  `json:"leader_id,omitempty"`
	// LeaderContactMs is the time since the leader was heard: 0 on the leader, -1 if never.
	LeaderContactMs int64 `json:"leader_contact_ms"`

	First    raft.Index `json:"first"`
	Last     raft.Index `json:"last"`
	Commit   raft.Index `json:"commit"`
	Applied  raft.Index `json:"applied"`
	Snapshot raft.Index `json:"snapshot"`
	Stable   raft.Index `json:"stable"`

	// Hash is of the state at Applied. It is text: JavaScript rounds large numbers.
	Hash string `json:"hash"`
	Keys int    `json:"keys"`

	Voters             []string    `json:"voters"`   // addresses
	Learners           []string    `json:"learners"` // addresses
	Quorum             int         `json:"quorum"`
	ConfigurationIndex raft.Index  `json:"configuration_index"`
	Peers              []peerReply `json:"peers"`

	Pending       int    `json:"pending"`
	LeaderChanges uint64 `json:"leader_changes"`
	Elections     uint64 `json:"elections"`
	DiskError     string `json:"disk_error,omitempty"`
	Ready         bool   `json:"ready"`
	Version       string `json:"version"`
}

// peerReply is a member as this one sees it; the progress is known on the leader only.
type peerReply struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Learner bool   `json:"learner"`
	Leader  bool   `json:"leader"`
	Self    bool   `json:"self"`

	Match  raft.Index `json:"match,omitempty"`
	Next   raft.Index `json:"next,omitempty"`
	State  string     `json:"state,omitempty"`
	Active *bool      `json:"active,omitempty"`
}

func peerReplies(status driver.Status) []peerReply {
	replies := make([]peerReply, 0, len(status.Configuration.Members))
	for _, m := range status.Configuration.Members {
		reply := peerReply{ID: hexID(m.ID), Address: m.Address, Learner: m.Learner, Leader: m.ID == status.Leader, Self: m.ID == status.ID}
		for _, p := range status.Peers {
			if p.ID == m.ID {
				reply.Match, reply.Next, reply.State, reply.Active = p.Match, p.Next, p.State, &p.Active
			}
		}
		replies = append(replies, reply)
	}
	return replies
}

func (s *Server) describe() statusReply {
	status := s.node.Status()
	reply := statusReply{
		ID: hexID(status.ID), Address: status.Address, Role: status.Role.String(), Learner: status.Learner, Removed: status.Removed, Term: status.Term,
		LeaderContactMs: -1,
		First:           status.First, Last: status.Last, Commit: status.Commit, Applied: status.Applied, Snapshot: status.Snapshot, Stable: status.Stable,
		Hash: hexID(raft.ID(status.StateHash)), Keys: s.store.Len(),
		Voters: []string{}, Learners: []string{}, Quorum: status.Configuration.Quorum(), ConfigurationIndex: status.ConfigurationIndex,
		Peers:   peerReplies(status),
		Pending: status.Pending, LeaderChanges: status.LeaderChanges, Elections: status.Elections,
		Ready: s.isReady(status), Version: s.version,
	}
	if status.Cluster != 0 {
		reply.Cluster = status.Cluster.String()
	}
	if status.LeaderAddress != "" {
		reply.Leader, reply.LeaderID = &status.LeaderAddress, hexID(status.Leader)
	}
	if status.LeaderContact >= 0 {
		reply.LeaderContactMs = status.LeaderContact.Milliseconds()
	}
	if status.DiskErr != nil {
		reply.DiskError = status.DiskErr.Error()
	}
	for _, m := range status.Configuration.Members {
		if m.Learner {
			reply.Learners = append(reply.Learners, m.Address)
		} else {
			reply.Voters = append(reply.Voters, m.Address)
		}
	}
	return reply
}

func (s *Server) status(x *exchange) *failure {
	s.json(x, http.StatusOK, s.describe())
	return nil
}

func (s *Server) peers(x *exchange) *failure {
	status := s.node.Status()
	s.position(x.Header(), status.ConfigurationIndex, status.Term, status.LeaderAddress)
	s.json(x, http.StatusOK, struct {
		Index raft.Index  `json:"index"` // of the configuration
		Peers []peerReply `json:"peers"`
	}{status.ConfigurationIndex, peerReplies(status)})
	return nil
}

func (s *Server) serveVersion(x *exchange) *failure {
	reply := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Modified bool   `json:"modified,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{Version: s.version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range build.Settings {
			switch setting.Key {
			case "vcs.revision":
				reply.Revision = setting.Value
			case "vcs.modified":
				reply.Modified = setting.Value == "true"
			}
		}
	}
	s.json(x, http.StatusOK, reply)
	return nil
}
