// Package etcd runs etcd in the lab: a store that is not ours, through its HTTP gateway and nothing else. The server is
// built from etcd's own module in server/, so that who imports this package carries no etcd.
package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"raftlab/harness"
)

// DefaultImage is what `raftlab run --system etcd` builds where it is not there.
const DefaultImage = "raftlab/etcd:dev"

// Options choose what is run.
type Options struct {
	Image, Binary string // in containers, as a process: only the one that is used need be given
	// Serializable reads are answered by the member that is asked, from what it has: fast, and stale where that member is
	// cut off. etcd's documentation says so. They are what a lab must convict.
	Serializable bool
}

// System is etcd. It is safe for concurrent use; Close ends the connections that it keeps.
type System struct {
	options Options
	ask     *http.Client // for everything but operations, which have a sender per client

	mu     sync.Mutex
	places map[string]harness.Place // by name
	names  map[string]string        // by the id that etcd gave the member
}

var (
	_ harness.System    = (*System)(nil)
	_ harness.Inspector = (*System)(nil)
	_ harness.Versioner = (*System)(nil)
	_ harness.LogReader = (*System)(nil)
)

// New makes the adapter.
func New(o Options) *System {
	if o.Image == "" {
		o.Image = DefaultImage
	}
	return &System{
		options: o, places: map[string]harness.Place{}, names: map[string]string{},
		ask: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		}},
	}
}

// Close ends the connections that Ready, Inspect and ReadLog have left open.
func (s *System) Close() { s.ask.CloseIdleConnections() }

// Name is "etcd", or "etcd-serializable".
func (s *System) Name() string {
	if s.options.Serializable {
		return "etcd-serializable"
	}
	return "etcd"
}

// Spec starts a member of a static cluster. Peers have a port of their own: 2380 in containers; as processes the same
// port as Place.Address, and then clients are served on the next address of the loopback network.
func (s *System) Spec(self harness.Place, all []harness.Place) harness.Spec {
	s.mu.Lock()
	s.places[self.Name] = self
	s.mu.Unlock()
	client, peer := self.Listen, "0.0.0.0:"+peerPort
	if self.PeerProxy != "" {
		client, peer = clientOf(self.Address), self.Listen
	}
	var members []string
	for _, place := range all {
		members = append(members, place.Name+"="+peerURL(place))
	}
	args := []string{"--name", self.Name, "--data", self.Data + "/etcd", "--client", client, "--peer", peer,
		"--advertise", peerURL(self), "--cluster", strings.Join(members, ",")}
	if self.PeerProxy != "" {
		args = append(args, "--peer-proxy", self.PeerProxy)
	}
	return harness.Spec{Image: s.options.Image, Binary: s.options.Binary, Args: args}
}

const peerPort = "2380"

// peerURL goes by the member's name where there is a relay, which knows it: Go's net/http sends no loopback address to a
// proxy.
func peerURL(place harness.Place) string {
	host, port, _ := net.SplitHostPort(place.Address)
	if place.PeerProxy != "" {
		return "https://" + net.JoinHostPort(place.Name, port)
	}
	return "http://" + net.JoinHostPort(host, peerPort)
}

// clientOf is where a process serves its clients: the port of its peers, one address on.
func clientOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort("127.0.0.2", port)
}

// at turns the endpoint that the cluster knows into the one that clients are served on.
func (s *System) at(endpoint string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, place := range s.places {
		if place.PeerProxy != "" && place.Address == endpoint {
			return clientOf(endpoint)
		}
	}
	return endpoint
}

// Ready is /health, which answers after a linearizable read.
func (s *System) Ready(ctx context.Context, endpoint string) error {
	var reply struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}
	if err := s.call(ctx, endpoint, "/health", nil, &reply); err != nil {
		return err
	}
	if reply.Health != "true" {
		return fmt.Errorf("etcd: not healthy: %s", reply.Reason)
	}
	return nil
}

// Version is /version.
func (s *System) Version(ctx context.Context, endpoint string) (string, error) {
	var reply json.RawMessage
	err := s.call(ctx, endpoint, "/version", nil, &reply)
	return string(reply), err
}

// number is a 64-bit number, which the gateway writes as text.
type number uint64

func (n *number) UnmarshalJSON(b []byte) error {
	_, err := fmt.Sscan(strings.Trim(string(b), `"`), (*uint64)(n))
	return err
}

type header struct {
	Member   number `json:"member_id"`
	Revision number `json:"revision"`
}

