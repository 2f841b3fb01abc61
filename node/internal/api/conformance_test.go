package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// gate holds what the leader answers to a proposal, after it is committed and applied.
type gate struct {
	sync.Mutex
	reached, open chan struct{} // nil: nothing is held
}

func (g *gate) arm() (reached <-chan struct{}, open func()) {
	g.Lock()
	defer g.Unlock()
	g.reached, g.open = make(chan struct{}), make(chan struct{})
	return g.reached, sync.OnceFunc(func() { close(g.open) })
}

func (g *gate) pass() {
	g.Lock()
	reached, open := g.reached, g.open
	g.reached = nil
	g.Unlock()
	if reached != nil {
		close(reached)
		<-open
	}
}

// cable is how a member reaches others. A test breaks it where it wants.
type cable struct {
	sync.Mutex
	mute      bool // not a byte is sent
	replyLeft int  // bytes of replies that come through; -1: all
	conns     []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.Lock()
	defer c.Unlock()
	c.conns = append(c.conns, conn)
	return &cableConn{conn, c}, nil
}

func (c *cable) set(mute bool, replyLeft int) {
	c.Lock()
	defer c.Unlock()
	c.mute, c.replyLeft = mute, replyLeft
}

// cut breaks every connection that there is.
func (c *cable) cut() {
	c.Lock()
	defer c.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// mend makes the next request of every member dial: what the test has closed on this side is not to be tried.
func (w *brokenWorld) mend() {
	w.cable.set(false, -1)
	for _, m := range w.members {
		m.server.Close()
	}
}

type cableConn struct {
	net.Conn
	cable *cable
}

var errCut = errors.New("the cable is cut")

func (c *cableConn) Write(b []byte) (int, error) {
	c.cable.Lock()
	mute := c.cable.mute
	c.cable.Unlock()
	if mute {
		c.Close()
		return 0, errCut
	}
	return c.Conn.Write(b)
}

func (c *cableConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.cable.Lock()
	defer c.cable.Unlock()
	if left := c.cable.replyLeft; left >= 0 && n > left {
		c.Close()
		c.cable.replyLeft = 0
		return left, errCut
	} else if left >= 0 {
		c.cable.replyLeft -= n
	}
	return n, err
}

// brokenWorld is a cluster of three whose second member reaches the others by a cable, and whose proposals pass
// a gate.
type brokenWorld struct {
	members []*member
	network *network
	cable   *cable
	gate    *gate
	n       int
}

func newBrokenWorld(t *testing.T) *brokenWorld {
	w := &brokenWorld{cable: &cable{replyLeft: -1}, gate: &gate{}}
	w.members, w.network = three(t, func(c *Config) {
		node := c.Node
		c.Node = &bent{Node: node, propose: func(ctx context.Context, command []byte) (driver.Applied, error) {
			applied, err := node.Propose(ctx, command)
			w.gate.pass()
			return applied, err
		}}
		c.Dial = w.cable.dial
	})
	return w
}

func (w *brokenWorld) leader(t *testing.T) *member {
	var found *member
	eventually(t, "there is one leader, and all know it", func() bool {
		found = nil
		for _, m := range w.members {
			if m.node.Status().Role == raft.Leader {
				found = m
			}
		}
		for _, m := range w.members {
			if found == nil || m.node.Status().Leader != found.id {
				return false
			}
		}
		_, err := found.node.ReadIndex(t.Context())
		return err == nil
	})
	return found
}

func (w *brokenWorld) follower(t *testing.T) *member {
	leader := w.leader(t)
	for _, m := range w.members {
		if m != leader {
			return m
		}
	}
	return nil
}

// attempt is one write that would show it if it were done twice: PUT creates, DELETE wants the version it knows.
type attempt struct {
	method, path, body string
	headers            []string
}

func (w *brokenWorld) attempt(t *testing.T, method string) attempt {
	w.n++
	a := attempt{method: method, path: fmt.Sprintf("/key-%d", w.n), headers: []string{"Idempotency-Key", fmt.Sprintf("id-%d", w.n)}}
	if method == "PUT" {
		a.body, a.headers = "mine", append(a.headers, "If-None-Match", "*")
		return a
	}
	put := do(t, w.leader(t), "PUT", a.path, "old").want(t, 200)
	a.headers = append(a.headers, "If-Match", put.h.Get("ETag"))
	return a
}

func (a attempt) wire() string {
	request := a.method + " " + a.path + "?timeout=20s HTTP/1.1\r\nHost: x\r\nContent-Length: " + fmt.Sprint(len(a.body)) + "\r\n"
	for i := 0; i < len(a.headers); i += 2 {
		request += a.headers[i] + ": " + a.headers[i+1] + "\r\n"
	}
	return request + "\r\n" + a.body
}

// retry repeats the attempt at every member until it is answered, and checks that it is done, once. Without
// the Idempotency-Key the condition would fail wherever the first attempt was done.
func (w *brokenWorld) retry(t *testing.T, a attempt) reply {
	t.Helper()
	var r reply
	eventually(t, "the retry is answered", func() bool {
		r = do(t, w.follower(t), a.method, a.path, a.body, a.headers...)
		return r.code != 503 && r.code != 504
	})
	r.want(t, 200)
	index := r.h.Get("Raft-Index")
	for _, m := range w.members {
		if again := do(t, m, a.method, a.path, a.body, a.headers...).want(t, 200); again.h.Get("Raft-Index") != index || again.h.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s again: %v, the first was at %s", a.method, again.h, index)
		}
		switch get := do(t, m, "GET", a.path, ""); {
		case a.method == "DELETE":
			get.want(t, 404)
		case get.want(t, 200).h.Get("ETag") != `"`+index+`"` || get.body != a.body:
			t.Errorf("GET: %q %s, written at %s", get.body, get.h.Get("ETag"), index)
		}
	}
	return r
}

