package raftkv

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// newTransport makes a transport whose connections count what they send.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
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
	}
}

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

// roundTrip makes one attempt. Where it has an error, sent is false only if not one byte of the request was
// given to the kernel: then the request certainly did not happen. The error itself does not tell: the transport
// returns when a deadline passes or a reused connection turns out to be closed, while its writer may still write.
func roundTrip(t *http.Transport, req *http.Request) (resp *http.Response, sent bool, err error) {
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
	resp, err = t.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil {
		return resp, true, nil
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	return nil, conn != nil && conn.stop() > before, err
}
