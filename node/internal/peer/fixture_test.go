package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ours = raft.ClusterID(0xc0ffee)

// node is a transport behind a real HTTP server on loopback.
type node struct {
	*Transport
	id      raft.ID
	address string
	cluster atomic.Uint64
	got     chan raft.Message
	log     *lines
}

// lines collects log lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func newNode(t *testing.T, id raft.ID, change func(*Config)) *node {
	t.Helper()
	n := &node{id: id, got: make(chan raft.Message, 100_000), log: &lines{}}
	n.cluster.Store(uint64(ours))
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	n.address = server.Listener.Addr().String()
	cfg := Config{
		Self: id, Address: n.address, Cluster: func() raft.ClusterID { return raft.ClusterID(n.cluster.Load()) },
		Deliver: func(m raft.Message) { n.got <- m },
		Logger:  slog.New(slog.NewTextHandler(n.log, nil)),
		// Short, so that tests are; with room for a busy machine.
		DialTimeout: 300 * time.Millisecond, KeepAlive: 50 * time.Millisecond, IdleTimeout: 500 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	n.Transport = New(cfg)
	mux := http.NewServeMux()
	mux.Handle(Path, n.Transport)
	mux.HandleFunc(SnapshotPath, func(w http.ResponseWriter, r *http.Request) { n.ServeSnapshot(logged{w}, r) })
	handler = mux
	t.Cleanup(func() {
		if err := n.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		server.Close()
		if t.Failed() {
			t.Log(n.id, n.Stats(), strings.Join(n.log.all, ""))
		}
	})
	return n
}

// logged is a wrapper that takes the first status for the answer, as one that writes a log does.
type logged struct{ http.ResponseWriter }

func (w logged) WriteHeader(code int) {
	if code < 200 {
		panic("a wrapper saw an interim status")
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w logged) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (n *node) member() raft.Member { return raft.Member{ID: n.id, Address: n.address} }

func (n *node) message(to raft.ID, index int) raft.Message {
	return raft.Message{Type: raft.MsgAppend, Cluster: ours, From: n.id, To: to, Index: raft.Index(index)}
}

func (n *node) peer(id raft.ID) PeerStats {
	for _, p := range n.Stats().Peers {
		if p.ID == id {
			return p
		}
	}
	return PeerStats{}
}

// eventually polls, and fails the test after ten seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func (n *node) connected(t *testing.T, id raft.ID) {
	t.Helper()
	eventually(t, fmt.Sprint(n.id, " connected to ", id), func() bool { return n.peer(id).Connected })
}

// proxy is a link that can be cut, which closes connections, or stalled, which loses nothing and
// passes nothing on: what a dropped route looks like from behind a relay.
type proxy struct {
	address string
	bytes   atomic.Int64 // from the dialer to the target
	trip    atomic.Pointer[func(bytes int64)]
	mu      sync.Mutex
	changed *sync.Cond
	cut     bool
	stalled bool
	closed  bool
	conns   map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), conns: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.carry(in, target) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.set(func() { p.closed = true })
		running.Wait()
	})
	return p
}

// set changes the link, and closes what a cut link cannot keep.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.cut || p.closed {
		for c := range p.conns {
			_ = c.Close()
		}
	}
	p.changed.Broadcast()
}

// pass waits while the link is stalled, and reports whether it is up then.
func (p *proxy) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled && !p.cut && !p.closed {
		p.changed.Wait()
	}
	return !p.cut && !p.closed
}

func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) carry(in net.Conn, target string) {
	out, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
	if err != nil {
		_ = in.Close()
		return
	}
	if !p.track(in) || !p.track(out) {
		_, _ = in.Close(), out.Close()
		return
	}
	var both sync.WaitGroup
	copy := func(to, from net.Conn, count *atomic.Int64) {
		defer func() { _, _ = to.Close(), from.Close() }()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if !p.pass() {
				return
			}
			if total := count.Add(int64(n)); count == &p.bytes {
				if trip := p.trip.Load(); trip != nil {
					(*trip)(total)
				}
			}
			if _, failed := to.Write(b[:n]); failed != nil || err != nil {
				return
			}
		}
	}
	both.Go(func() { copy(out, in, &p.bytes) })
	both.Go(func() { copy(in, out, new(atomic.Int64)) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// shake opens a stream by hand.
func shake(t *testing.T, n *node, from raft.ID) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %x\r\n%s: %x\r\n%s: %x\r\n\r\n",
		Path, Protocol, headerCluster, uint64(ours), headerFrom, uint64(from), headerTo, uint64(n.id))
	if err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 101" {
		t.Fatalf("%q %v", answer, err)
	}
	return conn
}
