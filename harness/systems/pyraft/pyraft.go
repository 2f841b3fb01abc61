// Package pyraft runs any store that speaks PyRaft's documented API: GET, PUT and DELETE of /{key}, and the flags --host,
// --port and --join. Nothing more is asked of it, so the lab cannot know who leads nor whether members agree: faults at the
// leader are skipped, and the verdict is UNKNOWN at best. A violation is found all the same.
package pyraft

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/harness/attempt"
	"raftlab/linearizability"
)

// Options choose what is run: an image in containers, a binary as a process.
type Options struct{ Image, Binary string }

// System is a store with PyRaft's API. It is safe for concurrent use.
type System struct {
	options Options
	ask     *http.Client
}

var (
	_ harness.System  = (*System)(nil)
	_ harness.Limited = (*System)(nil)
)

// New makes the adapter.
func New(o Options) *System {
	return &System{options: o, ask: &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, IdleConnTimeout: 30 * time.Second}}}
}

// Close ends the connections that Ready has left open.
func (s *System) Close() { s.ask.CloseIdleConnections() }

// Name is "pyraft".
func (s *System) Name() string { return "pyraft" }

// Kinds: the API has no compare-and-set.
func (s *System) Kinds() []linearizability.Kind {
	return []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete}
}

// Spec founds the cluster with the first member. The API knows no proxy: as processes its links cannot be cut, and the
// lab says that a partition was not proven. In containers they can.
func (s *System) Spec(self harness.Place, all []harness.Place) harness.Spec {
	host, port, _ := net.SplitHostPort(self.Address) // empty while only the image is looked at
	args := []string{"--host", host, "--port", port}
	if self.Name != all[0].Name {
		args = append(args, "--join", all[0].Address)
	}
	return harness.Spec{Image: s.options.Image, Binary: s.options.Binary, Args: args}
}

// Ready asks for a key that nobody writes: a member that answers, found or not found, serves.
func (s *System) Ready(ctx context.Context, endpoint string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/raftlab-ready", nil)
	if err != nil {
		return fmt.Errorf("pyraft: %w", err)
	}
	resp, err := s.ask.Do(req)
	if err != nil {
		return fmt.Errorf("pyraft: %w", err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("pyraft: %s: %s", resp.Status, said)
	}
	return nil
}

// client makes one attempt on the wire per operation.
type client struct {
	endpoint func(context.Context) (string, error)
	sender   *attempt.Sender
}

// Dial makes a client for one member.
func (s *System) Dial(_ string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	return &client{endpoint: endpoint, sender: attempt.New()}, nil
}

// Close ends the client's connections.
func (c *client) Close() error {
	c.sender.Close()
	return nil
}

// Do says ok only of a 200 that does not say "pending", and failed of a write only where nothing was sent or the answer
// is a redirect, which does nothing. A 404 is an answer of a GET alone.
func (c *client) Do(ctx context.Context, op linearizability.Operation) linearizability.Result {
	if op.Kind == linearizability.CAS {
		return attempt.Failed("the API has no compare-and-set")
	}
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return attempt.Failed("find the member: %v", err)
	}
	method, body := http.MethodGet, []byte(nil)
	switch op.Kind {
	case linearizability.Put:
		method = http.MethodPut
		if body, err = json.Marshal(op.Value); err != nil {
			return attempt.Failed("%v", err)
		}
	case linearizability.Delete:
		method = http.MethodDelete
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+endpoint+"/"+url.PathEscape(op.Key), nil)
	if err != nil {
		return attempt.Failed("%v", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, sent, err := c.sender.Do(req, body)
	if err != nil && !sent {
		return attempt.Failed("nothing was sent: %v", err)
	}
	if err != nil {
		return attempt.Lost(op.Kind)("no answer: %v", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 2<<20))
	return judge(op, resp, said, err)
}

func judge(op linearizability.Operation, resp *http.Response, said []byte, readErr error) linearizability.Result {
	get := op.Kind == linearizability.Get
	switch {
	case resp.StatusCode == http.StatusOK && get && readErr != nil:
		return attempt.Failed("the value broke off: %v", readErr)
	case resp.StatusCode == http.StatusOK && get:
		return linearizability.Result{Outcome: linearizability.OK, Got: linearizability.Value(text(said))}
	case resp.StatusCode == http.StatusNotFound && get:
		return linearizability.Result{Outcome: linearizability.OK}
	case resp.StatusCode == http.StatusOK && pending(said):
		return attempt.Unknown("pending: %.200s", said) // a slow commit
	case resp.StatusCode == http.StatusOK:
		return linearizability.Result{Outcome: linearizability.OK}
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return attempt.Failed("%s to %s", resp.Status, resp.Header.Get("Location"))
	}
	return attempt.Lost(op.Kind)("%s: %.200s", resp.Status, said)
}

// text takes a value out of its JSON, where the store gives back what it was given.
func text(said []byte) string {
	var s string
	if json.Unmarshal(said, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(said))
}

func pending(said []byte) bool {
	var reply struct{ Status string }
	return json.Unmarshal(said, &reply) == nil && reply.Status == "pending"
}
