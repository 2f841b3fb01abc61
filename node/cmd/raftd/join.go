package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"raftlab/node/internal/api"
	"raftlab/node/internal/driver"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer reaches other members: directly, or through an HTTP CONNECT proxy (RFC 9110 §9.3.6), which is how
// the lab gets between local processes.
func dialer(proxy string) dialFunc {
	direct := (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	if proxy == "" {
		return direct
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := direct(ctx, network, proxy)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		reader, err := connect(conn, address)
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("dial %s through proxy %s: %w", address, proxy, err)
		}
		return bufferedConn{conn, reader}, nil
	}
}

func connect(conn net.Conn, address string) (*bufio.Reader, error) {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	reply, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		return nil, errors.New(reply.Status)
	}
	return reader, nil
}

// bufferedConn reads what the proxy sent behind its reply first.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c bufferedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// askIdentity asks the node at the address who it is.
func askIdentity(ctx context.Context, address, token string, client *http.Client) (api.Identity, error) {
	var id api.Identity
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/__pyraft/identity", nil)
	if err != nil {
		return id, err
	}
	authorize(request, token)
	reply, err := client.Do(request)
	if err != nil {
		return id, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return id, refused(reply)
	}
	if err := json.NewDecoder(io.LimitReader(reply.Body, 1<<16)).Decode(&id); err != nil || id.ID == "" {
		return id, &refusedError{"what answers there is no member"}
	}
	return id, nil
}

// refusedError is the answer of who does not let this member in.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// refused is what a member, or whatever answers in its place, has to say. A server of TLS answers plain HTTP with 400.
func refused(reply *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(reply.Body, 1<<12)) // what came of it will do
	var body struct{ Message string }
	switch {
	case reply.StatusCode == http.StatusUnauthorized:
		return &refusedError{"it wants a token, and this member has none or another; give it the cluster's with --token-file"}
	case reply.StatusCode == http.StatusBadRequest && strings.Contains(string(text), "HTTPS"):
		return &refusedError{"it speaks TLS; give this member --tls-cert, --tls-key and --tls-ca"}
	case json.Unmarshal(text, &body) == nil && body.Message != "":
		return &refusedError{reply.Status + ": " + body.Message}
	}
	return &refusedError{"it answered " + reply.Status}
}

