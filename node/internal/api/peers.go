package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// Identity is what GET /__pyraft/identity says. Cluster is empty while the member belongs to none.
type Identity struct {
	ID      string `json:"id"`      // 16 hexadecimal digits
	Cluster string `json:"cluster"` // the same, or empty
	Address string `json:"address"`
}

func hexID(id raft.ID) string { return fmt.Sprintf("%016x", uint64(id)) }

func (s *Server) identity(x *exchange) *failure {
	status := s.node.Status()
	reply := Identity{ID: hexID(status.ID), Address: status.Address}
	if status.Cluster != 0 {
		reply.Cluster = status.Cluster.String()
	}
	s.json(x, http.StatusOK, reply)
	return nil
}

// changeReply is the seed's {"term":…,"success":true}, and more.
type changeReply struct {
	Status  string     `json:"status"`
	Success bool       `json:"success"`
	Term    raft.Term  `json:"term"`
	ID      string     `json:"id,omitempty"`
	Address string     `json:"address"`
	Voters  int        `json:"voters"`
	Index   raft.Index `json:"index"` // of the configuration
}

// addPeer makes the node at the address a member. It answers when that node is a voter; doing it again
// is no error, so a joiner may simply repeat until it gets a 200.
func (s *Server) addPeer(x *exchange, params httprouter.Params) *failure {
	return s.change(x, params, s.admitPeer)
}

// removePeer takes the member at the address out. An address that is not a member is done already.
func (s *Server) removePeer(x *exchange, params httprouter.Params) *failure {
	return s.change(x, params, s.expelPeer)
}

// change does what both have in common: parse, find the leader, and give the work there.
func (s *Server) change(x *exchange, params httprouter.Params, do func(context.Context, string) (changeReply, *failure)) *failure {
	if s.draining.Load() {
		return unavailable("shutting_down", "this member is shutting down; ask another")
	}
	address, f := peerAddress(strings.TrimPrefix(params.ByName("address"), "/"))
	if f != nil {
		return f
	}
	p, f := known(ofChange).parse(x.r)
	if f != nil {
		return f
	}
	ctx, cancel := s.deadline(x, p)
	defer cancel()
	if s.node.Status().Role != raft.Leader {
		return s.passOn(ctx, x, p, nil)
	}
	// A leader that was deposed without knowing would judge by an old configuration.
	if _, err := s.node.ReadIndex(ctx); err != nil {
		if lostLeadership(err) {
			return s.passOn(ctx, x, p, nil)
		}
		f := readFailed(err)
		if f.code == "timeout" {
			f.message = "no majority answered in time, so this member may not lead any more; nothing was changed: start the members that are down, or try again"
		}
		return f
	}
	reply, f := do(ctx, address)
	if f != nil {
		return f
	}
	status := s.node.Status()
	reply.Status, reply.Success, reply.Address = "ok", true, address
	reply.Term, reply.Index, reply.Voters = status.Term, status.ConfigurationIndex, status.Configuration.Voters()
	s.position(x.Header(), status.ConfigurationIndex, status.Term, status.LeaderAddress)
	s.json(x, http.StatusOK, reply)
	return nil
}

// admitPeer asks the node at the address who it is, which also proves that the address can be reached,
// makes it a learner, and waits until the leader has promoted it.
func (s *Server) admitPeer(ctx context.Context, address string) (changeReply, *failure) {
	status := s.node.Status()
	id, f := s.whoIs(ctx, address, status.Cluster)
	if f != nil {
		return changeReply{}, f
	}
	reply := changeReply{ID: hexID(id)}
	member, isMember := status.Configuration.Find(id)
	other, taken := memberAt(status.Configuration, address)
	switch {
	case isMember && !sameAddress(member, address):
		return reply, refuse(http.StatusConflict, "member_exists", "the node at %s is a member already, at %s; remove it there first", address, member.Address)
	case taken && other.ID != id:
		return reply, refuse(http.StatusConflict, "address_taken",
			"%s belongs to member %s, and the node there is now %s: its data directory was replaced; remove the old member first with DELETE %s%s", address, hexID(other.ID), hexID(id), peerPrefix, address)
	case !isMember:
		change := raft.Change{Type: raft.AddLearner, Member: raft.Member{ID: id, Address: address}}
		if f := s.propose(ctx, "join", change); f != nil && !s.isThere(id, address) {
			return reply, f
		}
	}
	return reply, s.awaitVoter(ctx, id, address)
}

// isThere reports whether the change that was just refused has been made by somebody else.
func (s *Server) isThere(id raft.ID, address string) bool {
	m, ok := s.node.Status().Configuration.Find(id)
	return ok && sameAddress(m, address)
}

const promotionPollInterval = 10 * time.Millisecond

