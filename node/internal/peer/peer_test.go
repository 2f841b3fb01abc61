package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	a, b := newNode(t, 1, nil), newNode(t, 2, nil)
	a.SetMembers([]raft.Member{a.member(), b.member()})
	a.connected(t, 2)
	for i := range 2000 {
		m := a.message(2, i)
		m.Entries = []raft.Entry{{Term: 1, Index: raft.Index(i), Data: bytes.Repeat([]byte{byte(i)}, i)}}
		a.Send([]raft.Message{m})
	}
	for i := range 2000 {
		m := <-b.got
		if m.Index != raft.Index(i) || !bytes.Equal(m.Entries[0].Data, bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("message %d: %v", i, m.Index)
		}
	}
	eventually(t, "counts", func() bool { return a.peer(2).Sent == 2000 && b.Stats().Received == 2000 })
	if n := a.log.count("peer connected"); n != 1 {
		t.Errorf("%d lines of the connection", n)
	}
}

func TestAWrongPeerIsRefusedWithOneLine(t *testing.T) {
	for _, c := range []struct {
		name string
		to   raft.ID
		own  raft.ClusterID
		says string
	}{
		{"another cluster", 2, 0xbad, "this member is in cluster 0000000000000bad, not in 0000000000c0ffee"},
		{"another incarnation", 3, ours, "this is member n2, not n3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newNode(t, 1, nil), newNode(t, 2, nil)
			b.cluster.Store(uint64(c.own))
			a.SetMembers([]raft.Member{{ID: c.to, Address: b.address}})
			eventually(t, "five refusals", func() bool { return b.Stats().Refused >= 5 })
			if n, m := a.log.count("peer refused the stream"), b.log.count("refused a stream"); n != 1 || m != 1 {
				t.Errorf("%d and %d lines", n, m)
			}
			if a.log.count(c.says) != 1 || b.log.count(c.says) != 1 {
				t.Errorf("no reason %q", c.says)
			}
		})
	}
}

