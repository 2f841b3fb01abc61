package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/snapshot"
	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// network carries messages between the real nodes of a test, unless a member is cut off.
type network struct {
	electionTicks int // of its members; zero: 20
	remembers     int // idempotency keys; zero: kv.SessionsMax
	sync.Mutex
	nodes map[raft.ID]*driver.Node
	cut   map[raft.ID]bool
}

func newNetwork() *network {
	return &network{nodes: map[raft.ID]*driver.Node{}, cut: map[raft.ID]bool{}}
}

func (n *network) Cut(id raft.ID, cut bool) {
	n.Lock()
	defer n.Unlock()
	n.cut[id] = cut
}

type port struct {
	*network
	self raft.ID
}

func (p port) SetMembers([]raft.Member) {}

func (p port) Send(messages []raft.Message) {
	for _, m := range messages {
		p.Lock()
		to := p.nodes[m.To]
		if p.cut[m.To] || p.cut[p.self] {
			to = nil
		}
		p.Unlock()
		if to != nil {
			to.Step(m)
		}
	}
}

// member is a whole node with a real driver, log, store and HTTP server; only the disk is in memory.
type member struct {
	id      raft.ID
	address string
	node    *driver.Node
	store   *kv.Store
	server  *Server
}

const testCluster = raft.ClusterID(0xc1)

// disk is a log as the driver wants it.
type disk struct{ *wal.Log }

func (d disk) Restart(last raft.Index, term raft.Term) error {
	return d.Log.Restart(wal.Position{Index: last, Term: term})
}

// start runs a member. cluster is not zero on the one that begins the cluster. change, if not nil, may alter
// the configuration of its API.
func start(t testing.TB, network *network, id raft.ID, cluster raft.ClusterID, change func(*Config)) *member {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &member{id: id, address: listener.Addr().String(), store: kv.NewRemembering(cmp.Or(network.remembers, kv.SessionsMax))}
	log, err := wal.Create(vfs.NewMem(), "data", wal.Identity{ID: id, Cluster: cluster, Address: m.address})
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := snapshot.Open(vfs.NewMem(), "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	config := driver.Config{
		Raft:    raft.Config{ID: id, Cluster: cluster, Seed: uint64(id), HeartbeatTicks: 2, ElectionTicks: cmp.Or(network.electionTicks, 20)},
		Address: m.address, TickEvery: 5 * time.Millisecond, Machine: m.store, Transport: port{network, id},
	}
	if cluster != 0 {
		data, err := raft.Configuration{Members: []raft.Member{{ID: id, Address: m.address}}}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		config.Stored.HardState = raft.HardState{Term: 1}
		config.Stored.Entries = []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}
		if err := log.Append(&config.Stored.HardState, config.Stored.Entries); err != nil {
			t.Fatal(err)
		}
	}
	if m.node, err = driver.Start(config, driver.Storage{Log: disk{log}, Snapshots: snapshots}, quiet); err != nil {
		t.Fatal(err)
	}
	network.Lock()
	network.nodes[id] = m.node
	network.Unlock()
	m.server = serve(t, listener, Config{Node: m.node, Store: m.store, Logger: quiet, Version: "test"}, change)
	t.Cleanup(func() {
		m.node.Stop()
		log.Close()
	})
	return m
}

// serve runs an API on the listener until the test ends.
func serve(t testing.TB, listener net.Listener, config Config, change func(*Config)) *Server {
	t.Helper()
	if change != nil {
		change(&config)
	}
	server, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	http := server.HTTPServer()
	var done sync.WaitGroup
	done.Add(1)
	go func() { defer done.Done(); http.Serve(server.Listener(listener)) }()
	t.Cleanup(func() {
		http.Close()
		done.Wait()
		server.Close()
	})
	return server
}

// one is a cluster of one that has its leader.
func one(t testing.TB, change func(*Config)) *member {
	t.Helper()
	return lone(t, newNetwork(), change)
}

func lone(t testing.TB, network *network, change func(*Config)) *member {
	t.Helper()
	m := start(t, network, 1, testCluster, change)
	eventually(t, "the only member leads", func() bool { _, err := m.node.ReadIndex(t.Context()); return err == nil })
	return m
}

// three is a cluster of three, joined through the API; the first leads.
// headers go with the requests to join.
func three(t testing.TB, change func(*Config), headers ...string) ([]*member, *network) {
	t.Helper()
	return threeOn(t, newNetwork(), change, headers...)
}

func threeOn(t testing.TB, network *network, change func(*Config), headers ...string) ([]*member, *network) {
	t.Helper()
	members := []*member{start(t, network, 1, testCluster, change), start(t, network, 2, 0, change), start(t, network, 3, 0, change)}
	eventually(t, "the first member leads", func() bool { _, err := members[0].node.ReadIndex(t.Context()); return err == nil })
	for _, m := range members[1:] {
		inside(members[0].server, "PUT", "/__pyraft/peer/"+m.address+"?timeout=20s", "", headers...).want(t, 200)
	}
	for _, m := range members {
		eventually(t, "everybody knows the leader", func() bool { return m.node.Status().LeaderAddress == members[0].address })
	}
	return members, network
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after 20 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// reply is what came back.
type reply struct {
	what string
	code int
	h    http.Header
	body string
}

var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableKeepAlives: true},
}

