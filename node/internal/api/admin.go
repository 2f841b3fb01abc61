package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// takeSnapshot has this member write a snapshot now. It is the one that was asked, whoever leads: every member
// keeps its own.
func (s *Server) takeSnapshot(x *exchange) *failure {
	if s.draining.Load() {
		return unavailable("shutting_down", "this member is shutting down; ask another")
	}
	p, f := known(knowTimeout).parse(x.r)
	if f != nil {
		return f
	}
	ctx, cancel := s.deadline(x, p)
	defer cancel()
	index, err := s.node.TakeSnapshot(ctx)
	taken := err == nil
	switch {
	case taken, errors.Is(err, driver.ErrNothingNew):
	case errors.Is(err, driver.ErrNoSnapshots):
		return refuse(http.StatusNotImplemented, "no_snapshots", "this member was started without a place for snapshots")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return pending("timeout", "the snapshot is being written and was not done in time; GET /__pyraft/status shows its index when it is")
	case refusal(err) != nil:
		return refusal(err)
	default:
		return unavailable("snapshot_failed", "no snapshot was taken, the log stays as it is: %v", err)
	}
	s.json(x, http.StatusOK, struct {
		Status string     `json:"status"`
		Index  raft.Index `json:"index"` // that it covers
		Taken  bool       `json:"taken"` // false: nothing new since the last one
	}{"ok", index, taken})
	return nil
}

// leaderReply says who leads now.
type leaderReply struct {
	Status  string    `json:"status"`
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Term    raft.Term `json:"term"`
	Changed bool      `json:"changed"` // false: it led already
}

// transfer hands leadership to the member named by to=, or to the voter that is furthest. It answers when that
// one is known to lead.
func (s *Server) transfer(x *exchange) *failure {
	if s.draining.Load() {
		return unavailable("shutting_down", "this member is shutting down; ask another")
	}
	p, f := known(ofLeader).parse(x.r)
	if f != nil {
		return f
	}
	ctx, cancel := s.deadline(x, p)
	defer cancel()
	status := s.node.Status()
	if status.Role != raft.Leader {
		return s.passOn(ctx, x, p, nil)
	}
	target, f := findMember(status.Configuration, p.to)
	if f != nil {
		return f
	}
	leader, err := s.node.Transfer(ctx, target.ID)
	switch {
	case lostLeadership(err):
		return s.passOn(ctx, x, p, nil)
	case err != nil:
		return transferFailed(ctx, err)
	case p.to != "" && leader != target.ID:
		return refuse(http.StatusConflict, "other_leader", "another member leads now: %s, and not %s", hexID(leader), hexID(target.ID))
	}
	now, f := s.awaitLeader(ctx, leader)
	if f != nil {
		return f
	}
	s.position(x.Header(), now.Commit, now.Term, now.LeaderAddress)
	s.json(x, http.StatusOK, leaderReply{"ok", hexID(leader), now.LeaderAddress, now.Term, leader != status.ID})
	return nil
}

// findMember takes an address or an id, of a voter. Nothing is nobody in particular.
func findMember(c raft.Configuration, to string) (raft.Member, *failure) {
	if to == "" {
		return raft.Member{}, nil
	}
	member, ok := raft.Member{}, false
	if id, err := strconv.ParseUint(to, 16, 64); err == nil && len(to) == 16 {
		member, ok = c.Find(raft.ID(id))
	} else {
		address, f := peerAddress(to)
		if f != nil {
			return member, f
		}
		member, ok = memberAt(c, address)
	}
	switch {
	case !ok:
		return member, refuse(http.StatusNotFound, "no_such_member", "to=%q is no member; GET /__pyraft/peers lists them", to)
	case member.Learner:
		return member, refuse(http.StatusConflict, "learner", "%s is a learner, and only a voter can lead; it gets its vote when it has caught up", to)
	}
	return member, nil
}

// transferFailed is 504 where the target may still campaign: it has been told to, or will be.
func transferFailed(ctx context.Context, err error) *failure {
	switch {
	case errors.Is(err, driver.ErrNoTarget):
		return &failure{status: http.StatusConflict, code: "no_target", message: "no other voter was heard of lately that could take over", retry: true}
	case errors.Is(err, raft.ErrUnknownMember):
		return refuse(http.StatusNotFound, "no_such_member", "that member has just been removed")
	case errors.Is(err, driver.ErrTransferFailed):
		return pending("transfer_failed", "the member did not take over within an election time-out and the leader is the same; a late message may still move it: look at GET /__pyraft/status")
	}
	return writeFailed(ctx, err)
}

// awaitLeader waits until the status, which is a moment old, shows the leader.
func (s *Server) awaitLeader(ctx context.Context, id raft.ID) (driver.Status, *failure) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if status := s.node.Status(); status.Leader == id && status.LeaderAddress != "" {
			return status, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return driver.Status{}, pending("timeout", fmt.Sprintf("%s took over, and lost it again or is not known here", hexID(id)))
		}
	}
}
