package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

func TestJoinAndLeave(t *testing.T) {
	members, _ := three(t, nil)
	leader := members[0]
	var list struct {
		Index uint64
		Peers []peerReply
	}
	decode(t, do(t, members[1], "GET", "/__pyraft/peers", "").want(t, 200), &list)
	if len(list.Peers) != 3 || list.Index == 0 {
		t.Fatalf("peers: %+v", list)
	}
	for _, p := range list.Peers {
		if p.Learner || p.Leader != (p.Address == leader.address) || p.Self != (p.Address == members[1].address) {
			t.Errorf("peer %+v", p)
		}
	}
	// Again, at any member: done already.
	var change changeReply
	decode(t, do(t, members[2], "PUT", "/__pyraft/peer/"+members[1].address, "").want(t, 200), &change)
	if !change.Success || change.Status != "ok" || change.Term == 0 || change.Voters != 3 || change.ID != hexID(2) {
		t.Errorf("again: %+v", change)
	}
	// The leader is a member too.
	do(t, members[1], "PUT", "/__pyraft/peer/"+leader.address, "").want(t, 200)
	decode(t, do(t, members[1], "DELETE", "/__pyraft/peer/"+members[2].address, "").want(t, 200), &change)
	if !change.Success || change.Voters != 2 || change.ID != hexID(3) {
		t.Errorf("leave: %+v", change)
	}
	// Of an address that is no member the seed says success, and so do we, without a command.
	last := leader.node.Status().Last
	decode(t, do(t, members[1], "DELETE", "/__pyraft/peer/"+members[2].address, "").want(t, 200), &change)
	decode(t, do(t, leader, "DELETE", "/__pyraft/peer/nowhere:1", "").want(t, 200), &change)
	if now := leader.node.Status().Last; !change.Success || now != last {
		t.Errorf("leave of nobody: %+v, the log grew from %d to %d", change, last, now)
	}
	do(t, leader, "DELETE", "/__pyraft/peer/"+members[1].address, "").want(t, 200)
	do(t, leader, "DELETE", "/__pyraft/peer/"+leader.address, "").failed(t, 409, "last_voter")
}

