package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

const (
	forwardedHeader   = "Raft-Forwarded"    // set by the member that forwards; one hop only
	forwardedByHeader = "Raft-Forwarded-By" // in the reply: its address
	clusterHeader     = "Raft-Cluster"      // of the member that forwards, 16 hexadecimal digits; an older build sends none
	leftHeader        = "Raft-Timeout-Ms"   // how much of the client's time is left
	// idempotencyKeyHeader is Idempotency-Key between members: see forwarder.
	idempotencyKeyHeader = "Raft-Idempotency-Key"
)

// forwarder carries requests to the leader. Its promise: an error that is not sentError means that not one
// byte of the request left this member.
//
// That promise needs care with http.Transport, which by itself sends a request again on a fresh connection
// when a kept one turns out to be dead. It does so only if nothing was written, or if the request is
// "replayable": method GET, HEAD, OPTIONS or TRACE, or a header Idempotency-Key with a body that it can
// rewind (shouldRetryRequest, isReplayable). A PUT or DELETE as it is built here is neither, and has no
// GetBody. A version of Go that changes its mind would be found by TestForwardNeverSendsAWriteTwice.
//
// An Idempotency-Key would make a request replayable, so it travels under another name. A repeat would be
// harmless, but an attempt of a client is one attempt on every link.
//
// With TLS the connections come from TLS.Dial with the handshake done, and the counting is of what was
// written to them: a record that was sent in part cannot be read by the other side.
type forwarder struct {
	transport     *http.Transport
	authorization []string // of this member; nil without a token
}

func newForwarder(dial dialFunc, token string) *forwarder {
	var authorization []string
	if token != "" {
		authorization = []string{"Bearer " + token}
	}
	return &forwarder{authorization: authorization, transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     idleTimeout / 2, // below the server's: we close first, so no request meets a closing connection
		DisableCompression:  true,
		WriteBufferSize:     16 << 10,
		ReadBufferSize:      16 << 10,
	}}
}

// countedConn counts writes before they are made, and can be sealed against more. With both, "was anything
// of this request sent?" has an exact answer although http.Transport writes from another goroutine.
type countedConn struct {
	net.Conn
	mu     sync.Mutex
	writes int
	sealed bool
}

var errSealed = errors.New("api: connection given up")

func (c *countedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.sealed {
		c.mu.Unlock()
		return 0, errSealed
	}
	c.writes++
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	if n == 0 && err != nil { // not a byte reached the kernel
		c.mu.Lock()
		c.writes--
		c.mu.Unlock()
	}
	return n, err
}

func (c *countedConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// seal stops all further writes, and reports whether there was none since the count.
func (c *countedConn) seal(count int) (unused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.writes == count
}

// sentError says that the request may have arrived.
type sentError struct{ err error }

func (e *sentError) Error() string {
	return "api: no reply after the request was sent: " + e.err.Error()
}
func (e *sentError) Unwrap() error { return e.err }

// newRequest is for another member, which is shown the token. The scheme is http even with TLS: see TLS.Dial.
func (f *forwarder) newRequest(ctx context.Context, method, address, escapedPath string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+escapedPath, body)
	if err == nil && f.authorization != nil {
		request.Header["Authorization"] = f.authorization
	}
	return request, err
}

// do sends the request once and reads the whole reply.
func (f *forwarder) do(request *http.Request, replyBytesMax int64) (*http.Response, []byte, error) {
	type use struct {
		conn  *countedConn
		count int
	}
	var mu sync.Mutex
	var uses []use // more than one only if the transport met a dead connection before it wrote
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if conn, ok := info.Conn.(*countedConn); ok {
			mu.Lock()
			uses = append(uses, use{conn, conn.count()})
			mu.Unlock()
		}
	}}
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), trace))
	request.GetBody = nil
	response, err := f.transport.RoundTrip(request)
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		sent := false
		for _, u := range uses {
			if !u.conn.seal(u.count) {
				sent = true
			}
			u.conn.Close() // sealed: of no more use to the pool
		}
		if sent {
			return nil, nil, &sentError{err}
		}
		return nil, nil, err // not dialled, or no byte written
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, replyBytesMax+1))
	if err == nil && int64(len(body)) > replyBytesMax {
		err = errors.New("the reply is too long")
	}
	if err != nil {
		return nil, nil, &sentError{err}
	}
	return response, body, nil
}

func lostLeadership(err error) bool {
	return errors.Is(err, driver.ErrNotLeader) && !errors.Is(err, driver.ErrUnknown)
}

// redirects reports whether the client is to be sent to the leader itself. A request that another member
// forwarded never is.
func (s *Server) redirects(x *exchange, p parameters) bool {
	return (s.redirect || p.redirect) && x.r.Header.Get(forwardedHeader) == ""
}

