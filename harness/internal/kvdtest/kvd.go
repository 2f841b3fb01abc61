// Package kvdtest builds the store in harness/testdata/kvd, describes it to the lab, and checks with it that a
// world keeps its promises. It is also an example of an adapter for a foreign store.
package kvdtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Build compiles a package of this module into dir, as a static binary.
func Build(dir, pkg string) (string, error) {
	binary := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	_, self, _, _ := runtime.Caller(0)
	cmd.Dir = filepath.Dir(self)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return binary, nil
}

// Package is the import path of the store.
const Package = "raftlab/harness/testdata/kvd"

// System runs kvd. Its clients share a transport; close it with CloseIdle.
type System struct {
	Image, Binary string

	once  sync.Once
	http  *http.Client
	etags sync.Map // value -> ETag
}

func (s *System) Name() string { return "kvd" }

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

// CloseIdle ends the connections that the clients have left open.
func (s *System) CloseIdle() { s.client().CloseIdleConnections() }

func (s *System) Ready(ctx context.Context, endpoint string) error {
	_, _, err := s.call(ctx, http.MethodGet, "http://"+endpoint+"/readyz", "", "")
	return err
}

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

func (s *System) Dial(_ string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	return &client{system: s, endpoint: endpoint}, nil
}

type client struct {
	system   *System
	endpoint func(context.Context) (string, error)
}

func (c *client) Close() error { return nil }

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
