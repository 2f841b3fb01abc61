// Package client talks to a raftlab cluster from Go. It finds the leader, asks another member where one fails, and gives
// each write an idempotency key, so that it is done once however often it is sent: what a caller sees is one attempt that
// takes a little longer. A cluster remembers the last 10,000 keys; each attempt says since when it has been tried, and what
// may have been forgotten is refused, not done again.
//
// After an error of a write, Done says what may be concluded: certainly not done, or perhaps. The second is rare, as a
// write is asked for again until it is answered or the context ends, and it is never called a failure.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// These errors are answers of the cluster: it was reached, and nothing was done.
var (
	// ErrNotFound says that there is no such key.
	ErrNotFound = errors.New("client: no such key")
	// ErrCondition says that the condition of a write did not hold.
	ErrCondition = errors.New("client: the condition does not hold")
)

// Error is how a call ended that was not answered, or was refused. Use errors.As.
type Error struct {
	Status  int    // of the last answer; zero if there was none
	Code    string // "no_leader", "overloaded" and so on, of the last answer
	Message string // for people: what is wrong, and what to do
	// Unknown says that the write may have been done, or may be yet: one of its attempts reached a member that did not
	// say. Without it nothing was done, and nothing will be.
	Unknown bool
	cause   error
}

func (e *Error) Error() string {
	fate := "nothing was done"
	if e.Unknown {
		fate = "it may have been done"
	}
	return "client: " + e.Message + "; " + fate
}

// Unwrap is what broke: the context's error, or that of a connection. ErrNotFound and ErrCondition are found so too.
func (e *Error) Unwrap() error { return e.cause }

// Fate is what may be concluded of a write.
type Fate int

const (
	OK      Fate = iota // done, once
	Failed              // not done, and never will be
	Unknown             // may have been done, or may be yet
)

func (f Fate) String() string { return [...]string{"ok", "failed", "unknown"}[f] }

// Done says what may be concluded of a write that returned err.
func Done(err error) Fate {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e) && e.Unknown:
		return Unknown
	}
	return Failed
}

