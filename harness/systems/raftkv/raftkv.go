// Package raftkv runs raftlab's own node in the lab. Nothing in it knows more of the node than its command
// line and its HTTP API: it is the adapter to copy for a store of your own.
package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"raftlab/harness"
)

// DefaultImage is what `make image` builds.
const DefaultImage = "raftlab/node:dev"

// Options choose what is run. Zero values mean the default.
type Options struct {
	Image  string   // default: $RAFTLAB_IMAGE, or DefaultImage
	Binary string   // default: $RAFTLAB_RAFTD; path of raftd, needed by the process world only
	Args   []string // more arguments for every member
}

// System is raftd. It is safe for concurrent use; Close ends the connections that it keeps.
type System struct {
	options Options
	etags   etags
	ask     *http.Client // for Ready and Inspect; operations have a transport per client
}

var (
	_ harness.System      = (*System)(nil)
	_ harness.Membership  = (*System)(nil)
	_ harness.Inspector   = (*System)(nil)
	_ harness.Versioner   = (*System)(nil)
	_ harness.Snapshotter = (*System)(nil)
	_ harness.Clocker     = (*System)(nil)

	_ harness.SessionKeeper = (*System)(nil)
)

// New makes the adapter.
func New(o Options) *System {
	if o.Image == "" {
		o.Image = os.Getenv("RAFTLAB_IMAGE")
	}
	if o.Image == "" {
		o.Image = DefaultImage
	}
	if o.Binary == "" {
		o.Binary = os.Getenv("RAFTLAB_RAFTD")
	}
	return &System{
		options: o,
		ask: &http.Client{
			Transport: &http.Transport{
				Proxy:               nil, // never through a proxy of the environment
				DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
				MaxIdleConnsPerHost: 2,
				IdleConnTimeout:     30 * time.Second,
			},
		},
	}
}

// Close ends the connections that Ready and Inspect have left open.
func (s *System) Close() { s.ask.CloseIdleConnections() }

// Sessions: raftd remembers the idempotency keys of ten thousand writes.
func (s *System) Sessions() bool { return true }

// Name is "raftkv".
func (s *System) Name() string { return "raftkv" }

// Spec starts the first member as a cluster of one; the others join it. A newcomer asks everybody.
func (s *System) Spec(self harness.Place, all []harness.Place) harness.Spec {
	// Small snapshots, so that a short run takes and installs some: most bugs of snapshots need no more.
	args := []string{"--listen", self.Listen, "--advertise", self.Address, "--data", self.Data, "--log", "json",
		"--snapshot-entries", "50", "--tail-entries", "10", "--lab"}
	switch {
	case len(self.Join) > 0:
		args = append(args, "--join", strings.Join(self.Join, ","))
	case self.Name != all[0].Name:
		args = append(args, "--join", all[0].Address)
	}
	if self.PeerProxy != "" {
		args = append(args, "--peer-proxy", self.PeerProxy)
	}
	return harness.Spec{Image: s.options.Image, Binary: s.options.Binary, Args: append(args, s.options.Args...)}
}

// Ready is GET /readyz: a leader is known, the member has caught up and is no learner, its disk can be written.
func (s *System) Ready(ctx context.Context, endpoint string) error {
	_, err := s.get(ctx, endpoint, "/readyz")
	return err
}

// Inspect is GET /__pyraft/status.
func (s *System) Inspect(ctx context.Context, endpoint string) (harness.Status, error) {
	body, err := s.get(ctx, endpoint, "/__pyraft/status")
	if err != nil {
		return harness.Status{}, err
	}
	var reply struct {
		ID      string   `json:"id"`
		Role    string   `json:"role"`
		Leader  *string  `json:"leader"`
		Term    uint64   `json:"term"`
		Commit  uint64   `json:"commit"`
		Applied uint64   `json:"applied"`
		Hash    string   `json:"hash"`
		Voters  []string `json:"voters"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return harness.Status{}, fmt.Errorf("raftkv: status: %w", err)
	}
	status := harness.Status{
		ID: reply.ID, Role: reply.Role, Term: reply.Term,
		Commit: reply.Commit, Applied: reply.Applied, Hash: reply.Hash, Voters: reply.Voters,
	}
	if reply.Leader != nil {
		status.Leader = *reply.Leader
	}
	return status, nil
}

// Snapshot is POST /__pyraft/snapshot.
func (s *System) Snapshot(ctx context.Context, endpoint string) error {
	_, err := s.call(ctx, http.MethodPost, endpoint, "/__pyraft/snapshot")
	return err
}

// Version is GET /version, as it came.
func (s *System) Version(ctx context.Context, endpoint string) (string, error) {
	body, err := s.get(ctx, endpoint, "/version")
	return strings.TrimSpace(string(body)), err
}

// replyBytesMax is above every reply that the node gives: its values have at most 1 MiB.
const replyBytesMax = 2 << 20

func (s *System) get(ctx context.Context, endpoint, path string) ([]byte, error) {
	return s.call(ctx, http.MethodGet, endpoint, path)
}

func (s *System) call(ctx context.Context, method, endpoint, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+endpoint+path, nil)
	if err != nil {
		return nil, fmt.Errorf("raftkv: %w", err)
	}
	resp, err := s.ask.Do(req)
	if err != nil {
		return nil, fmt.Errorf("raftkv: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return nil, fmt.Errorf("raftkv: %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("raftkv: %s: %s: %.200s", path, resp.Status, body)
	}
	return body, nil
}
