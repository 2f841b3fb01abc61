// Package kvd is the adapter for the store in harness/testdata/kvd, as a user writes one for a store of their own: a
// System with Inspect, and a Client. It is not the lab's own node, and shares nothing with it; start a copy here.
package kvd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"raftlab/harness"
	"raftlab/linearizability"
)

// System runs kvd. It is safe for concurrent use. Its clients share a transport; close it with Close.
type System struct {
	Image, Binary string // in containers, as a process: only the one that is used need be given

	once  sync.Once
	http  *http.Client
	etags sync.Map // value -> ETag
}

var (
	_ harness.System    = (*System)(nil)
	_ harness.Inspector = (*System)(nil)
)

// Name is "kvd".
func (s *System) Name() string { return "kvd" }

// Spec makes the first member the primary, and tells the others where it is.
func (s *System) Spec(self harness.Place, all []harness.Place) harness.Spec {
	args := []string{"--listen", self.Listen, "--data", self.Data}
	if self.Name != all[0].Name {
		args = append(args, "--primary", all[0].Address)
	}
	if self.PeerProxy != "" {
		args = append(args, "--peer-proxy", self.PeerProxy)
	}
	return harness.Spec{Image: s.Image, Binary: s.Binary, Args: args}
}

func (s *System) client() *http.Client {
	s.once.Do(func() { s.http = &http.Client{Transport: &http.Transport{}} })
	return s.http
}

// Close ends the connections that the clients have left open.
func (s *System) Close() { s.client().CloseIdleConnections() }

// Ready is GET /readyz.
func (s *System) Ready(ctx context.Context, endpoint string) error {
	_, _, err := s.call(ctx, http.MethodGet, "http://"+endpoint+"/readyz", "", "")
	return err
}

// Inspect is GET /status, whose names are those of harness.Status already.
func (s *System) Inspect(ctx context.Context, endpoint string) (harness.Status, error) {
	_, body, err := s.call(ctx, http.MethodGet, "http://"+endpoint+"/status", "", "")
	if err != nil {
		return harness.Status{}, err
	}
	var status harness.Status
	return status, json.Unmarshal([]byte(body), &status)
}

func (s *System) call(ctx context.Context, method, url, body, match string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.GetBody = nil // net/http sends a request again only if it can read its body again
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 500 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return resp, string(answer), err
}

// Dial makes a client of one member. The lab asks endpoint again before each attempt: a member may have moved.
func (s *System) Dial(_ string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	return &client{system: s, endpoint: endpoint}, nil
}

type client struct {
	system   *System
	endpoint func(context.Context) (string, error)
}

func (c *client) Close() error { return nil }

// Do says failed only where nothing was sent, or the store says that nothing was done (503). Whatever else goes wrong
// may have gone wrong after the write was done: that is unknown.
func (c *client) Do(ctx context.Context, op linearizability.Operation) linearizability.Result {
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return linearizability.Result{Outcome: linearizability.Failed, Error: err.Error()}
	}
	method, match := map[linearizability.Kind]string{
		linearizability.Get: http.MethodGet, linearizability.Put: http.MethodPut,
		linearizability.CAS: http.MethodPut, linearizability.Delete: http.MethodDelete,
	}[op.Kind], ""
	if op.Kind == linearizability.CAS {
		etag, ok := c.system.etags.Load(op.Expect)
		if !ok {
			return linearizability.Result{Outcome: linearizability.Failed, Error: "no ETag known for " + op.Expect}
		}
		match = etag.(string)
	}
	resp, body, err := c.system.call(ctx, method, "http://"+endpoint+"/"+op.Key, op.Value, match)
	if err != nil {
		result := linearizability.Result{Outcome: linearizability.Unknown, Error: err.Error()}
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" || resp != nil && resp.StatusCode == http.StatusServiceUnavailable {
			result.Outcome = linearizability.Failed
		}
		return result
	}
	result := linearizability.Result{Outcome: linearizability.OK}
	value := op.Value
	switch op.Kind {
	case linearizability.Get:
		if resp.StatusCode == http.StatusNotFound {
			return result
		}
		result.Got, value = &body, body
	case linearizability.CAS:
		result.Swapped = resp.StatusCode == http.StatusOK
	}
	if etag := resp.Header.Get("ETag"); etag != "" {
		c.system.etags.Store(value, etag)
	}
	return result
}
