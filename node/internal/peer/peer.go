// Package peer carries raft messages between members over long-lived streams on the node's one port.
// It promises only what Raft needs: a message arrives whole, at most once, from the member and the
// incarnation that it names, in order within one stream, or not at all. A slow or dead peer costs
// nobody else anything.
//
// A stream goes one way: member i dials j, asks for an upgrade of GET /__pyraft/stream, and from then
// on only i sends messages on it; j sends keep-alives. For the other way j dials i.
package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"raftlab/raft"
)

// Path and Protocol are what a stream asks for.
const (
	Path     = "/__pyraft/stream"
	Protocol = "raftlab-peer/1"
)

// Config says who we are and what to do with messages. Zero numbers mean the defaults in brackets.
type Config struct {
	Self    raft.ID
	Address string // as advertised: where a peer that has no configuration yet can answer us
	Token   string // shown to peers as Authorization: Bearer, if not empty
	// Cluster is our cluster, zero while we belong to none. Safe for concurrent use.
	Cluster func() raft.ClusterID
	// Dial opens a connection [net.Dialer]; it may go through a proxy.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Deliver takes a message from a peer, on the goroutine that reads that peer's stream. If it
	// blocks, that stream waits, and Close waits for it.
	Deliver func(raft.Message)
	Logger  *slog.Logger
	// RoundTrip is told how long an echo took, there and back, about once every KeepAlive and peer; it must not block.
	// May be nil.
	RoundTrip func(peer raft.ID, took time.Duration)
	// IsRemoved reports whether that member was removed from our cluster for good: its streams are refused with 410, and
	// those that it has are ended, so that it hears why. Safe for concurrent use, called for each stream once every
	// KeepAlive; nil: nobody was.
	IsRemoved func(raft.ID) bool
	// OnRemoved is told that a member of our cluster refuses us as removed, each time that one does; it must not block. Not
	// everybody who answers 410 at a member's address is one: whoever is says of which cluster.
	// May be nil.
	OnRemoved func(by raft.ID)
	// ReceiveSnapshot takes the state that belongs to m, and returns nil when it is durable. It is called
	// once at a time: a newer stream ends the context of the one before and waits for its return. Nil
	// refuses all snapshots.
	ReceiveSnapshot func(ctx context.Context, m raft.Message, body io.Reader) error
	// Refuse answers who asked for a stream, or sent a snapshot, in vain [a line of text].
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)

	QueueMessages int           // per peer [4096]
	QueueBytes    int           // per peer [32 MiB]
	DialTimeout   time.Duration // connection and handshake, each [600 ms]
	WriteTimeout  time.Duration // of one write [2 s]
	KeepAlive     time.Duration // a silent stream carries a frame this often, both ways [500 ms]
	IdleTimeout   time.Duration // a stream on which nothing arrives is dead [3 s]
	BackoffMin    time.Duration // between dials, doubling [20 ms]
	BackoffMax    time.Duration // [300 ms]
	SnapshotStall time.Duration // a snapshot of which nothing moves for so long is given up [5 s]
	SnapshotBytes int64         // the largest that is received [64 GiB]
}

