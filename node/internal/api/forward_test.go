package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

func TestEveryMemberAnswers(t *testing.T) {
	members, _ := three(t, nil)
	leader := members[0].address
	for i, m := range members {
		key := fmt.Sprintf("/v1/kv/dir/k%d", i)
		put := do(t, m, "PUT", key+"?timeout=10s", `{"n":1}`, "Content-Type", "application/json", "X-Request-ID", "op-1", "If-None-Match", "*").want(t, 200)
		if put.h.Get("Raft-Served-By") != leader || put.h.Get("X-Request-Id") != "op-1" || put.h.Get("Raft-Leader") != leader {
			t.Errorf("PUT at %s: %v", m.address, put.h)
		}
		if by := put.h.Get("Raft-Forwarded-By"); (by == m.address) != (i > 0) {
			t.Errorf("PUT at %s: forwarded by %q", m.address, by)
		}
		again := do(t, m, "PUT", key, "x", "If-None-Match", "*")
		if again.failed(t, 412, "condition_failed"); again.h.Get("ETag") != put.h.Get("ETag") {
			t.Errorf("412 at %s: %v", m.address, again.h)
		}
		for _, reader := range members { // linearizable: right after, and anywhere
			get := do(t, reader, "GET", key, "").want(t, 200)
			if get.body != `{"n":1}` || get.h.Get("ETag") != put.h.Get("ETag") || get.h.Get("Raft-Served-By") != reader.address {
				t.Errorf("GET at %s: %q %v", reader.address, get.body, get.h)
			}
		}
		do(t, m, "DELETE", key, "", "If-Match", put.h.Get("ETag")).want(t, 200)
		do(t, members[(i+1)%3], "GET", key, "").failed(t, 404, "key_not_found")
		do(t, m, "PUT", "/q%3F%2Fx", "v").want(t, 200)
		if _, ok, _ := members[0].store.Get("q?/x"); !ok {
			t.Errorf("PUT at %s: the escaped path did not arrive as it was", m.address)
		}
		// bad input is found where it arrives
		if r := do(t, m, "PUT", "/k", "{", "Content-Type", "application/json"); r.code != 400 || r.h.Get("Raft-Served-By") != m.address {
			t.Errorf("bad JSON at %s: %d by %s", m.address, r.code, r.h.Get("Raft-Served-By"))
		}
	}
}

func TestForwardingStopsAfterOneHop(t *testing.T) {
	members, _ := three(t, nil)
	last := members[0].node.Status().Last
	r := do(t, members[1], "PUT", "/k", "v", forwardedHeader, "1")
	if r.failed(t, 503, "not_leader"); r.h.Get("Retry-After") != "1" {
		t.Errorf("%v", r.h)
	}
	do(t, members[1], "PUT", "/k?redirect", "v", forwardedHeader, "1").failed(t, 503, "not_leader")
	if now := members[0].node.Status().Last; now != last {
		t.Errorf("the log grew from %d to %d", last, now)
	}
}

// TestAnotherClusterDoesNotAnswerForALeaderThatLostItsDisk: a write that a member of ours forwards to the address of its
// leader, where another cluster is meanwhile, was acknowledged by that one, and nobody of ours had seen it.
func TestAnotherClusterDoesNotAnswerForALeaderThatLostItsDisk(t *testing.T) {
	anew := start(t, newNetwork(), 7, 0xbad, nil)
	eventually(t, "the new cluster has a leader", func() bool { _, err := anew.node.ReadIndex(t.Context()); return err == nil })
	last := anew.node.Status().Last
	ours := follower(t, anew.address, nil)
	for _, method := range []string{"PUT", "DELETE"} {
		do(t, ours, method, "/k", "v").failed(t, 503, "other_cluster")
		do(t, ours, method, "/__pyraft/peer/"+ours.address, "").failed(t, 503, "other_cluster")
	}
	if now := anew.node.Status().Last; now != last {
		t.Errorf("the log of the other cluster grew from %d to %d", last, now)
	}
	do(t, anew, "PUT", "/k", "v", forwardedHeader, "1", clusterHeader, "0000000000000bad").want(t, 200)
	do(t, anew, "PUT", "/k", "v", forwardedHeader, "1").want(t, 200) // of an older build
	do(t, anew, "PUT", "/k", "v", clusterHeader, "of a client").want(t, 200)
}

