package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"raftlab/node/internal/driver"
	"raftlab/node/live"
	"raftlab/raft"
)

const (
	viewPath = "/__pyraft/view"
	livePath = "/__pyraft/live"

	tailMax      = 40 // entries of the log whose terms are told
	viewBytesMax = 1 << 20
)

// viewReply is GET /__pyraft/view: what the live page draws of one member.
type viewReply struct {
	statusReply
	Tail  tailReply   `json:"tail"`
	Links []linkReply `json:"links"` // what this member knows of its streams to the others
}

// tailReply are the terms of the last entries.
type tailReply struct {
	First raft.Index  `json:"first"`
	Terms []raft.Term `json:"terms"`
}

type linkReply struct {
	Address   string  `json:"address"`
	Connected bool    `json:"connected"` // we can send
	Receiving bool    `json:"receiving"` // it has a stream to us
	Dropped   uint64  `json:"dropped"`
	Connects  uint64  `json:"connects"`
	RoundTrip float64 `json:"rtt_ms,omitempty"`
}

// describeAll is describe, with what a picture needs.
func (s *Server) describeAll(ctx context.Context) (viewReply, error) {
	reply := viewReply{statusReply: s.describe(), Links: []linkReply{}}
	tail, err := s.node.Tail(ctx, tailMax)
	if err != nil {
		return reply, err
	}
	reply.Tail = tailReply{tail.First, tail.Terms}
	if s.peerStats == nil {
		return reply, nil
	}
	for _, p := range s.peerStats().Peers {
		reply.Links = append(reply.Links, linkReply{p.Address, p.Connected, p.Receiving, p.Dropped, p.Connects, float64(p.RoundTrip.Microseconds()) / 1000})
	}
	return reply, nil
}

func (s *Server) view(x *exchange) *failure {
	if _, f := known(0).parse(x.r); f != nil {
		return f
	}
	reply, err := s.describeAll(x.r.Context())
	if err != nil {
		return readFailed(err)
	}
	s.json(x, http.StatusOK, reply)
	return nil
}

// live streams what all members say of themselves, as this one can see them.
func (s *Server) live(x *exchange) *failure {
	if _, f := known(0).parse(x.r); f != nil {
		return f
	}
	if x.r.Method == http.MethodHead {
		x.Header()["Content-Type"] = []string{"text/event-stream"}
		x.WriteHeader(http.StatusOK)
		return nil
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.drained:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.watcher.Serve(ctx, x)
	return nil
}

// liveSource reaches the members of this one's configuration: itself directly, the others as it reaches them for everything
// else, so that what is cut for a member is cut for its page.
type liveSource struct{ s *Server }

func (l liveSource) Members() []live.Member {
	status := l.s.node.Status()
	var members []live.Member
	for _, m := range status.Configuration.Members {
		members = append(members, live.Member{Address: m.Address, At: m.Address})
	}
	if !slices.ContainsFunc(members, func(m live.Member) bool { return m.Address == status.Address }) {
		members = append(members, live.Member{Address: status.Address, At: status.Address}) // not yet a member, or no longer
	}
	slices.SortFunc(members, func(a, b live.Member) int { return cmp.Compare(a.Address, b.Address) }) // the same ring on every member
	return members
}

func (l liveSource) View(ctx context.Context, address string) (json.RawMessage, error) {
	if address == l.s.servedBy[0] {
		reply, err := l.s.describeAll(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(reply)
	}
	body, err := l.get(ctx, address, viewPath)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	view, err := io.ReadAll(io.LimitReader(body, viewBytesMax))
	if err == nil && !json.Valid(view) {
		err = fmt.Errorf("what answers at %s is not a member of this version", address)
	}
	return view, err
}

func (l liveSource) Follow(ctx context.Context, address string, tell func(live.Event)) error {
	if address != l.s.servedBy[0] {
		body, err := l.get(ctx, address, "/__pyraft/events")
		if err != nil {
			return err
		}
		defer body.Close()
		return live.ReadEvents(body, tell)
	}
	events, cancel := l.s.node.Subscribe()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events:
			if !ok {
				return driver.ErrStopped
			}
			tell(live.Event{Time: e.Time, Sentence: e.Sentence})
		}
	}
}

func (l liveSource) get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	request, err := l.s.forward.newRequest(ctx, http.MethodGet, address, path, nil)
	if err != nil {
		return nil, err
	}
	response, err := l.s.forward.transport.RoundTrip(request)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) {
			err = dial.Err // the address is said beside it
		}
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("it answers %s", response.Status)
	}
	return response.Body, nil
}