// sendToLeader answers 307: unlike 301 and 302 it keeps method and body in every client.
func (s *Server) sendToLeader(x *exchange) *failure {
	leader := s.node.Status().LeaderAddress
	if leader == "" {
		return refusal(driver.ErrNoLeader)
	}
	location := s.scheme + "://" + leader + x.r.URL.EscapedPath()
	if x.r.URL.RawQuery != "" {
		location += "?" + x.r.URL.RawQuery
	}
	h := x.Header()
	h.Set("Location", location)
	h.Set("Raft-Leader", leader)
	s.body(x, http.StatusTemporaryRedirect, "text/plain; charset=utf-8", []byte("the leader is at "+location+"\n"))
	return nil
}

// forwardedHeaders go along with the request; all else belongs to the client's own hop.
var forwardedHeaders = []string{"Content-Type", "If-Match", "If-None-Match", "X-Request-Id", "Accept", "Idempotency-Since"}

// replyHeaders come back with the answer. Raft-Served-By is then the leader's.
var replyHeaders = []string{"Content-Type", "Etag", "Allow", "Retry-After", "Raft-Retry-After-Ms", "Idempotent-Replayed", "Raft-Index", "Raft-Term", "Raft-Leader", "Raft-Served-By"}

// Text that is echoed as JSON grows up to six times.
const replyBytesMax = 8 << 20

// astray refuses what a member of another cluster forwards: it means the leader that was at our address before. If that one
// lost its disk and was started anew, it leads a cluster of its own by now, and would acknowledge what its own forgets.
func (s *Server) astray(r *http.Request) *failure {
	theirs := r.Header.Get(clusterHeader)
	if theirs == "" || r.Header.Get(forwardedHeader) == "" {
		return nil
	}
	if ours := s.node.Status().Cluster.String(); theirs != ours {
		return unavailable("other_cluster", "this was forwarded by a member of cluster %.16q to its leader, but the member at this address is of cluster %s now; try again", theirs, ours)
	}
	return nil
}

// passOn has the leader answer: by forwarding the request, one hop, or by a redirect.
func (s *Server) passOn(ctx context.Context, x *exchange, p parameters, body []byte) *failure {
	status := s.node.Status()
	switch {
	case x.r.Header.Get(forwardedHeader) != "":
		return refusal(driver.ErrNotLeader) // who forwarded it here knew an old leader
	case s.redirects(x, p):
		return s.sendToLeader(x)
	case status.LeaderAddress == "":
		return refusal(driver.ErrNoLeader)
	case status.Role == raft.Leader || status.Leader == status.ID:
		return refusal(driver.ErrNotReady) // elected since we looked
	}
	request, err := s.forward.newRequest(ctx, x.r.Method, status.LeaderAddress, x.r.URL.EscapedPath(), bytes.NewReader(body))
	if err != nil {
		return unavailable("leader_unreachable", "the leader's address %q is of no use: %v", status.LeaderAddress, err)
	}
	request.URL.RawQuery = x.r.URL.RawQuery
	for _, name := range forwardedHeaders {
		if values := x.r.Header[name]; len(values) > 0 {
			request.Header[name] = values
		}
	}
	if values := x.r.Header["Idempotency-Key"]; len(values) > 0 {
		request.Header[idempotencyKeyHeader] = values
	}
	request.Header["X-Request-Id"] = []string{x.id}
	request.Header[forwardedHeader] = []string{"1"}
	request.Header[clusterHeader] = []string{status.Cluster.String()}
	if deadline, ok := ctx.Deadline(); ok {
		request.Header[leftHeader] = []string{strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10)}
	}
	response, reply, err := s.forward.do(request, replyBytesMax)
	if err != nil {
		return forwardFailed(status.LeaderAddress, err)
	}
	if response.Header.Get("Raft-Served-By") == "" {
		return pending("unknown", "what answered at the leader's address "+status.LeaderAddress+" is not a member; it is not known what it did")
	}
	h := x.Header()
	for _, name := range replyHeaders {
		if values := response.Header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	h[forwardedByHeader] = s.servedBy
	h["Content-Length"] = []string{strconv.Itoa(len(reply))}
	x.WriteHeader(response.StatusCode)
	x.Write(reply)
	return nil
}

func forwardFailed(leader string, err error) *failure {
	if sent := (*sentError)(nil); errors.As(err, &sent) {
		if errors.Is(err, context.DeadlineExceeded) {
			return pending("timeout", "sent to the leader "+leader+", which did not answer in time: it may be done yet; read the key, or for members GET /__pyraft/peers, to find out")
		}
		return pending("unknown", "the link to the leader "+leader+" broke after the request was sent: it may be done; read the key, or for members GET /__pyraft/peers, to find out")
	}
	return unavailable("leader_unreachable", "the leader %s cannot be reached, nothing was sent: %v", leader, err)
}
