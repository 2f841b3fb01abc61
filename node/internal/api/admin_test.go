package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

func TestSnapshotNow(t *testing.T) {
	m := one(t, nil)
	do(t, m, "PUT", "/k", "v", "Idempotency-Key", "x").want(t, 200)
	var reply struct {
		Status string
		Index  raft.Index
		Taken  bool
	}
	decode(t, do(t, m, "POST", "/__pyraft/snapshot", "").want(t, 200), &reply)
	if reply.Status != "ok" || !reply.Taken || reply.Index != m.store.Applied() {
		t.Errorf("%+v, applied is %d", reply, m.store.Applied())
	}
	eventually(t, "the status shows it", func() bool { return m.node.Status().Snapshot == reply.Index })
	first := reply.Index
	decode(t, do(t, m, "POST", "/__pyraft/snapshot", "").want(t, 200), &reply)
	if reply.Taken || reply.Index != first {
		t.Errorf("again, with nothing new: %+v", reply)
	}
	do(t, m, "POST", "/__pyraft/snapshot?to=x", "").failed(t, 400, "bad_parameter")
	do(t, m, "GET", "/__pyraft/snapshot", "").failed(t, 405, "method_not_allowed")
}

func TestWhatTheNodeSaysToASnapshot(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{driver.ErrNoSnapshots, 501, "no_snapshots"},
		{driver.ErrStopped, 503, "shutting_down"},
		{errors.New("no space left on device"), 503, "snapshot_failed"},
		{context.DeadlineExceeded, 504, "timeout"},
	} {
		node.snapshot = func(context.Context) (raft.Index, error) { return 0, fmt.Errorf("node: %w", c.err) }
		inside(m.server, "POST", "/__pyraft/snapshot", "").failed(t, c.status, c.code)
	}
	m.server.Drain()
	inside(m.server, "POST", "/__pyraft/snapshot", "").failed(t, 503, "shutting_down")
	inside(m.server, "POST", "/__pyraft/leader", "").failed(t, 503, "shutting_down")
}

func TestLeadershipIsHandedOver(t *testing.T) {
	members, _ := three(t, nil)
	// Each is asked for itself, by address and by id in turn, at a member that follows.
	for i, target := range []*member{members[1], members[2], members[0]} {
		to := target.address
		if i%2 == 1 {
			to = hexID(target.id)
		}
		var reply leaderReply
		r := do(t, target, "POST", "/__pyraft/leader?timeout=20s&to="+to, "").want(t, 200)
		decode(t, r, &reply)
		if reply.Status != "ok" || reply.ID != hexID(target.id) || reply.Address != target.address || !reply.Changed || reply.Term == 0 || r.h.Get("Raft-Leader") != target.address {
			t.Errorf("to %s: %+v %v", to, reply, r.h)
		}
		eventually(t, "it leads", func() bool { return target.node.Status().Role == raft.Leader })
		do(t, target, "PUT", "/k", "v").want(t, 200)
		decode(t, do(t, target, "POST", "/__pyraft/leader?to="+to, "").want(t, 200), &reply)
		if reply.Changed || reply.ID != hexID(target.id) {
			t.Errorf("to itself: %+v", reply)
		}
	}
	var reply leaderReply
	decode(t, do(t, members[0], "POST", "/__pyraft/leader?timeout=20s", "").want(t, 200), &reply)
	if reply.ID == hexID(1) || !reply.Changed {
		t.Errorf("to anybody: %+v", reply)
	}
}

func TestBadTransfers(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	for _, c := range []struct {
		query  string
		status int
		code   string
	}{
		{"?to=", 400, "bad_parameter"},
		{"?to=x", 400, "bad_address"},
		{"?to=x:1", 404, "no_such_member"},
		{"?to=00000000000000ff", 404, "no_such_member"},
		{"?to=" + strings.Repeat("x", 300), 400, "bad_parameter"},
		{"?timeout=0", 400, "bad_parameter"},
		{"?nonsense=1", 400, "bad_parameter"},
		{"", 409, "no_target"}, // a cluster of one
	} {
		do(t, m, "POST", "/__pyraft/leader"+c.query, "").failed(t, c.status, c.code)
	}
	do(t, m, "GET", "/__pyraft/leader", "").failed(t, 405, "method_not_allowed")
	for _, c := range []struct {
		err    error
		leader raft.ID
		status int
		code   string
	}{
		{driver.ErrTransferFailed, 0, 504, "transfer_failed"},
		{context.DeadlineExceeded, 0, 504, "timeout"},
		{driver.ErrTransferring, 0, 503, "transferring"},
		{driver.ErrStopped, 0, 503, "shutting_down"},
		{raft.ErrUnknownMember, 0, 404, "no_such_member"},
		{nil, 9, 409, "other_leader"},
	} {
		node.transfer = func(context.Context, raft.ID) (raft.ID, error) { return c.leader, c.err }
		inside(m.server, "POST", "/__pyraft/leader?to="+m.address, "").failed(t, c.status, c.code)
	}
	node.transfer = func(context.Context, raft.ID) (raft.ID, error) { return 9, nil }
	inside(m.server, "POST", "/__pyraft/leader?timeout=30ms", "").failed(t, 504, "timeout") // never shows
	node.status = func(s driver.Status) driver.Status {
		s.Configuration.Members = append(s.Configuration.Members[:1:1], raft.Member{ID: 2, Address: "x:1", Learner: true})
		return s
	}
	inside(m.server, "POST", "/__pyraft/leader?to=x:1", "").failed(t, 409, "learner")
}