func TestRedirectKeepsMethodPathAndQuery(t *testing.T) {
	members, _ := three(t, nil)
	leader, follower := members[0], members[1]
	for _, method := range []string{"PUT", "DELETE", "GET", "HEAD"} {
		r := do(t, follower, method, "/a%2Fb?redirect&timeout=2s", "v").want(t, 307)
		if want := "http://" + leader.address + "/a%2Fb?redirect&timeout=2s"; r.h.Get("Location") != want {
			t.Errorf("%s: Location %s, want %s", method, r.h.Get("Location"), want)
		}
		do(t, leader, method, "/a%2Fb?redirect", "v")
	}
	do(t, follower, "GET", "/a%2Fb?redirect&consistency=stale", "").failed(t, 404, "key_not_found") // stale is local
	following := &http.Client{}
	request, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://"+follower.address+"/k?redirect", strings.NewReader("whole body"))
	response, err := following.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if item, _, _ := leader.store.Get("k"); response.StatusCode != 200 || string(item.Value) != "whole body" {
		t.Errorf("PUT through a redirect: %d, stored %q", response.StatusCode, item.Value)
	}
	following.CloseIdleConnections()
}

func TestNotLeaderRedirect(t *testing.T) {
	members, _ := three(t, func(c *Config) { c.NotLeader = "redirect" })
	do(t, members[2], "PUT", "/k", "v").want(t, 307)
	do(t, members[2], "GET", "/k", "").want(t, 307)
	do(t, members[2], "PUT", "/__pyraft/peer/127.0.0.1:1", "").want(t, 307)
	do(t, members[0], "PUT", "/k", "v").want(t, 200)
}

// follower is a member that takes the address for the leader's, whatever is there.
func follower(t *testing.T, leader string, dial func(context.Context, string, string) (net.Conn, error)) *member {
	return one(t, func(c *Config) {
		c.Node = &bent{Node: c.Node, status: func(s driver.Status) driver.Status {
			s.Role, s.Leader, s.LeaderAddress = raft.Follower, 99, leader
			return s
		}}
		c.Dial = dial
	})
}

// fake listens and gives every connection to serve, which may break it anywhere.
func fake(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	done.Add(1)
	go func() {
		defer done.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			done.Add(1)
			go func() {
				defer done.Done()
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return listener.Addr().String()
}

// take reads a whole request.
func take(r *bufio.Reader) error {
	request, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, request.Body)
	}
	return err
}

const okReply = "HTTP/1.1 200 OK\r\nRaft-Served-By: leader\r\nContent-Length: 3\r\n\r\nok\n"