func authorize(r *http.Request, token string) {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// bootstrapTimeout is how long a member that may start a cluster looks for one first.
const bootstrapTimeout = 2 * time.Second

// waitsAfter is how long nobody is told that this member waits: others may be starting too.
const waitsAfter = 2 * time.Second

// askCluster waits until one of those to join answers and belongs to a cluster.
func askCluster(ctx context.Context, o options, dial dialFunc, logger *slog.Logger) (api.Identity, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	patience := o.joinTimeout
	if o.bootstrap {
		patience = min(patience, bootstrapTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	began, told := time.Now(), false
	for {
		for _, join := range o.joins {
			id, err := askIdentity(ctx, join, o.token, client)
			if err == nil && id.Cluster != "" {
				return id, nil
			}
			if err == nil {
				err = errors.New("it belongs to no cluster yet")
			}
			if last == nil || ctx.Err() == nil {
				last = err
			}
		}
		if !told && ctx.Err() == nil && time.Since(began) > waitsAfter {
			told = true
			logger.Info("waits for a member of a cluster to answer", "join", o.join, "patience", patience, "last", last)
		}
		if !pause(ctx) {
			return api.Identity{}, nobodyToJoin(o.join, min(patience, time.Since(began).Round(100*time.Millisecond)), last)
		}
	}
}

// nobodyToJoin tells what was wrong last. To start a member there helps only where none answers.
func nobodyToJoin(join string, patience time.Duration, last error) error {
	if answer := (*refusedError)(nil); errors.As(last, &answer) {
		return fmt.Errorf("--join %s: nobody there lets this member in (tried for %v): %w", join, patience, last)
	}
	return fmt.Errorf("--join %s: no member of a cluster answers there (tried for %v): %w; start it first, or leave --join out to start a new cluster", join, patience, last)
}

// sameClusterTimeout is short: it holds up the start of a member that knows where it belongs, and after a power cut
// nobody answers yet.
const sameClusterTimeout = 300 * time.Millisecond

// sameCluster refuses to join another cluster than the one that the data directory is of. That nobody answers is no
// reason: the member knows its cluster already. Nor is it one that a member of its own cluster is in another now: that
// one lost its disk and was started anew, which must not bring down the rest.
func sameCluster(ctx context.Context, o options, dial dialFunc, mine wal.Identity, known raft.Configuration, logger *slog.Logger) error {
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for _, join := range o.joins {
		asking, cancel := context.WithTimeout(ctx, sameClusterTimeout)
		id, err := askIdentity(asking, join, o.token, client)
		cancel()
		_, member := known.FindAddress(join)
		switch {
		case err != nil:
			logger.Info("this member has joined before, so it goes on without an answer to --join", "join", join, "error", err)
		case id.Cluster == "" || id.Cluster == mine.Cluster.String():
		case member:
			logger.Warn("a member of our cluster says that it is in another: did it lose its disk?", "member", join, "cluster", id.Cluster, "ours", mine.Cluster.String())
		default:
			return fmt.Errorf("--join %s: that is cluster %s, but the data directory %s is of cluster %v; join a member of that one, or choose another --data", join, id.Cluster, o.data, mine.Cluster)
		}
	}
	return nil
}

// joinCluster asks to be a member until it is a voter. It returns nil at once for a member that is one. A leader sends only
// to its members: who hears one is a learner already, and gets its vote when it has all, however long that takes. To
// give up then would throw away what has arrived.
func joinCluster(ctx context.Context, o options, dial dialFunc, node *driver.Node, logger *slog.Logger) error {
	if s := node.Status(); o.join == "" || s.Configuration.IsVoter(s.ID) {
		return nil
	}
	for said := false; ; said = true {
		err := tryToJoin(ctx, o, dial, node, logger)
		if answer := (*refusedError)(nil); err == nil || ctx.Err() != nil || errors.As(err, &answer) || node.Status().Leader == 0 {
			return err
		}
		if !said {
			logger.Warn("hears the leader, but has no vote yet: goes on", "last", err)
		}
	}
}

// tryToJoin asks for --join-timeout. A refusedError says that asking again is of no use.
func tryToJoin(ctx context.Context, o options, dial dialFunc, node *driver.Node, logger *slog.Logger) error {
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(ctx, o.joinTimeout)
	defer cancel()
	last := errors.New("nobody has answered")
	for turn := 0; ; turn++ {
		s := node.Status()
		if s.Configuration.IsVoter(s.ID) {
			logger.Info("is a voting member", "voters", s.Configuration.Voters())
			return nil
		}
		refused, err := askToJoin(ctx, o, o.joins[turn%len(o.joins)], client)
		if refused {
			return fmt.Errorf("--join %s: %w", o.join, &refusedError{err.Error()})
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		if !pause(ctx) {
			return fmt.Errorf("--join %s: not a member after %v: %w", o.join, o.joinTimeout, last)
		}
	}
}

// askToJoin asks once. Refused means that asking again is of no use.
func askToJoin(ctx context.Context, o options, join string, client *http.Client) (refused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	url := "http://" + join + "/__pyraft/peer/" + o.advertise + "?timeout=10s"
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, http.NoBody)
	if err != nil {
		return true, err
	}
	authorize(request, o.token)
	reply, err := client.Do(request)
	if err != nil {
		return false, err
	}
	defer reply.Body.Close()
	if reply.StatusCode == http.StatusOK {
		return false, nil
	}
	var body struct{ Error, Message string }
	if err := json.NewDecoder(io.LimitReader(reply.Body, 1<<16)).Decode(&body); err != nil {
		return false, fmt.Errorf("it answered %s", reply.Status)
	}
	again := reply.Header.Get("Retry-After") != "" || reply.StatusCode >= 500
	return !again, errors.New(body.Message)
}

// pause waits a moment that no two members choose alike. It reports false when ctx is over.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(100*time.Millisecond + rand.N(200*time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
