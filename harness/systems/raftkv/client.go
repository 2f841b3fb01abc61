package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"raftlab/harness"
	"raftlab/harness/attempt"
	"raftlab/linearizability"
)

// client makes one attempt on the wire per operation. It has a transport, and so connections, of its own.
type client struct {
	system   *System
	endpoint func(context.Context) (string, error)
	sender   *attempt.Sender
}

// Dial makes a client for one member. Nothing is dialled before the first operation.
func (s *System) Dial(_ string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	return &client{system: s, endpoint: endpoint, sender: attempt.New()}, nil
}

// Close ends the client's connections.
func (c *client) Close() error {
	c.sender.Close()
	return nil
}

// etags remembers which ETag each value had, for all clients: a compare-and-set of the workload names the
// value that it expects, and the node compares ETags. A value is written once, so it has had one ETag only.
type etags struct{ known sync.Map }

type keyValue struct{ key, value string }

func (e *etags) learn(key, value, etag string) {
	if etag != "" {
		e.known.Store(keyValue{key, value}, etag)
	}
}

func (e *etags) of(key, value string) (string, bool) {
	etag, ok := e.known.Load(keyValue{key, value})
	if !ok {
		return "", false
	}
	return etag.(string), true
}

// Do makes one attempt.
func (c *client) Do(ctx context.Context, op linearizability.Operation) linearizability.Result {
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return attempt.Failed("find the member: %v", err)
	}
	req, value, err := c.request(ctx, endpoint, op)
	if err != nil {
		return attempt.Failed("%v", err)
	}
	resp, sent, err := c.sender.Do(req, value)
	if err != nil {
		if !sent {
			return attempt.Failed("nothing was sent: %v", err)
		}
		return attempt.Unknown("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	result := c.judge(op, resp, body, err)
	result.Index, _ = strconv.ParseUint(resp.Header.Get("Raft-Index"), 10, 64)
	result.Term, _ = strconv.ParseUint(resp.Header.Get("Raft-Term"), 10, 64)
	result.ServedBy = resp.Header.Get("Raft-Served-By")
	if result.Outcome == linearizability.OK {
		result.Version = version(resp.Header.Get("Etag"))
	}
	return result
}

func (c *client) request(ctx context.Context, endpoint string, op linearizability.Operation) (*http.Request, []byte, error) {
	method, body := http.MethodGet, []byte(nil)
	switch op.Kind {
	case linearizability.Get:
	case linearizability.Delete:
		method = http.MethodDelete
	case linearizability.Put, linearizability.CAS:
		method, body = http.MethodPut, []byte(op.Value)
	default:
		return nil, nil, fmt.Errorf("raftkv: no request for an operation of kind %q", op.Kind)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+endpoint+"/"+url.PathEscape(op.Key), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("raftkv: %w", err)
	}
	req.Header.Set("X-Request-Id", strconv.FormatInt(op.ID, 10))
	if op.Once != "" {
		req.Header.Set("Idempotency-Key", op.Once)
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/plain")
	}
	if op.Kind == linearizability.CAS {
		etag, ok := c.system.etags.of(op.Key, op.Expect)
		if !ok {
			return nil, nil, fmt.Errorf("raftkv: no reply has told the ETag of %q on %s, so it cannot be expected", op.Expect, op.Key)
		}
		req.Header.Set("If-Match", etag)
	}
	return req, body, nil
}

// judge is the status table of the node's API. readErr is what broke while the body was read.
func (c *client) judge(op linearizability.Operation, resp *http.Response, body []byte, readErr error) linearizability.Result {
	code := resp.StatusCode
	switch {
	case code == http.StatusOK && op.Kind == linearizability.Get:
		if readErr != nil {
			return attempt.Unknown("the value broke off: %v", readErr)
		}
		value := string(body)
		c.system.etags.learn(op.Key, value, resp.Header.Get("Etag"))
		return linearizability.Result{Outcome: linearizability.OK, Got: &value}
	case code == http.StatusOK: // done, even if the body broke off after it
		if op.Kind != linearizability.Delete {
			c.system.etags.learn(op.Key, op.Value, resp.Header.Get("Etag"))
		}
		return linearizability.Result{Outcome: linearizability.OK, Swapped: op.Kind == linearizability.CAS}
	case code == http.StatusNotFound && op.Kind == linearizability.Get && resp.Header.Get("Raft-Index") != "":
		return linearizability.Result{Outcome: linearizability.OK} // without the header it is some other route's 404
	case code == http.StatusPreconditionFailed && op.Kind == linearizability.CAS:
		return linearizability.Result{Outcome: linearizability.OK}
	case code == http.StatusServiceUnavailable, code >= 300 && code < 500:
		if !definite(body) {
			return attempt.Unknown("%s, but not definite: %.200s", resp.Status, body)
		}
		return attempt.Failed("%s: %.200s", resp.Status, body)
	}
	result := attempt.Unknown("%s: %.200s", resp.Status, body) // 504, 500, and what the API does not have
	result.Bug = code == http.StatusInternalServerError        // the API has it for nothing else
	return result
}

// definite is false only where the reply says so itself: a member that answers 503 and then that the write may
// still happen is not believed the 503.
func definite(body []byte) bool {
	var reply struct {
		Definite *bool `json:"definite"`
	}
	return json.Unmarshal(body, &reply) != nil || reply.Definite == nil || *reply.Definite
}

// version is the index in an ETag: of the last write of the key.
func version(etag string) uint64 {
	index, err := strconv.ParseUint(strings.Trim(etag, `"`), 10, 64)
	if err != nil {
		return 0
	}
	return index
}