// sse is what came in on a stream of events: "event data" per event, and comments as ": text".
type sse struct {
	response *http.Response
	lines    *bufio.Scanner
}

func follow(t *testing.T, m *member) sse {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+m.address+"/__pyraft/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	return sse{response, bufio.NewScanner(response.Body)}
}

// next is the next block, without its id. It is empty at the end.
func (s sse) next() string {
	block := ""
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			return strings.TrimSpace(block)
		}
		if _, id := strings.CutPrefix(line, "id: "); !id {
			block += strings.TrimPrefix(strings.TrimPrefix(line, "event: "), "data: ") + " "
		}
	}
	return ""
}

func TestEventsTellWhatHappens(t *testing.T) {
	members, _ := three(t, nil)
	stream := follow(t, members[1])
	if first := stream.next(); !strings.HasPrefix(first, ":") {
		t.Errorf("begins with %q", first)
	}
	do(t, members[0], "POST", "/__pyraft/leader?timeout=20s&to="+members[1].address, "").want(t, 200)
	var last uint64
	for {
		block := stream.next()
		kind, data, _ := strings.Cut(block, " ")
		var event eventReply
		if err := json.Unmarshal([]byte(data), &event); err != nil || kind != "raft" || event.Number <= last || event.Sentence == "" || time.Since(event.Time) > time.Minute {
			t.Fatalf("%q: %v", block, err)
		}
		last = event.Number
		if strings.Contains(event.Sentence, "win the election") {
			break
		}
	}
	members[1].node.Stop()
	for block := stream.next(); block != "end {}"; block = stream.next() {
		if block == "" {
			t.Fatal("the stream ended without saying so")
		}
	}
	if rest, err := io.ReadAll(stream.response.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q %v", rest, err)
	}
}

func TestEventsThatAreLostAreSaid(t *testing.T) {
	node := &bent{}
	canceled := make(chan struct{}, 1)
	events := make(chan driver.Event, 8)
	node.subscribe = func() (<-chan driver.Event, func()) { return events, func() { canceled <- struct{}{} } }
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	m.server.keepAlive = 20 * time.Millisecond
	at := time.Unix(1, 0).UTC()
	for _, n := range []uint64{7, 8, 20} {
		events <- driver.Event{Number: n, Time: at, Sentence: "n1@3 leader: \"x\"\n\nevent: forged"}
	}
	stream := follow(t, m)
	want := func(n int) string {
		return fmt.Sprintf(`raft {"number":%d,"time":"1970-01-01T00:00:01Z","sentence":"n1@3 leader: \"x\"\n\nevent: forged"}`, n)
	}
	for _, want := range []string{": events of this member from now on", want(7), want(8), `lost {"lost":11}`, want(20), ": keep-alive", ": keep-alive"} {
		if got := stream.next(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	m.server.Drain()
	for block := stream.next(); block != "end {}"; block = stream.next() {
		if block != ": keep-alive" {
			t.Fatalf("%q before the end", block)
		}
	}
	<-canceled
}

// A client that goes away is let go, and a client too many is refused.
func TestEventStreamsAreBounded(t *testing.T) {
	m := one(t, nil)
	var streams []sse
	for range eventStreamsMax {
		streams = append(streams, follow(t, m))
	}
	if r := do(t, m, "GET", "/__pyraft/events", ""); r.h.Get("Retry-After") == "" {
		t.Errorf("%v", r.h)
	} else {
		r.failed(t, 429, "too_many_requests")
	}
	metrics := do(t, m, "GET", "/metrics", "").want(t, 200).body
	if want := fmt.Sprintf("raftd_event_streams %d\n", eventStreamsMax); !strings.Contains(metrics, want) {
		t.Errorf("no %s", want)
	}
	for _, s := range streams {
		s.response.Body.Close()
	}
	eventually(t, "they are let go", func() bool { return m.server.eventStreams.Load() == 0 })
	do(t, m, "HEAD", "/__pyraft/events", "").want(t, 200)
	do(t, m, "GET", "/__pyraft/events?x=1", "").failed(t, 400, "bad_parameter")
}

// The server's own time limits are not for a stream of events.
func TestEventsOutliveTheWriteTimeout(t *testing.T) {
	m := one(t, nil)
	m.server.keepAlive = 10 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := m.server.HTTPServer()
	server.ReadTimeout, server.WriteTimeout = 40*time.Millisecond, 40*time.Millisecond
	var done sync.WaitGroup
	done.Go(func() { server.Serve(listener) })
	defer done.Wait()
	defer server.Close()
	stream := follow(t, &member{address: listener.Addr().String()})
	for began := time.Now(); time.Since(began) < 200*time.Millisecond; {
		if stream.next() == "" {
			t.Fatalf("ended after %v", time.Since(began))
		}
	}
}