// do sends a request to a member. headers are name, value, name, value.
func do(t testing.TB, m *member, method, path, body string, headers ...string) reply {
	t.Helper()
	return doAt(t, m.address, method, path, body, headers...)
}

func doAt(t testing.TB, address, method, path, body string, headers ...string) reply {
	t.Helper()
	return doWith(t, client, "http://"+address, method, path, body, headers...)
}

func doWith(t testing.TB, client *http.Client, base, method, path, body string, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{method + " " + path, response.StatusCode, response.Header, string(got)}
}

// inside serves a request without a network, so that the path can be anything.
func inside(s http.Handler, method, target, body string, headers ...string) reply {
	r := httptest.NewRequest(method, target, bytes.NewReader([]byte(body)))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{method + " " + target, w.Code, w.Header(), w.Body.String()}
}

func (r reply) want(t testing.TB, code int) reply {
	t.Helper()
	if r.code != code {
		t.Fatalf("%s: %d, want %d\n%s", r.what, r.code, code, r.body)
	}
	return r
}

// failed checks the one shape of errors.
func (r reply) failed(t testing.TB, status int, code string) failureReply {
	t.Helper()
	var f failureReply
	if err := json.Unmarshal([]byte(r.body), &f); err != nil {
		t.Errorf("%s: %d with a body that is not the shape of errors: %v\n%s", r.what, r.code, err, r.body)
		return f
	}
	if r.code != status || f.Error != code {
		t.Errorf("%s: %d %s, want %d %s\n%s", r.what, r.code, f.Error, status, code, r.body)
	}
	if f.Definite != (status != 504 && status != 500) || (f.Status == "pending") != (status == 504) {
		t.Errorf("%s: %d says definite %v, status %q", r.what, r.code, f.Definite, f.Status)
	}
	if f.RequestID == "" || f.RequestID != r.h.Get("X-Request-Id") {
		t.Errorf("%s: request id %q in the body, %q in the header", r.what, f.RequestID, r.h.Get("X-Request-Id"))
	}
	if f.Message == "" || strings.Contains(f.Message, "\n") || strings.Contains(f.Message, "goroutine ") {
		t.Errorf("%s: message %q must be one clear sentence", r.what, f.Message)
	}
	if strings.HasPrefix(r.h.Get("Content-Type"), "application/json") == false {
		t.Errorf("%s: error with content type %q", r.what, r.h.Get("Content-Type"))
	}
	return f
}

// bent is a real node of which a test replaces an answer.
type bent struct {
	Node
	propose func(context.Context, []byte) (driver.Applied, error)
	change  func(context.Context, raft.Change) (driver.Applied, error)
	read    func(context.Context) (raft.Index, error)
	status  func(driver.Status) driver.Status

	snapshot  func(context.Context) (raft.Index, error)
	transfer  func(context.Context, raft.ID) (raft.ID, error)
	subscribe func() (<-chan driver.Event, func())
}

func (b *bent) TakeSnapshot(ctx context.Context) (raft.Index, error) {
	if b.snapshot != nil {
		return b.snapshot(ctx)
	}
	return b.Node.TakeSnapshot(ctx)
}

func (b *bent) Transfer(ctx context.Context, to raft.ID) (raft.ID, error) {
	if b.transfer != nil {
		return b.transfer(ctx, to)
	}
	return b.Node.Transfer(ctx, to)
}

func (b *bent) Subscribe() (<-chan driver.Event, func()) {
	if b.subscribe != nil {
		return b.subscribe()
	}
	return b.Node.Subscribe()
}

func (b *bent) Propose(ctx context.Context, command []byte) (driver.Applied, error) {
	if b.propose != nil {
		return b.propose(ctx, command)
	}
	return b.Node.Propose(ctx, command)
}

func (b *bent) ChangeMembership(ctx context.Context, c raft.Change) (driver.Applied, error) {
	if b.change != nil {
		return b.change(ctx, c)
	}
	return b.Node.ChangeMembership(ctx, c)
}

func (b *bent) ReadIndex(ctx context.Context) (raft.Index, error) {
	if b.read != nil {
		return b.read(ctx)
	}
	return b.Node.ReadIndex(ctx)
}

func (b *bent) Status() driver.Status {
	if b.status != nil {
		return b.status(b.Node.Status())
	}
	return b.Node.Status()
}

var _ Node = (*driver.Node)(nil)

func decode(t testing.TB, r reply, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%s: %v\n%s", r.what, err, r.body)
	}
}

// failing refuses every proposal.
func failing(err error) func(context.Context, []byte) (driver.Applied, error) {
	return func(context.Context, []byte) (driver.Applied, error) { return driver.Applied{}, err }
}