// memberStatus is maintenance/status. Its raftTerm is that of the last entry that was applied: a new leader is told with
// the old term until it has committed something, so who leads in which term is asked elsewhere.
type memberStatus struct {
	Header  header `json:"header"`
	Commit  number `json:"raftIndex"`
	Applied number `json:"raftAppliedIndex"`
}

// raftVars are what etcd's raft says of itself, all at one moment.
type raftVars struct {
	Status struct {
		ID     string `json:"id"` // in hexadecimal
		Term   uint64 `json:"term"`
		Leader string `json:"lead"` // "0" if none is known
		State  string `json:"raftState"`
		Commit uint64 `json:"commit"`
	} `json:"raft.status"`
}

// Inspect is raft.status of /debug/vars, and maintenance/status. The hash is told only of a member that is at rest: etcd
// hashes what it has, and says in another call how far it has applied. Between two equal answers of a member that has
// nothing left to apply nothing was applied.
func (s *System) Inspect(ctx context.Context, endpoint string) (harness.Status, error) {
	var vars raftVars
	if err := s.call(ctx, endpoint, "/debug/vars", nil, &vars); err != nil {
		return harness.Status{}, err
	}
	raft := vars.Status
	if raft.ID == "" {
		return harness.Status{}, fmt.Errorf("etcd: /debug/vars has no raft.status")
	}
	status := harness.Status{ID: raft.ID, Term: raft.Term, Commit: raft.Commit}
	status.Role, _ = strings.CutPrefix(strings.ToLower(raft.State), "state")
	var err error
	if raft.Leader != "0" {
		if status.Leader, err = s.addressOf(ctx, endpoint, raft.Leader); err != nil {
			return harness.Status{}, err
		}
	}
	status.Applied, status.Hash, err = s.state(ctx, endpoint)
	return status, err
}

func (s *System) state(ctx context.Context, endpoint string) (applied uint64, hash string, err error) {
	before, err := s.status(ctx, endpoint)
	if err != nil || before.Commit != before.Applied {
		return uint64(before.Applied), "", err
	}
	var reply struct {
		Hash number `json:"hash"`
	}
	if err := s.call(ctx, endpoint, "/v3/maintenance/hashkv", map[string]any{}, &reply); err != nil {
		return 0, "", err
	}
	after, err := s.status(ctx, endpoint)
	if err == nil && after.Applied == before.Applied && after.Commit == before.Commit {
		hash = fmt.Sprintf("%08x", uint64(reply.Hash))
	}
	return uint64(after.Applied), hash, err
}

func (s *System) status(ctx context.Context, endpoint string) (memberStatus, error) {
	var reply memberStatus
	err := s.call(ctx, endpoint, "/v3/maintenance/status", map[string]any{}, &reply)
	return reply, err
}

// addressOf finds the place of a member by the id that etcd gave it.
func (s *System) addressOf(ctx context.Context, endpoint, id string) (string, error) {
	s.mu.Lock()
	name := s.names[id]
	s.mu.Unlock()
	if name == "" {
		var list struct {
			Members []struct {
				ID   number `json:"ID"`
				Name string `json:"name"`
			} `json:"members"`
		}
		if err := s.call(ctx, endpoint, "/v3/cluster/member/list", map[string]any{"linearizable": false}, &list); err != nil {
			return "", err
		}
		s.mu.Lock()
		for _, m := range list.Members {
			if m.Name != "" { // a member that has not published itself yet has none
				s.names[fmt.Sprintf("%x", uint64(m.ID))] = m.Name
			}
		}
		name = s.names[id]
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	place, known := s.places[name]
	if !known {
		return "", fmt.Errorf("etcd: the leader has the id %s, by which no member is known yet", id)
	}
	return place.Address, nil
}

// call is a question about the member. body nil makes it a GET.
func (s *System) call(ctx context.Context, endpoint, path string, body, reply any) error {
	resp, err := s.send(ctx, endpoint, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return fmt.Errorf("etcd: %s: %w", path, err)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("etcd: %s: %w: %.200s", path, err, b)
	}
	return nil
}

func (s *System) send(ctx context.Context, endpoint, path string, body any) (*http.Response, error) {
	method, sent := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("etcd: %s: %w", path, err)
		}
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.at(endpoint)+path, bytes.NewReader(sent))
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	resp, err := s.ask.Do(req)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return nil, fmt.Errorf("etcd: %s: %s: %s", path, resp.Status, bytes.TrimSpace(said))
	}
	return resp, nil
}

// replyBytesMax is above every reply that the lab's values can make.
const replyBytesMax = 2 << 20