// The link to the leader is broken at each stage. Only when nothing left this member may it say 503.
func TestBrokenLinkAtEachStage(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	refused := gone.Addr().String()
	quiet := fake(t, func(_ net.Conn, r *bufio.Reader) { take(r); r.ReadByte() })

	for _, c := range []struct {
		stage  string
		leader string
		dial   func(context.Context, string, string) (net.Conn, error)
		status int
		code   string
	}{
		{stage: "nobody listens", leader: refused, status: 503, code: "leader_unreachable"},
		{stage: "no route", leader: quiet, status: 503, code: "leader_unreachable",
			dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to host") }},
		{stage: "dial does not come back", leader: quiet, status: 503, code: "leader_unreachable",
			dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
		{stage: "connected, and broken before the first byte", leader: quiet, status: 503, code: "leader_unreachable",
			dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err == nil {
					err = conn.(*net.TCPConn).CloseWrite()
				}
				return conn, err
			}},
		{stage: "broken after a part of the request", leader: fake(t, func(_ net.Conn, r *bufio.Reader) { r.ReadByte() }), status: 504, code: "unknown"},
		{stage: "broken after the request", leader: fake(t, func(_ net.Conn, r *bufio.Reader) { take(r) }), status: 504, code: "unknown"},
		{stage: "broken in the reply's header", status: 504, code: "unknown",
			leader: fake(t, func(c net.Conn, r *bufio.Reader) { take(r); io.WriteString(c, okReply[:30]) })},
		{stage: "broken in the reply's body", status: 504, code: "unknown",
			leader: fake(t, func(c net.Conn, r *bufio.Reader) { take(r); io.WriteString(c, okReply[:len(okReply)-1]) })},
		{stage: "no reply in time", leader: quiet, status: 504, code: "timeout"},
		{stage: "no member answers", status: 504, code: "unknown",
			leader: fake(t, func(c net.Conn, r *bufio.Reader) {
				take(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})},
		{stage: "no HTTP at all", status: 504, code: "unknown",
			leader: fake(t, func(c net.Conn, r *bufio.Reader) { take(r); io.WriteString(c, "220 mail.example\r\n") })},
		{stage: "all is well", status: 200, leader: fake(t, func(c net.Conn, r *bufio.Reader) {
			// It keeps the connection, as a leader does: one that closes it may cost the next request a 504.
			for take(r) == nil {
				io.WriteString(c, okReply)
			}
		})},
	} {
		t.Run(strings.ReplaceAll(c.stage, " ", "-"), func(t *testing.T) {
			m := follower(t, c.leader, c.dial)
			for _, method := range []string{"PUT", "DELETE"} {
				r := do(t, m, method, "/k?timeout=150ms", "v")
				if c.status == 200 {
					r.want(t, 200)
					continue
				}
				f := r.failed(t, c.status, c.code)
				if (r.h.Get("Retry-After") != "") != (c.status == 503) {
					t.Errorf("%s: %d with Retry-After %q", method, r.code, r.h.Get("Retry-After"))
				}
				t.Log(f.Message)
			}
		})
	}
}

// A kept connection that dies under a write must not make http.Transport send the write again.
func TestForwardNeverSendsAWriteTwice(t *testing.T) {
	var requests, connections atomic.Int64
	leader := fake(t, func(c net.Conn, r *bufio.Reader) {
		connections.Add(1)
		for n := 1; take(r) == nil; n++ {
			requests.Add(1)
			if n == 2 {
				return // read the second request of the connection, and closed without a word
			}
			io.WriteString(c, okReply)
		}
	})
	m := follower(t, leader, nil)
	for i, method := range []string{"PUT", "PUT", "DELETE", "DELETE", "PUT", "DELETE", "DELETE", "PUT"} {
		before := requests.Load()
		r := do(t, m, method, "/k", "v")
		if sent := requests.Load() - before; sent != 1 {
			t.Errorf("request %d, %s: arrived %d times, want once", i, method, sent)
		}
		if want := []int{200, 504}[i%2]; r.code != want {
			t.Errorf("request %d, %s: %d, want %d\n%s", i, method, r.code, want, r.body)
		}
	}
	if connections.Load() != 4 {
		t.Errorf("%d connections for 8 requests, two on each: want 4", connections.Load())
	}
}

// Between the leader's crash and its restart a kept connection is closed by the other side; the next
// request must find that out without harm: it is done, or certainly not done, or unknown, but sent once.
func TestKeptConnectionClosedByTheLeader(t *testing.T) {
	var requests atomic.Int64
	leader := fake(t, func(c net.Conn, r *bufio.Reader) {
		if take(r) == nil {
			requests.Add(1)
			io.WriteString(c, okReply)
		}
	})
	m := follower(t, leader, nil)
	for range 50 {
		before := requests.Load()
		r := do(t, m, "PUT", "/k", "v")
		sent := requests.Load() - before
		if sent > 1 || r.code == 200 && sent != 1 || r.code == 503 && sent != 0 {
			t.Fatalf("%d, and %d requests arrived\n%s", r.code, sent, r.body)
		}
	}
}

// The seal decides a race: after it no byte can leave, so "unused" stays true.
func TestSealedConnectionSendsNothing(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go io.Copy(io.Discard, b)
	c := &countedConn{Conn: a}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	count := c.count()
	if count != 1 || !c.seal(count) {
		t.Fatalf("count %d: not unused since", count)
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, errSealed) {
		t.Fatalf("wrote %d bytes after the seal: %v", n, err)
	}
	if c.seal(0) {
		t.Fatal("unused since 0, after a write")
	}
}

// A stream that was hijacked outlives the server's write time limit.
func TestHijackedStreamSurvivesWriteTimeout(t *testing.T) {
	const limit = 50 * time.Millisecond
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raftlab-peer/1\r\n\r\n")
		io.Copy(conn, buffered)
	})
	m := one(t, func(c *Config) { c.Stream = stream })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := m.server.HTTPServer()
	server.ReadTimeout, server.WriteTimeout = limit, limit
	var done sync.WaitGroup
	done.Add(1)
	go func() { defer done.Done(); server.Serve(listener) }()
	defer done.Wait()
	defer server.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /__pyraft/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raftlab-peer/1\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", response, err)
	}
	for began := time.Now(); time.Since(began) < 4*limit; {
		var echo [4]byte
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(reader, echo[:]); err != nil || string(echo[:]) != "ping" {
			t.Fatalf("after %v: %q %v", time.Since(began), echo, err)
		}
	}
	if r := do(t, m, "PUT", "/__pyraft/stream", "v"); r.code != 405 {
		t.Errorf("PUT of the stream: %d", r.code)
	}
}