func (c Config) withDefaults() Config {
	number := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	duration := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	number(&c.QueueMessages, 4096)
	number(&c.QueueBytes, 32<<20)
	duration(&c.DialTimeout, 600*time.Millisecond)
	duration(&c.WriteTimeout, 2*time.Second)
	duration(&c.KeepAlive, 500*time.Millisecond)
	duration(&c.IdleTimeout, 3*time.Second)
	duration(&c.BackoffMin, 20*time.Millisecond)
	duration(&c.BackoffMax, 300*time.Millisecond)
	duration(&c.SnapshotStall, 5*time.Second)
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 64 << 30
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Refuse == nil {
		c.Refuse = func(w http.ResponseWriter, _ *http.Request, status int, reason string) { http.Error(w, reason, status) }
	}
	if c.IsRemoved == nil {
		c.IsRemoved = func(raft.ID) bool { return false }
	}
	if c.OnRemoved == nil {
		c.OnRemoved = func(raft.ID) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// ErrClosed says that the transport is closed.
var ErrClosed = errors.New("peer: transport is closed")

// Transport is all streams of one member. It is safe for concurrent use.
type Transport struct {
	cfg     Config
	context context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // one for each goroutine and each stream being served

	mu      sync.Mutex
	closed  bool
	senders map[raft.ID]*sender
	inbound map[raft.ID]*inbound
	refused map[raft.ID]int // the last status given to a peer, so that it is logged once
	// refusalLines were logged since refusalMinute, see isNews.
	refusalLines  int
	refusalMinute time.Time
	sending       map[raft.ID]bool // snapshots on their way

	receiving *receiving // the snapshot that is coming in, if any

	received, unaddressed, rejected, refusals atomic.Uint64
}

// New returns a transport that knows no peer yet.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg.withDefaults(), senders: map[raft.ID]*sender{}, inbound: map[raft.ID]*inbound{}, refused: map[raft.ID]int{}, sending: map[raft.ID]bool{}}
	t.context, t.cancel = context.WithCancel(context.Background())
	return t
}

// SetMembers says who is to be reached, and where. It returns at once; streams come and go behind it.
func (t *Transport) SetMembers(members []raft.Member) {
	want := map[raft.ID]string{}
	for _, m := range members {
		if m.ID != t.cfg.Self && m.ID != 0 && m.Address != "" {
			want[m.ID] = m.Address
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	for id, s := range t.senders {
		address, member := want[id]
		if member && address == s.address {
			s.guest = false
		} else if member || !s.guest {
			t.stopSender(id)
		}
	}
	for id, address := range want {
		if t.senders[id] == nil {
			t.startSender(id, address, false)
		}
	}
}

// startSender and stopSender are called with t.mu held.
func (t *Transport) startSender(id raft.ID, address string, guest bool) *sender {
	s := newSender(t, id, address, guest)
	t.senders[id] = s
	t.running.Go(s.run)
	return s
}

func (t *Transport) stopSender(id raft.ID) {
	t.senders[id].cancel()
	delete(t.senders, id)
}

// Send queues messages for their peers. It never blocks: what a full queue cannot take is dropped and
// counted, and Raft sends it again.
func (t *Transport) Send(messages []raft.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range messages {
		to := messages[i].To
		s := t.senders[to]
		if s == nil && !t.closed {
			// A new member must answer its leader before it has the configuration that says where the
			// leader is. The leader's own stream said so.
			if in := t.inbound[to]; in != nil && in.address != "" {
				s = t.startSender(to, in.address, true)
			}
		}
		if s == nil {
			t.unaddressed.Add(1)
			continue
		}
		s.push(messages[i])
	}
}

// Stats counts since New.
type Stats struct {
	Peers       []PeerStats // sorted by ID
	Received    uint64      // messages delivered
	Unaddressed uint64      // dropped: nobody with that id is known
	Rejected    uint64      // dropped: came with another sender, addressee or cluster than their stream, or are no messages of a stream
	Refused     uint64      // streams that were answered with a refusal
}

// PeerStats describes the stream to one peer.
type PeerStats struct {
	ID        raft.ID
	Address   string
	Connected bool   // we can send
	Receiving bool   // it has a stream to us
	Sent      uint64 // messages written
	Dropped   uint64 // queue full, or not connected
	Connects  uint64 // streams opened
	Queued    int
	RoundTrip time.Duration // of the last echo on this stream; zero before the first
}

// Stats returns a snapshot.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{Received: t.received.Load(), Unaddressed: t.unaddressed.Load(), Rejected: t.rejected.Load(), Refused: t.refusals.Load()}
	for id, p := range t.senders {
		stats := p.stats()
		stats.Receiving = t.inbound[id] != nil
		s.Peers = append(s.Peers, stats)
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return s
}

// Close ends all streams, and returns when every goroutine is gone.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	t.closed = true
	t.cancel()
	for _, in := range t.inbound {
		_ = in.conn.Close()
	}
	t.mu.Unlock()
	t.running.Wait()
	return nil
}
