package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// call is one thing to be done, by as many attempts as it takes.
type call struct {
	method, path string
	query        url.Values
	body         []byte
	contentType  string
	once         string // the idempotency key of a write: attempts with one key are done once together
	since        uint64 // an entry that was there before the first attempt
	conditions   []Condition
}

// answer is a whole reply.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) version() Version { return versionOf(a.header.Get("Etag")) }

// replyBytesMax is above every reply: a value has at most 1 MiB, a page of keys some hundred KiB.
const replyBytesMax = 16 << 20

// The wait between two attempts doubles from the one to the other, and none waits quite so long as another.
const (
	waitMin = 20 * time.Millisecond
	waitMax = 500 * time.Millisecond
)

// forgotten is the answer to a write of which the cluster may have forgotten that it was done.
const forgotten = "idempotency_key_forgotten"

// write is do, once. A client that has been silent for long is told that its write may have been forgotten when it has
// sent nothing yet; the answer says since when it can begin.
func (c *Client) write(ctx context.Context, w call) (*answer, error) {
	for {
		w.once, w.since = rand.Text(), c.seen.Load()
		a, err := c.do(ctx, w)
		var e *Error
		if !errors.As(err, &e) || e.Code != forgotten || e.Unknown || c.seen.Load() == w.since {
			return a, err
		}
	}
}

// do makes attempts until one is answered for good, or the context ends.
func (c *Client) do(ctx context.Context, w call) (*answer, error) {
	unknown, wait := false, waitMin
	for {
		at := c.next.Load()
		a, sent, err := c.attempt(ctx, c.members[at], w)
		unknown = unknown || w.once != "" && sent > 1
		if err == nil {
			err = a.err()
		}
		c.follow(at, a)
		if a != nil && a.final(err) {
			return a, fated(err, unknown)
		}
		unknown = unknown || w.once != "" && sent > 0 && (a == nil || a.maybe())
		timer := time.NewTimer(wait/2 + mathrand.N(wait/2))
		select {
		case <-timer.C:
			wait = min(2*wait, waitMax)
		case <-ctx.Done():
			timer.Stop()
			return nil, gaveUp(ctx, a, err, unknown)
		}
	}
}

// fated makes a refusal unknown if an earlier attempt may have been done. What the state machine answered for the key of
// the write is the answer to all attempts.
func fated(err error, unknown bool) error {
	var e *Error
	if errors.As(err, &e) && e.cause == nil {
		e.Unknown = e.Unknown || unknown
	}
	return err
}

func gaveUp(ctx context.Context, a *answer, err error, unknown bool) error {
	e := &Error{Unknown: unknown, cause: ctx.Err(), Message: fmt.Sprintf("%v: no answer; at last: %v", ctx.Err(), err)}
	var last *Error
	if a != nil && errors.As(err, &last) {
		e.Status, e.Code = last.Status, last.Code
		e.Message = fmt.Sprintf("%v: no member did it; the last said: %s", ctx.Err(), last.Message)
	}
	return e
}

// attempt asks one member once. Sent is on how many connections: some of the request may have arrived on each. More than one
// there is where http.Transport finds that a connection that it has kept is gone, and by itself sends what has an
// idempotency key once more: the answer is to the last only.
func (c *Client) attempt(ctx context.Context, member string, w call) (a *answer, sent int32, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Attempt)
	defer cancel()
	var connected atomic.Int32 // by a goroutine of the transport, perhaps
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Add(1) }})
	query := url.Values{"timeout": {c.config.Attempt.String()}}
	for name, values := range w.query {
		query[name] = values
	}
	request, err := http.NewRequestWithContext(ctx, w.method, c.scheme+"://"+member+w.path+"?"+query.Encode(), bytes.NewReader(w.body))
	if err != nil {
		return nil, 0, err
	}
	if c.config.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	if w.once != "" {
		request.Header.Set("Idempotency-Key", w.once)
		request.Header.Set("Idempotency-Since", strconv.FormatUint(w.since, 10))
	}
	if w.contentType != "" {
		request.Header.Set("Content-Type", w.contentType)
	}
	for _, condition := range w.conditions {
		request.Header.Set(condition.header, condition.value)
	}
	reply, err := c.http.Do(request)
	if err != nil {
		return nil, connected.Load(), err
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(reply.Body, replyBytesMax))
	if err != nil {
		return nil, connected.Load(), err
	}
	c.see(reply.Header.Get("Raft-Index"))
	return &answer{reply.StatusCode, reply.Header, body}, connected.Load(), nil
}

// see remembers the highest index of an answer.
func (c *Client) see(index string) {
	n, _ := strconv.ParseUint(index, 10, 64) // an answer without one is of none
	for seen := c.seen.Load(); seen < n && !c.seen.CompareAndSwap(seen, n); seen = c.seen.Load() {
	}
}

// ours reports that a member answered. Else it was something between or in its place, whose word is good for little: a
// proxy says 503 of a request that it has sent on, and what has a member's address today may say 200 to everything.
func (a *answer) ours() bool { return a.header.Get("Raft-Served-By") != "" }

// err is what an answer says went wrong, or nil.
func (a *answer) err() error {
	e := &Error{Status: a.status, Code: "http_" + strconv.Itoa(a.status)}
	if !a.ours() {
		e.Message = fmt.Sprintf("what answered is no member, and said %d %s", a.status, http.StatusText(a.status))
		return e
	}
	if a.status == http.StatusOK {
		return nil
	}
	e.Message = http.StatusText(a.status)
	var body struct{ Error, Message string }
	if json.Unmarshal(a.body, &body) == nil && body.Error != "" {
		e.Code, e.Message = body.Error, body.Message
	}
	switch {
	case e.Code == "key_not_found":
		e.cause = ErrNotFound
	case a.status == http.StatusPreconditionFailed:
		e.cause = ErrCondition
	}
	return e
}

// final reports that another attempt would be told the same: it was done, a mistake of the caller, or an answer of the
// state machine.
func (a *answer) final(err error) bool {
	switch a.status {
	case http.StatusOK:
		return a.ours()
	case http.StatusConflict:
		var e *Error
		return errors.As(err, &e) && e.Code == forgotten
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return a.refuses()
}

// refuses reports that the request was not taken, for what is wrong with it: that is so whoever says it.
func (a *answer) refuses() bool { return a.status >= 400 && a.status < 500 }

// maybe reports whether the write of an attempt with this answer may be done yet.
func (a *answer) maybe() bool {
	switch a.status {
	case http.StatusTemporaryRedirect, http.StatusServiceUnavailable:
		return !a.ours()
	}
	return !a.refuses()
}

// follow decides who is asked next: who leads, if the answer names one of the members, or the next after one that was of no
// use. Another address than those that were given may be good only among the members themselves. Many calls may find
// out at once that a member is of no use: they go on to the same next one, and none comes back.
func (c *Client) follow(asked uint32, a *answer) {
	if a != nil && a.ours() {
		leader := slices.Index(c.members, a.header.Get("Raft-Leader"))
		if leader >= 0 && (uint32(leader) != asked || a.status == http.StatusOK) {
			c.next.Store(uint32(leader))
			return
		}
		if a.status < 500 && a.status != http.StatusTemporaryRedirect {
			return
		}
	}
	c.next.CompareAndSwap(asked, (asked+1)%uint32(len(c.members)))
}
