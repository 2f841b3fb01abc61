// Package attempt sends an HTTP request once and knows whether anything of it was sent: what an adapter needs to say
// "failed" only of what certainly did not happen. It follows no redirect and repeats nothing.
package attempt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"raftlab/linearizability"
)

// Failed is the result of what certainly did not happen, and why.
func Failed(format string, args ...any) linearizability.Result {
	return linearizability.Result{Outcome: linearizability.Failed, Error: fmt.Sprintf(format, args...)}
}

// Unknown is the result of what may have happened, or may yet, and why nobody can say.
func Unknown(format string, args ...any) linearizability.Result {
	return linearizability.Result{Outcome: linearizability.Unknown, Error: fmt.Sprintf(format, args...)}
}

// Lost is what an attempt without a clear answer ends in: a read changed nothing and has Failed, a write is Unknown.
func Lost(kind linearizability.Kind) func(format string, args ...any) linearizability.Result {
	if kind == linearizability.Get {
		return Failed
	}
	return Unknown
}

// Sender has a transport, and so connections, of its own. It is safe for concurrent use.
type Sender struct{ transport *http.Transport }

// New makes a Sender. Nothing is dialled before the first request.
func New() *Sender {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Sender{&http.Transport{
		Proxy: nil, // never through a proxy of the environment
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
	}}
}

// Close ends the connections that are idle.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// countedConn knows how many bytes the kernel has taken from it, and can be stopped for good.
type countedConn struct {
	net.Conn
	mu      sync.Mutex // held during a write
	sent    int64
	stopped bool
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return 0, errPoisoned
	}
	n, err := c.Conn.Write(b)
	c.sent += int64(n)
	return n, err
}

func (c *countedConn) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// stop closes the connection and returns how much was sent on it; nothing more ever will be.
func (c *countedConn) stop() int64 {
	c.Conn.Close() // first, so that a write under way ends
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	return c.sent
}

// Do makes one attempt with the request and this body, which net/http cannot send again. Where it has an error, sent is false only if not one byte of the request was
// given to the kernel: then the request certainly did not happen. The error itself does not tell: the transport
// returns when a deadline passes or a reused connection turns out to be closed, while its writer may still write.
func (s *Sender) Do(req *http.Request, body []byte) (resp *http.Response, sent bool, err error) {
	once(req, body)
	var (
		mu     sync.Mutex
		over   bool
		conn   *countedConn
		before int64
	)
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		counted, ok := info.Conn.(*countedConn)
		if !ok {
			return
		}
		if over {
			counted.stop()
			return
		}
		conn, before = counted, counted.count()
	}}
	resp, err = s.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil {
		return resp, true, nil
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	return nil, conn != nil && conn.stop() > before, err
}

// once gives the request a body that net/http cannot send again.
//
// Transport.RoundTrip repeats a request that broke on a connection which was used before, if the request is a
// GET without a body or has GetBody (Request.isReplayable, persistConn.shouldRetryRequest). A body that is not nil,
// not http.NoBody and without GetBody is never repeated, whatever the method. For a GET or DELETE the transport
// finds that it is empty and sends none.
func once(req *http.Request, body []byte) {
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.ContentLength = int64(len(body))
	req.GetBody = nil
}

var errPoisoned = errors.New("attempt: it is over")