func TestBadPeers(t *testing.T) {
	m := one(t, nil)
	otherCluster := start(t, newNetwork(), 7, 0xbad, nil)
	sameID := start(t, newNetwork(), 1, 0, nil)
	page := fake(t, func(c net.Conn, r *bufio.Reader) {
		take(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	last := m.node.Status().Last
	for _, c := range []struct {
		address    string
		status     int
		code, says string
	}{
		{"x", 400, "bad_address", "missing port"},
		{"x:", 400, "bad_address", "port"},
		{":8000", 400, "bad_address", "host"},
		{"x:0", 400, "bad_address", "1 to 65535"},
		{"x:65536", 400, "bad_address", "1 to 65535"},
		{"x:08000", 400, "bad_address", "1 to 65535"},
		{"x:http", 400, "bad_address", "1 to 65535"},
		{"0.0.0.0:8000", 400, "bad_address", "dialled"},
		{"%5B::%5D:8000", 400, "bad_address", "dialled"},
		{"::1:8000", 400, "bad_address", "too many colons"},
		{"a%20b:8000", 400, "bad_address", "host name"},
		{"a@b:8000", 400, "bad_address", "host name"},
		{"a%2Fb:8000", 400, "bad_address", "host name"},
		{strings.Repeat("a", 254) + ":1", 400, "bad_address", "too long"},
		{gone.Addr().String(), 503, "peer_unreachable", "nobody answers at " + gone.Addr().String()},
		{page, 400, "not_a_member", "not a node"},
		{otherCluster.address, 409, "other_cluster", "belongs to cluster 0000000000000bad"},
		{sameID.address, 409, "member_exists", "already, at " + m.address},
	} {
		r := do(t, m, "PUT", "/__pyraft/peer/"+c.address, "")
		f := r.failed(t, c.status, c.code)
		if !strings.Contains(f.Message, c.says) {
			t.Errorf("%.60s: %q does not say %q", r.what, f.Message, c.says)
		}
		if c.code == "bad_address" {
			do(t, m, "DELETE", "/__pyraft/peer/"+c.address, "").failed(t, 400, "bad_address")
		}
	}
	do(t, m, "PUT", "/__pyraft/peer/x:1?timeout=nonsense", "").failed(t, 400, "bad_parameter")
	if now := m.node.Status().Last; now != last {
		t.Errorf("the log grew from %d to %d", last, now)
	}
}

func TestPeerAddressHasOneWriting(t *testing.T) {
	for given, want := range map[string]string{
		"n2:8000": "n2:8000", "N2.Example:8000": "n2.example:8000", "[::1]:8001": "[::1]:8001",
		"[0:0::1]:8001": "[::1]:8001", "127.0.0.1:1": "127.0.0.1:1", "my_host-1:65535": "my_host-1:65535",
	} {
		if got, f := peerAddress(given); f != nil || got != want {
			t.Errorf("%s: %q %v, want %q", given, got, f, want)
		}
	}
}

// The first member's address stands as it was written on its command line. It is found, and can be removed, all the same.
func TestMemberIsFoundInAnyWritingOfItsAddress(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	node.status = func(s driver.Status) driver.Status {
		s.Configuration = raft.Configuration{Members: append(s.Configuration.Members[:1:1], raft.Member{ID: 2, Address: "Node1:8000"})}
		return s
	}
	var removed raft.Member
	node.change = func(_ context.Context, c raft.Change) (driver.Applied, error) {
		removed = c.Member
		return driver.Applied{}, nil
	}
	inside(m.server, "DELETE", "/__pyraft/peer/Node1:8000", "").want(t, 200)
	if removed.ID != 2 {
		t.Errorf("200, and %+v was removed", removed)
	}
}

// A change whose leader cannot be sure that it leads says so; it is no read.
func TestChangeWithoutAMajorityTellsThatNothingWasChanged(t *testing.T) {
	members, network := three(t, nil)
	network.Cut(2, true)
	network.Cut(3, true)
	f := do(t, members[0], "DELETE", "/__pyraft/peer/"+members[1].address+"?timeout=50ms", "").failed(t, 503, "timeout")
	if !strings.Contains(f.Message, "nothing was changed") || strings.Contains(f.Message, "stale") {
		t.Error(f.Message)
	}
}

// A wiped member comes back at its address with another id. It is not the old one, and is told what to do.
func TestReplacedDataDirectoryIsRefused(t *testing.T) {
	members, network := three(t, nil)
	fresh := start(t, newNetwork(), 9, 0, nil)
	leader := members[0]
	old := members[2].address
	swap := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == old {
			address = fresh.address
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	leader.server.forward = newForwarder(swap, "")
	network.Cut(3, true)
	f := do(t, leader, "PUT", "/__pyraft/peer/"+old, "").failed(t, 409, "address_taken")
	if !strings.Contains(f.Message, "DELETE /__pyraft/peer/"+old) {
		t.Errorf("%s", f.Message)
	}
	leader.server.Close()
}

// A learner that gets nothing does not catch up: the change is made, and its end is not known.
func TestJoinerThatCannotCatchUpIsPending(t *testing.T) {
	network := newNetwork()
	leader := start(t, network, 1, testCluster, nil)
	eventually(t, "leads", func() bool { _, err := leader.node.ReadIndex(t.Context()); return err == nil })
	joiner := start(t, network, 2, 0, nil)
	network.Cut(2, true)
	f := do(t, leader, "PUT", "/__pyraft/peer/"+joiner.address+"?timeout=100ms", "").failed(t, 504, "timeout")
	for _, says := range []string{joiner.address + " is a learner now, without a vote, and has 0 of ", "repeat the request", "DELETE /__pyraft/peer/" + joiner.address} {
		if !strings.Contains(f.Message, says) {
			t.Errorf("%q does not say %q", f.Message, says)
		}
	}
	if m, ok := leader.node.Status().Configuration.Find(2); !ok || !m.Learner {
		t.Errorf("it says that the joiner is a learner, and it is %+v", m)
	}
	// What it proposes as the way back works while the learner is still cut off.
	do(t, leader, "DELETE", "/__pyraft/peer/"+joiner.address, "").want(t, 200)
}

// A learner that was slow and is so no more gets its vote with the next request.
func TestJoinerThatWasSlowIsPromoted(t *testing.T) {
	network := newNetwork()
	leader := lone(t, network, nil)
	joiner := start(t, network, 2, 0, nil)
	network.Cut(2, true)
	do(t, leader, "PUT", "/__pyraft/peer/"+joiner.address+"?timeout=100ms", "").failed(t, 504, "timeout")
	network.Cut(2, false)
	do(t, leader, "PUT", "/__pyraft/peer/"+joiner.address+"?timeout=20s", "").want(t, 200)
	if !leader.node.Status().Configuration.IsVoter(2) {
		t.Error("200, and no voter")
	}
}

// A configuration is in force as soon as it is in the log, but until it is committed it can be taken back.
func TestVoterOfAnUncommittedConfigurationIsPending(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	joiner := start(t, newNetwork(), 2, 0, nil)
	node.status = func(s driver.Status) driver.Status {
		s.Configuration = raft.Configuration{Members: append(s.Configuration.Members[:1:1], raft.Member{ID: 2, Address: joiner.address})}
		s.ConfigurationIndex = s.Commit + 1
		return s
	}
	inside(m.server, "PUT", "/__pyraft/peer/"+joiner.address+"?timeout=50ms", "").failed(t, 504, "timeout")
}

func TestWhatTheNodeSaysToAChange(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	joiner := start(t, newNetwork(), 2, 0, nil)
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		{driver.ErrChangePending, 409, "change_pending", true},
		{raft.ErrMemberExists, 409, "member_exists", false},
		{raft.ErrLastVoter, 409, "last_voter", false},
		{driver.ErrNotLeader, 503, "not_leader", true},
		{driver.ErrNotReady, 503, "not_ready", true},
		{driver.ErrUnknown, 504, "unknown", false},
		{context.DeadlineExceeded, 504, "timeout", false},
	} {
		node.change = func(context.Context, raft.Change) (driver.Applied, error) {
			return driver.Applied{}, fmt.Errorf("node: %w", c.err)
		}
		for _, request := range [][2]string{{"PUT", joiner.address}, {"DELETE", m.address}} {
			r := inside(m.server, request[0], "/__pyraft/peer/"+request[1], "")
			if r.failed(t, c.status, c.code); (r.h.Get("Retry-After") != "") != c.retry {
				t.Errorf("%s with %v: Retry-After %q", request[0], c.err, r.h.Get("Retry-After"))
			}
		}
	}
	node.change = func(context.Context, raft.Change) (driver.Applied, error) {
		return driver.Applied{}, raft.ErrUnknownMember
	}
	inside(m.server, "DELETE", "/__pyraft/peer/"+m.address, "").want(t, 200) // somebody else was faster
}

func TestIdentity(t *testing.T) {
	m := one(t, nil)
	joiner := start(t, newNetwork(), 0xabc, 0, nil)
	var got Identity
	decode(t, do(t, m, "GET", identityPath, "").want(t, 200), &got)
	if want := (Identity{ID: "0000000000000001", Cluster: "00000000000000c1", Address: m.address}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	decode(t, do(t, joiner, "GET", identityPath, "").want(t, 200), &got)
	if got.ID != "0000000000000abc" || got.Cluster != "" {
		t.Errorf("%+v", got)
	}
}