// awaitVoter waits for a configuration that gives the member a vote, and for its commitment: a
// configuration is in force as soon as it is in the log, but until it is committed it can be taken back.
func (s *Server) awaitVoter(ctx context.Context, id raft.ID, address string) *failure {
	tick := time.NewTicker(promotionPollInterval)
	defer tick.Stop()
	for {
		status := s.node.Status()
		if status.Configuration.IsVoter(id) && status.Commit >= status.ConfigurationIndex {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return pending("timeout", notYetVoter(status, id, address))
		}
	}
}

// notYetVoter says in what state a join that took too long leaves the cluster, and what can be done.
func notYetVoter(status driver.Status, id raft.ID, address string) string {
	member, ok := status.Configuration.Find(id)
	switch {
	case !ok:
		return fmt.Sprintf("%s is not a member any more: it was removed meanwhile, or another leader took the change back; look at GET /__pyraft/peers, and repeat the request to add it", address)
	case !member.Learner:
		return fmt.Sprintf("%s has got its vote, which is not known to be committed: repeat the request to wait for it", address)
	}
	has := "and this member does not know how far it is"
	for _, p := range status.Peers {
		if p.ID == id {
			has = fmt.Sprintf("and has %d of %d entries", p.Match, status.Last)
		}
		if p.ID == id && !p.Active {
			has += " and has not answered lately"
		}
	}
	return fmt.Sprintf("%s is a learner now, without a vote, %s; it is promoted by itself when it has all: repeat the request to wait for that, or take it out again with DELETE %s%s", address, has, peerPrefix, address)
}

func (s *Server) expelPeer(ctx context.Context, address string) (changeReply, *failure) {
	member, ok := memberAt(s.node.Status().Configuration, address)
	if !ok {
		return changeReply{}, s.awaitCommitted(ctx)
	}
	reply := changeReply{ID: hexID(member.ID)}
	if f := s.propose(ctx, "leave", raft.Change{Type: raft.Remove, Member: member}); f != nil {
		return reply, f
	}
	return reply, s.awaitCommitted(ctx)
}

// awaitCommitted waits until the configuration in force is committed: that somebody is not in it may be taken back
// before.
func (s *Server) awaitCommitted(ctx context.Context) *failure {
	status := s.node.Status()
	if status.Commit >= status.ConfigurationIndex {
		return nil
	}
	if err := s.node.WaitApplied(ctx, status.ConfigurationIndex); err != nil {
		return pending("timeout", "the removal is in the log, but not known to be committed: repeat the request to wait for it")
	}
	return nil
}

// propose asks for a change. That somebody else has removed the member already is no failure.
func (s *Server) propose(ctx context.Context, operation string, change raft.Change) *failure {
	_, err := s.node.ChangeMembership(ctx, change)
	if err == nil || change.Type == raft.Remove && errors.Is(err, raft.ErrUnknownMember) {
		s.metrics.proposed(operation, "done")
		return nil
	}
	f := changeFailed(ctx, err)
	s.metrics.proposed(operation, f.code)
	return f
}

// changeFailed knows the refusals that only a change can meet.
func changeFailed(ctx context.Context, err error) *failure {
	switch {
	case errors.Is(err, raft.ErrLastVoter):
		return refuse(http.StatusConflict, "last_voter", "the last voter cannot be removed: nobody would be left to agree")
	case errors.Is(err, raft.ErrRemoved):
		return refuse(http.StatusGone, "removed", "this member was removed, and its id does not come back; empty its data directory to let it join as a new member")
	case errors.Is(err, raft.ErrMemberExists):
		return refuse(http.StatusConflict, "member_exists", "the address or the node is a member already")
	}
	return writeFailed(ctx, err)
}

const identityTimeout = 2 * time.Second

// whoIs asks a node for its id, and refuses one that belongs to another cluster.
func (s *Server) whoIs(ctx context.Context, address string, ours raft.ClusterID) (raft.ID, *failure) {
	if status := s.node.Status(); address == status.Address {
		return status.ID, nil
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	request, err := s.forward.newRequest(ctx, http.MethodGet, address, identityPath, nil)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "bad_address", "address %q: %v", address, err)
	}
	response, err := s.forward.transport.RoundTrip(request)
	if err != nil {
		// Not a 4xx: a joiner that has just started may listen in a moment. Certain: nothing was proposed.
		return 0, unavailable("peer_unreachable", "nobody answers at %s: %v; start the node there, with an address that this member can reach", address, err)
	}
	defer response.Body.Close()
	var identity Identity
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err == nil {
		err = json.Unmarshal(body, &identity)
	}
	id, idErr := strconv.ParseUint(identity.ID, 16, 64)
	if err != nil || idErr != nil || id == 0 || response.StatusCode != http.StatusOK {
		return 0, refuse(http.StatusBadRequest, "not_a_member", "what answers at %s is not a node of raftlab (status %d)", address, response.StatusCode)
	}
	if identity.Cluster != "" && identity.Cluster != ours.String() {
		return 0, refuse(http.StatusConflict, "other_cluster", "the node at %s belongs to cluster %s and this is cluster %s; give it an empty data directory to join here", address, identity.Cluster, ours)
	}
	return raft.ID(id), nil
}