// TestARemovedMemberIsTold: at its next stream, for which it need not wait until it asks by itself.
func TestARemovedMemberIsTold(t *testing.T) {
	var removed atomic.Bool
	told := make(chan raft.ID, 100)
	a := newNode(t, 1, func(c *Config) { c.OnRemoved = func(by raft.ID) { told <- by } })
	b := newNode(t, 2, func(c *Config) { c.IsRemoved = func(id raft.ID) bool { return id == 1 && removed.Load() } })
	c := newNode(t, 3, nil) // does not know yet
	a.SetMembers([]raft.Member{b.member(), c.member()})
	a.connected(t, 2)
	a.connected(t, 3)
	removed.Store(true)
	for range 3 {
		select {
		case by := <-told:
			if by != 2 {
				t.Errorf("%v said so", by)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nobody said so")
		}
	}
	if a.peer(2).Connected || !a.peer(3).Connected {
		t.Errorf("connected to who refuses: %t, to who does not know: %t", a.peer(2).Connected, a.peer(3).Connected)
	}
	says := "member n1 was removed from this cluster, and its id does not come back"
	if n, m := a.log.count(says), b.log.count(says); n != 1 || m != 1 {
		t.Errorf("%d and %d lines", n, m)
	}
}

func TestAHandshakeIsCheckedFieldByField(t *testing.T) {
	n := newNode(t, 2, func(c *Config) { c.IsRemoved = func(id raft.ID) bool { return id == 9 } })
	good := map[string]string{"Connection": "Upgrade", "Upgrade": Protocol, headerCluster: "c0ffee", headerFrom: "1", headerTo: "2"}
	for _, c := range []struct {
		header, value string
		status        int
		says          string
	}{
		{"Upgrade", "raftlab-peer/99", 426, "speaks raftlab-peer/1"},
		{"Upgrade", "", 426, "speaks raftlab-peer/1"},
		{headerFrom, "", 400, headerFrom}, {headerFrom, "zz", 400, headerFrom}, {headerFrom, "0", 400, headerFrom},
		{headerTo, "12345678123456781", 400, headerTo}, {headerCluster, "0", 400, headerCluster},
		{headerAddress, strings.Repeat("a", 2000), 400, headerAddress},
		{headerTo, "3", 409, "this is member n2, not n3"}, {headerFrom, "2", 409, "one identity"},
		{headerCluster, "bad", 409, "not in 0000000000000bad"},
		{headerFrom, "9", 410, "member n9 was removed"},
		{"method", "POST", 405, "GET"},
	} {
		method := "GET"
		if c.header == "method" {
			method = c.value
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.address+Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range good {
			r.Header.Set(k, v)
		}
		if c.header != "method" {
			r.Header.Set(c.header, c.value)
		}
		transport := &http.Transport{DisableKeepAlives: true}
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s %.20q: %d %q", c.header, c.value, response.StatusCode, body)
		}
	}
}

func TestASlowPeerBlocksNobody(t *testing.T) {
	release := make(chan struct{})
	a, fast := newNode(t, 1, func(c *Config) { c.QueueMessages = 100 }), newNode(t, 2, nil)
	slow := newNode(t, 3, func(c *Config) { c.Deliver = func(raft.Message) { <-release } })
	defer close(release) // before the cleanup closes slow
	a.SetMembers([]raft.Member{fast.member(), slow.member()})
	a.connected(t, 2)
	a.connected(t, 3)
	large := []raft.Entry{{Data: make([]byte, 100<<10)}}
	for i := range 1000 { // 100 MB for the slow one: more than sockets and queue take
		m := a.message(3, i)
		m.Entries = large
		start := time.Now()
		a.Send([]raft.Message{m, a.message(2, i)})
		if took := time.Since(start); took > time.Second {
			t.Fatalf("Send took %v", took)
		}
		if m := <-fast.got; m.Index != raft.Index(i) {
			t.Fatalf("the fast peer got %d, want %d", m.Index, i)
		}
	}
	if a.peer(3).Dropped == 0 || a.peer(2).Dropped != 0 {
		t.Errorf("slow %+v, fast %+v", a.peer(3), a.peer(2))
	}
}

// A cut link is closed, a stalled one looks alive to TCP. Either way the next message gets through
// soon after the link is whole again, and the log has one line for each change.
func TestAHealedLinkCarriesMessagesSoon(t *testing.T) {
	for _, stall := range []bool{false, true} {
		t.Run(fmt.Sprint("stalled=", stall), func(t *testing.T) {
			a, b := newNode(t, 1, nil), newNode(t, 2, nil)
			link := newProxy(t, b.address)
			a.SetMembers([]raft.Member{{ID: 2, Address: link.address}})
			a.connected(t, 2)
			link.set(func() { link.stalled, link.cut = stall, !stall })
			eventually(t, "loss is noticed", func() bool { return !a.peer(2).Connected })
			a.Send([]raft.Message{a.message(2, 1)})
			eventually(t, "stale messages are dropped", func() bool { return a.peer(2).Dropped > 0 })
			healed := time.Now()
			link.set(func() { link.stalled, link.cut = false, false })
			i := 2
			eventually(t, "a message arrives", func() bool {
				i++
				a.Send([]raft.Message{a.message(2, i)})
				return len(b.got) > 0
			})
			if m := <-b.got; m.Index == 1 {
				t.Error("a message from before the heal was kept")
			}
			if took := time.Since(healed); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if n, m := a.log.count("peer lost"), a.log.count("peer connected"); n != 1 || m != 2 || a.log.count("unreachable") != 0 {
				t.Errorf("%d lines of the loss, %d of connections", n, m)
			}
		})
	}
}

func TestASilentStreamIsKeptAlive(t *testing.T) {
	a, b := newNode(t, 1, nil), newNode(t, 2, nil)
	link := newProxy(t, b.address)
	a.SetMembers([]raft.Member{{ID: 2, Address: link.address}})
	a.connected(t, 2)
	before := link.bytes.Load()
	// 30 frames of 8 bytes, 50 ms apart: three times as long as the idle time-out.
	eventually(t, "keep-alives", func() bool { return link.bytes.Load() >= before+30*8 })
	if p := a.peer(2); p.Connects != 1 || !p.Connected {
		t.Errorf("%+v", p)
	}
}

func TestADeadPeerIsLoggedOnce(t *testing.T) {
	a := newNode(t, 1, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens here now
	b := newNode(t, 2, nil)
	b.SetMembers([]raft.Member{{ID: 1, Address: l.Addr().String()}})
	eventually(t, "a dropped message", func() bool {
		b.Send([]raft.Message{b.message(1, 1)})
		return b.peer(1).Dropped > 100
	})
	eventually(t, "one line", func() bool { return b.log.count("peer unreachable") == 1 })
	b.SetMembers(nil)
	a.Send([]raft.Message{a.message(9, 1)})
	if a.Stats().Unaddressed != 1 {
		t.Errorf("%+v", a.Stats())
	}
}

func TestANewerStreamReplacesTheOlder(t *testing.T) {
	n := newNode(t, 2, func(c *Config) { c.IdleTimeout = time.Minute }) // not the reason why it ends
	first := shake(t, n, 1)
	second := shake(t, n, 1)
	if err := first.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the older stream is still open")
	}
	m := raft.Message{Type: raft.MsgVote, Cluster: ours, From: 1, To: 2}
	frame, err := wire.AppendFrame(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Write(frame); err != nil {
		t.Fatal(err)
	}
	if got := <-n.got; got.Type != raft.MsgVote {
		t.Fatal(got)
	}
}

func TestAMessageThatIsNotItsStreamsIsDropped(t *testing.T) {
	n := newNode(t, 2, nil)
	conn := shake(t, n, 1)
	var frames []byte
	for _, m := range []raft.Message{
		{Type: raft.MsgVote, Cluster: ours, From: 5, To: 2}, {Type: raft.MsgVote, Cluster: ours, From: 1, To: 5},
		{Type: raft.MsgVote, Cluster: 5, From: 1, To: 2}, {Type: raft.MsgSnapshot, Cluster: ours, From: 1, To: 2, Term: 41},
		{Type: raft.MsgVote, Cluster: ours, From: 1, To: 2, Term: 42},
	} {
		var err error
		if frames, err = wire.AppendFrame(frames, &m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(frames); err != nil {
		t.Fatal(err)
	}
	if m := <-n.got; m.Term != 42 || n.Stats().Rejected != 4 {
		t.Fatal(m, n.Stats())
	}
	// A damaged frame ends the stream: nothing behind it can be trusted to be a frame.
	frames[len(frames)-1] ^= 1
	if _, err := conn.Write(frames); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("still open")
	}
	if len(n.got) != 0 {
		t.Fatal("a damaged message was delivered")
	}
}

// A joiner knows neither its cluster nor where its leader is. It accepts the leader's stream, and
// answers where that stream came from.
func TestAJoinerAnswersTheLeaderBeforeItHasAConfiguration(t *testing.T) {
	leader, joiner := newNode(t, 1, nil), newNode(t, 2, nil)
	joiner.cluster.Store(0)
	leader.SetMembers([]raft.Member{leader.member(), joiner.member()})
	leader.connected(t, 2)
	leader.Send([]raft.Message{leader.message(2, 7)})
	if m := <-joiner.got; m.Cluster != ours || m.Index != 7 {
		t.Fatal(m)
	}
	joiner.cluster.Store(uint64(ours)) // learned from the message
	eventually(t, "an answer", func() bool {
		joiner.Send([]raft.Message{joiner.message(1, 8)})
		return len(leader.got) > 0
	})
	joiner.SetMembers([]raft.Member{leader.member(), joiner.member()})
	if p := joiner.peer(1); p.Connects != 1 || !p.Connected || !p.Receiving {
		t.Errorf("the configuration began a new stream: %+v", p)
	}
	joiner.SetMembers([]raft.Member{joiner.member()})
	if p := joiner.peer(1); p.ID != 0 {
		t.Errorf("a removed member is still there: %+v", p)
	}
}

func TestAGuestGoesWithItsStream(t *testing.T) {
	leader, joiner := newNode(t, 1, nil), newNode(t, 2, nil)
	leader.SetMembers([]raft.Member{joiner.member()})
	leader.connected(t, 2)
	eventually(t, "an answer", func() bool {
		joiner.Send([]raft.Message{joiner.message(1, 8)})
		return len(leader.got) > 0
	})
	leader.SetMembers(nil)
	eventually(t, "the guest's end", func() bool { return joiner.peer(1).ID == 0 })
}

func TestAMemberThatMovesIsFollowed(t *testing.T) {
	a, b := newNode(t, 1, nil), newNode(t, 2, nil)
	wrong := newProxy(t, "127.0.0.1:1")
	a.SetMembers([]raft.Member{{ID: 2, Address: wrong.address}})
	a.SetMembers([]raft.Member{{ID: 2, Address: b.address}})
	a.connected(t, 2)
	if p := a.peer(2); p.Address != b.address {
		t.Errorf("%+v", p)
	}
}

// Close in the middle of everything; TestMain looks for goroutines that are left.
func TestCloseEndsEveryStream(t *testing.T) {
	nodes := []*node{newNode(t, 1, nil), newNode(t, 2, nil), newNode(t, 3, nil)}
	stalled := newProxy(t, nodes[2].address)
	stalled.set(func() { stalled.stalled = true })
	members := []raft.Member{nodes[0].member(), nodes[1].member(), {ID: 3, Address: stalled.address}}
	for _, n := range nodes {
		n.SetMembers(members)
	}
	nodes[0].connected(t, 2)
	closed := New(Config{Self: 9, Cluster: func() raft.ClusterID { return ours }, Deliver: func(raft.Message) {}})
	closed.SetMembers(members)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	closed.SetMembers(members)
	closed.Send([]raft.Message{{To: 1}})
	if err := closed.Close(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
