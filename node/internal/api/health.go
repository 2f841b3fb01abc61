package api

import (
	"fmt"
	"net/http"
	"strings"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// alive says that the process runs, and nothing else. It must not depend on a leader: what restarts a
// process because the cluster has none only makes it take longer to elect one (etcd #13340, #16007).
func (s *Server) alive(x *exchange) *failure {
	s.text(x, http.StatusOK, "ok\n")
	return nil
}

// applyLagMax is how many committed entries may wait to be applied in a member that calls itself ready.
const applyLagMax = 1000

// check is one reason to be ready or not.
type check struct {
	name   string
	ok     bool
	detail string
}

func (s *Server) checks(status driver.Status) []check {
	disk := "writable"
	if status.DiskErr != nil {
		disk = status.DiskErr.Error()
	}
	leader := "none known"
	if status.Leader != 0 {
		leader = status.LeaderAddress
	}
	commit := max(status.Commit, status.LeaderCommit)
	lag := commit - min(commit, status.Applied)
	applied := fmt.Sprintf("%d of %d committed", status.Applied, commit)
	if !status.CaughtUp {
		applied += ", and since this member started no leader has confirmed that this is all"
	}
	_, isMember := status.Configuration.Find(status.ID)
	member := "voter"
	switch {
	case status.Removed:
		isMember, member = false, "removed"
	case !isMember:
		member = "not in the configuration"
	case status.Learner:
		member = "learner"
	}
	return []check{
		{"leader", status.Leader != 0, leader},
		{"applied", status.CaughtUp && lag <= applyLagMax, applied},
		{"member", isMember && !status.Learner, member},
		{"disk", status.DiskErr == nil, disk},
		{"running", !s.draining.Load(), "not shutting down"},
	}
}

func (s *Server) isReady(status driver.Status) bool {
	for _, c := range s.checks(status) {
		if !c.ok {
			return false
		}
	}
	return true
}

// ready says whether this member can serve now. The body names each check, as etcd's does; what failed,
// and everything with ?verbose, comes with the reason.
func (s *Server) ready(x *exchange) *failure {
	p, f := known(knowVerbose).parse(x.r)
	if f != nil {
		return f
	}
	var lines strings.Builder
	status, verdict := http.StatusOK, "ready"
	for _, c := range s.checks(s.node.Status()) {
		mark, result := "+", "ok"
		if !c.ok {
			mark, result = "-", "failed"
			status, verdict = http.StatusServiceUnavailable, "not ready"
		}
		fmt.Fprintf(&lines, "[%s]%s %s", mark, c.name, result)
		if !c.ok || p.allChecks {
			fmt.Fprintf(&lines, ": %s", c.detail)
		}
		lines.WriteByte('\n')
	}
	if status != http.StatusOK {
		x.Header().Set("Retry-After", "1")
	}
	s.text(x, status, lines.String()+verdict+"\n")
	return nil
}

// readyLeader is 200 on the leader only, for a load balancer that must find it.
func (s *Server) readyLeader(x *exchange) *failure {
	status := s.node.Status()
	if status.Role != raft.Leader || s.draining.Load() {
		x.Header().Set("Retry-After", "1")
		s.text(x, http.StatusServiceUnavailable, "[-]leader failed: this member is "+status.Role.String()+"\nnot ready\n")
		return nil
	}
	s.text(x, http.StatusOK, "[+]leader ok\nready\n")
	return nil
}

func (s *Server) robots(x *exchange) *failure {
	s.text(x, http.StatusOK, "User-agent: *\nDisallow: /\n")
	return nil
}