// stages of a request, and what may be concluded when its link breaks there.
var stages = []struct {
	name   string
	status int    // that a member gives when its link to the leader broke
	done   string // Idempotent-Replayed of the retry: was it done before? "?": both may be
}{
	{"before send", 503, ""},
	{"after append", 504, "?"},
	{"after commit", 504, "true"},
	{"before reply", 504, "true"},
}

// brokenAt runs send, which begins the request, and cuts its link with cut when the leader is at the stage.
func (w *brokenWorld) brokenAt(t *testing.T, stage string, send func() (finish func()), cut func()) {
	t.Helper()
	leader := w.leader(t)
	switch stage {
	case "after append":
		last := leader.node.Status().Last
		w.network.Cut(leader.id, true)
		finish := send()
		eventually(t, "the leader has appended it", func() bool { return leader.node.Status().Last > last })
		cut()
		finish()
		w.network.Cut(leader.id, false)
	case "after commit":
		reached, open := w.gate.arm()
		defer open()
		finish := send()
		<-reached
		cut()
		open()
		finish()
	default: // the link breaks by itself
		send()()
	}
}

// The link between a follower and the leader breaks: the client is told what may be concluded.
func TestLinkToTheLeaderBreaks(t *testing.T) {
	w := newBrokenWorld(t)
	for _, stage := range stages {
		for _, method := range []string{"PUT", "DELETE"} {
			for _, replyBytes := range []int{0, 20, 150} { // nothing, within the status line, within the header
				if stage.name != "before reply" && replyBytes > 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %d", stage.name, method, replyBytes), func(t *testing.T) {
					a := w.attempt(t, method)
					follower := w.follower(t)
					w.mend()
					var r reply
					w.brokenAt(t, stage.name, func() func() {
						switch stage.name {
						case "before send":
							w.cable.set(true, -1)
						case "before reply":
							w.cable.set(false, replyBytes)
						}
						answered := make(chan struct{})
						go func() {
							defer close(answered)
							r = do(t, follower, a.method, a.path+"?timeout=20s", a.body, a.headers...)
						}()
						return func() { <-answered }
					}, w.cable.cut)
					w.mend()
					r.failed(t, stage.status, map[int]string{503: "leader_unreachable", 504: "unknown"}[stage.status])
					if done := w.retry(t, a).h.Get("Idempotent-Replayed"); done != stage.done && stage.done != "?" {
						t.Errorf("%d, and the retry says Idempotent-Replayed: %q, want %q", r.code, done, stage.done)
					}
				})
			}
		}
	}
}

// The link between a client and a member breaks: the client knows nothing, and a retry tells it all. The
// member that it asks is the leader or not.
func TestLinkToTheClientBreaks(t *testing.T) {
	w := newBrokenWorld(t)
	for _, stage := range stages {
		for _, method := range []string{"PUT", "DELETE"} {
			for _, at := range []string{"leader", "follower"} {
				t.Run(stage.name+" "+method+" "+at, func(t *testing.T) {
					a := w.attempt(t, method)
					asked := w.leader(t)
					if at == "follower" {
						asked = w.follower(t)
					}
					conn, err := net.Dial("tcp", asked.address)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					w.brokenAt(t, stage.name, func() func() {
						request := a.wire()
						if stage.name == "before send" {
							request = request[:len(request)-1-len(a.body)] // without the end of the header, or the body
						}
						if _, err := io.WriteString(conn, request); err != nil {
							t.Fatal(err)
						}
						if stage.name == "before reply" {
							conn.SetReadDeadline(time.Now().Add(20 * time.Second))
							if _, err := io.ReadFull(conn, make([]byte, 9)); err != nil {
								t.Fatal(err)
							}
						}
						return func() { conn.Close() }
					}, func() { conn.Close() })
					if done := w.retry(t, a).h.Get("Idempotent-Replayed"); done != stage.done && stage.done != "?" {
						t.Errorf("the retry says Idempotent-Replayed: %q, want %q", done, stage.done)
					}
				})
			}
		}
	}
}