// Config says where the cluster is. Zero values mean the defaults in brackets.
type Config struct {
	Members []string      // host:port of some members, or all; the leader is found through any
	Token   string        // of the cluster, if it has one
	TLS     *tls.Config   // not nil: HTTPS
	Attempt time.Duration // one attempt at one member, up to a minute; then another is asked [2 s]
	// Dial opens connections [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is safe for concurrent use. Close it to end its connections.
type Client struct {
	config  Config
	scheme  string
	http    *http.Client
	members []string
	next    atomic.Uint32 // the member that is asked next: the leader, as far as known
	seen    atomic.Uint64 // the highest Raft-Index of an answer; one before the first
}

// attemptMax is how long a member waits at most.
const attemptMax = time.Minute

// New makes a Client. Nothing is dialled before the first call.
func New(config Config) (*Client, error) {
	if len(config.Members) == 0 {
		return nil, errors.New("client: no members: give the host:port of at least one")
	}
	for _, m := range config.Members {
		_, _, err := net.SplitHostPort(m)
		if err == nil {
			_, err = url.Parse("http://" + m)
		}
		if err != nil {
			return nil, fmt.Errorf("client: member %q: %w; want host:port", m, err)
		}
	}
	if !fitsHeader(config.Token) {
		return nil, errors.New("client: the token has a control character in it: was the end of the line of its file read too?")
	}
	if config.Attempt == 0 {
		config.Attempt = 2 * time.Second
	}
	if config.Attempt < 0 || config.Attempt > attemptMax {
		return nil, fmt.Errorf("client: Attempt %v must be above 0 and at most %v", config.Attempt, attemptMax)
	}
	if config.Dial == nil {
		config.Dial = (&net.Dialer{Timeout: time.Second}).DialContext
	}
	c := &Client{config: config, scheme: "http", members: slices.Clone(config.Members)}
	c.seen.Store(1)
	if config.TLS != nil {
		c.scheme = "https"
	}
	c.http = &http.Client{
		Transport:     &http.Transport{DialContext: config.Dial, TLSClientConfig: config.TLS, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close ends the client's idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Value is what a key holds.
type Value struct {
	Data        []byte
	ContentType string  // application/json, text/plain or application/octet-stream
	Version     Version // of the write that put it there
}

// Version is the index of the log entry that wrote a key last: versions of one key only grow. Zero is of no write.
type Version uint64

// Get reads a key, linearizably: it sees every write that was done before the call. ErrNotFound: there is no such key.
func (c *Client) Get(ctx context.Context, key string) (Value, error) {
	a, err := c.do(ctx, call{method: http.MethodGet, path: keyPath(key)})
	if err != nil {
		return Value{}, err
	}
	return Value{Data: a.body, ContentType: a.header.Get("Content-Type"), Version: a.version()}, nil
}

// Condition must hold when a write is applied, or the write is not done and ErrCondition returned.
type Condition struct{ header, value string }

// IfVersion: the key was last written by that write, and is still there.
func IfVersion(v Version) Condition {
	return Condition{"If-Match", strconv.Quote(strconv.FormatUint(uint64(v), 10))}
}

// IfAbsent: there is no such key.
func IfAbsent() Condition { return Condition{"If-None-Match", "*"} }

// Put writes a key under conditions, none or one, and returns its new version. Data is kept byte for byte under the
// content type ["application/octet-stream"]; application/json must be valid JSON. It is done once, however often it had to
// be sent. See Done.
func (c *Client) Put(ctx context.Context, key string, v Value, conditions ...Condition) (Version, error) {
	w := call{method: http.MethodPut, path: keyPath(key), body: v.Data, contentType: v.ContentType, conditions: conditions}
	if w.contentType == "" {
		w.contentType = "application/octet-stream"
	}
	if !fitsHeader(w.contentType) {
		return 0, &Error{Message: fmt.Sprintf("content type %q has a control character in it", w.contentType)}
	}
	a, err := c.write(ctx, w)
	if err != nil {
		return 0, err
	}
	return a.version(), nil
}

// Delete removes a key; that there was none is no error, unless a condition says so. See Put and Done.
func (c *Client) Delete(ctx context.Context, key string, conditions ...Condition) error {
	_, err := c.write(ctx, call{method: http.MethodDelete, path: keyPath(key), conditions: conditions})
	return err
}

// Listed is a key of a list.
type Listed struct {
	Key         string  `json:"key"`
	Version     Version `json:"-"`
	Size        int     `json:"size"`
	ContentType string  `json:"content_type"`
	ETag        string  `json:"etag"`
}

// List returns keys that begin with prefix and come after a key, in order, up to limit [100]; more says that there are
// others behind the last. Each page is of one moment; two pages are not.
func (c *Client) List(ctx context.Context, prefix, after string, limit int) (keys []Listed, more bool, err error) {
	query := url.Values{}
	for name, value := range map[string]string{"prefix": prefix, "after": after} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	a, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/kv", query: query})
	if err != nil {
		return nil, false, err
	}
	var page struct {
		Keys []Listed
		Next string
	}
	if err := json.Unmarshal(a.body, &page); err != nil {
		return nil, false, &Error{Status: a.status, Message: "the list cannot be read", cause: err}
	}
	for i := range page.Keys {
		page.Keys[i].Version = versionOf(page.Keys[i].ETag)
	}
	return page.Keys, page.Next != "", nil
}

// keyPath takes every key, also one that is a reserved name or has a slash in it.
func keyPath(key string) string { return "/v1/kv/" + url.PathEscape(key) }

func versionOf(etag string) Version {
	n, _ := strconv.ParseUint(strings.Trim(etag, `"`), 10, 64) // none, or none of ours: zero
	return Version(n)
}

// fitsHeader reports that net/http can send a text in a header. What it cannot, it never can: no attempt may be begun.
func fitsHeader(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
