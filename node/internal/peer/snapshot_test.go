package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

// taken is what a receiver has got.
type taken struct {
	message raft.Message
	body    []byte
	err     error
}

// receiver is a node that reads snapshots into a channel.
func newReceiver(t *testing.T, id raft.ID, change func(*Config)) (*node, chan taken) {
	t.Helper()
	got := make(chan taken, 100)
	n := newNode(t, id, func(c *Config) {
		c.SnapshotStall = 300 * time.Millisecond
		c.ReceiveSnapshot = func(_ context.Context, m raft.Message, body io.Reader) error {
			b, err := io.ReadAll(body)
			got <- taken{m, b, err}
			return err
		}
		if change != nil {
			change(c)
		}
	})
	return n, got
}

func newSending(t *testing.T, id raft.ID, to ...raft.Member) *node {
	t.Helper()
	n := newNode(t, id, func(c *Config) { c.SnapshotStall = 300 * time.Millisecond })
	n.SetMembers(to)
	return n
}

func (n *node) snapshot(to raft.ID) raft.Message {
	return raft.Message{Type: raft.MsgSnapshot, Cluster: ours, From: n.id, To: to, Term: 5, Index: 100, LogTerm: 4,
		Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 90, Data: []byte("configuration")}}}
}

func state(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func (n *node) sendSnapshotTo(t *testing.T, to raft.ID, body []byte) error {
	t.Helper()
	return n.SendSnapshot(t.Context(), n.snapshot(to), int64(len(body)), bytes.NewReader(body))
}

func TestASnapshotArrivesWholeWhileMessagesGoOn(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	var got taken
	b, _ := newReceiver(t, 2, func(c *Config) {
		c.ReceiveSnapshot = func(_ context.Context, m raft.Message, body io.Reader) error {
			half := make([]byte, 1<<20)
			if _, err := io.ReadFull(body, half); err != nil {
				return err
			}
			close(inside)
			<-release
			rest, err := io.ReadAll(body)
			got = taken{m, append(half, rest...), err}
			return err
		}
	})
	a := newSending(t, 1, b.member())
	a.connected(t, 2)
	data := state(8 << 20)
	sent := make(chan error, 1)
	go func() { sent <- a.sendSnapshotTo(t, 2, data) }()
	<-inside
	for i := range 100 {
		a.Send([]raft.Message{a.message(2, i)})
		if m := <-b.got; m.Index != raft.Index(i) {
			t.Fatal(m)
		}
	}
	if err := a.sendSnapshotTo(t, 2, data); !errors.Is(err, ErrBusy) {
		t.Error("two at a time:", err)
	}
	close(release)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.body, data) || got.message.Index != 100 || string(got.message.Entries[0].Data) != "configuration" {
		t.Fatalf("%d bytes, %+v", len(got.body), got.message)
	}
	if err := a.sendSnapshotTo(t, 3, data); !errors.Is(err, ErrUnknownPeer) {
		t.Error(err)
	}
}

func TestAnEmptyStateIsASnapshotToo(t *testing.T) {
	b, got := newReceiver(t, 2, nil)
	a := newSending(t, 1, b.member())
	if err := a.sendSnapshotTo(t, 2, nil); err != nil {
		t.Fatal(err)
	}
	if s := <-got; len(s.body) != 0 || s.message.Index != 100 {
		t.Fatal(s)
	}
}

// The link breaks, or stalls so that no side sees anything, after any number of bytes: both sides give
// up soon, and the next try arrives.
func TestABrokenOrStalledLinkIsNoticedOnBothSides(t *testing.T) {
	data := state(6 << 20)
	for _, after := range []int64{0, 100, 70_000, 3 << 20} {
		for _, stall := range []bool{false, true} {
			t.Run(fmt.Sprint("after ", after, " stall ", stall), func(t *testing.T) {
				b, got := newReceiver(t, 2, nil)
				link := newProxy(t, b.address)
				a := newSending(t, 1)
				a.SetMembers([]raft.Member{{ID: 2, Address: link.address}})
				a.connected(t, 2)
				before := link.bytes.Load()
				trip := func(bytes int64) {
					if bytes-before >= after {
						link.set(func() { link.cut, link.stalled = !stall, stall })
					}
				}
				link.trip.Store(&trip)
				started := time.Now()
				err := a.sendSnapshotTo(t, 2, data)
				if took := time.Since(started); err == nil || took > 5*time.Second {
					t.Fatal(took, err)
				}
				if after > 1000 {
					if s := <-got; s.err == nil {
						t.Fatal("the receiver took it for whole")
					}
				}
				link.trip.Store(nil)
				link.set(func() { link.cut, link.stalled = false, false })
				eventually(t, "the next try arrives", func() bool { return a.sendSnapshotTo(t, 2, data) == nil })
				for s := range got {
					if s.err == nil && bytes.Equal(s.body, data) {
						break
					}
				}
			})
		}
	}
}

// A receiver that does not read is given up; one that has read all and is at work with its disk is not.
func TestAReceiverAtWorkIsToldFromOneThatHangs(t *testing.T) {
	hang := make(chan struct{})
	var working atomic.Bool
	b, _ := newReceiver(t, 2, func(c *Config) {
		c.ReceiveSnapshot = func(ctx context.Context, _ raft.Message, body io.Reader) error {
			if !working.Load() {
				select {
				case <-ctx.Done():
				case <-hang:
				}
				return errors.New("hung")
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				return err
			}
			timer := time.NewTimer(5 * c.SnapshotStall) // the work: what is tested is that it takes long
			defer timer.Stop()
			<-timer.C
			return nil
		}
	})
	a := newSending(t, 1, b.member())
	started := time.Now()
	if err := a.sendSnapshotTo(t, 2, state(20<<20)); err == nil || !strings.Contains(err.Error(), "timeout") || time.Since(started) > 5*time.Second {
		t.Fatal(time.Since(started), err)
	}
	close(hang)
	working.Store(true)
	if err := a.sendSnapshotTo(t, 2, state(1<<20)); err != nil {
		t.Fatal(err)
	}
}

func TestASnapshotIsRefusedWithAReason(t *testing.T) {
	b, _ := newReceiver(t, 2, func(c *Config) {
		c.SnapshotBytes = 30 << 20
		c.ReceiveSnapshot = func(_ context.Context, _ raft.Message, body io.Reader) error {
			if _, err := io.CopyN(io.Discard, body, 10); err != nil {
				return err
			}
			return errors.New("disk is full")
		}
	})
	none := newNode(t, 3, nil)
	a := newSending(t, 1, b.member(), none.member(), raft.Member{ID: 4, Address: b.address})
	for _, c := range []struct {
		to   raft.ID
		size int
		says string
	}{
		{2, 1000, "500 disk is full"}, {2, 20 << 20, "500 disk is full"}, // the second is refused while it is being sent
		{2, 40 << 20, "413 peer: a snapshot of"}, {3, 10, "501"}, {4, 10, "409 peer: this is member n2, not n4"},
	} {
		err := a.sendSnapshotTo(t, c.to, state(c.size))
		var refusal *refusedError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("to %v, %d bytes: %v", c.to, c.size, err)
		}
	}
	a.cluster.Store(0xbad)
	if err := a.sendSnapshotTo(t, 2, nil); err == nil || !strings.Contains(err.Error(), "409") {
		t.Error(err)
	}
	a.cluster.Store(0)
	if err := a.sendSnapshotTo(t, 2, nil); !errors.Is(err, errNoCluster) {
		t.Error(err)
	}
}

func TestASnapshotRequestIsChecked(t *testing.T) {
	b, got := newReceiver(t, 2, nil)
	a := newSending(t, 1)
	frame := func(change func(*raft.Message)) []byte {
		m := a.snapshot(2)
		change(&m)
		f, err := wire.AppendFrame(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	whole := frame(func(*raft.Message) {})
	for _, c := range []struct {
		what, method string
		body         []byte
		length       bool
		status       int
	}{
		{"fine", "POST", whole, true, 200}, {"get", "GET", whole, true, 405}, {"no length", "POST", whole, false, 411},
		{"short", "POST", whole[:50], true, 400}, {"empty", "POST", nil, true, 400}, {"damaged", "POST", append(bytes.Clone(whole[:20]), make([]byte, 200)...), true, 400},
		{"an append", "POST", frame(func(m *raft.Message) { m.Type = raft.MsgAppend }), true, 400},
		{"from another", "POST", frame(func(m *raft.Message) { m.From = 9 }), true, 400},
		{"to another", "POST", frame(func(m *raft.Message) { m.To = 9 }), true, 400},
		{"of another cluster", "POST", frame(func(m *raft.Message) { m.Cluster = 9 }), true, 400},
	} {
		var body io.Reader = bytes.NewReader(c.body)
		if !c.length {
			body = io.MultiReader(body)
		}
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+b.address+SnapshotPath, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = a.handshakeHeader(2, ours)
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(c.what, err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %d", c.what, response.StatusCode)
		}
	}
	if len(got) != 1 {
		t.Error(len(got), "snapshots were taken")
	}
}

// A new leader's snapshot takes the place of the old one's; the old leader's does not come back.
func TestANewerLeadersSnapshotComesFirst(t *testing.T) {
	began, ended := make(chan raft.Term, 10), make(chan error, 10)
	b, _ := newReceiver(t, 2, func(c *Config) {
		c.SnapshotStall = 10 * time.Second
		c.ReceiveSnapshot = func(_ context.Context, m raft.Message, body io.Reader) error {
			began <- m.Term
			_, err := io.Copy(io.Discard, body)
			ended <- err
			return err
		}
	})
	one, two := newSending(t, 1, b.member()), newSending(t, 3, b.member())
	pipe, feed := io.Pipe()
	old := make(chan error, 1)
	go func() { old <- one.SendSnapshot(t.Context(), one.snapshot(2), 1<<20, pipe) }()
	if _, err := feed.Write(make([]byte, 128<<10)); err != nil {
		t.Fatal(err)
	}
	if term := <-began; term != 5 {
		t.Fatal(term)
	}
	late := two.snapshot(2)
	late.Term = 4
	if err := two.SendSnapshot(t.Context(), late, 0, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "409") {
		t.Fatal(err)
	}
	newer := two.snapshot(2)
	newer.Term = 6
	if err := two.SendSnapshot(t.Context(), newer, 3, strings.NewReader("new")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, errSuperseded) && err == nil {
		t.Fatal("the old one was taken for whole")
	}
	_ = feed.CloseWithError(errors.New("end of test"))
	if err := <-old; err == nil {
		t.Fatal("the old leader was told that all is well")
	}
}

// Whoever waits is told when it ends: by the context, by Close of either side, by a state that breaks off.
func TestASnapshotEndsWithWhatItNeeds(t *testing.T) {
	why := errors.New("no longer leader")
	for what, end := range map[string]func(cancel context.CancelCauseFunc, a, b *node, feed *io.PipeWriter){
		"context":  func(cancel context.CancelCauseFunc, _, _ *node, _ *io.PipeWriter) { cancel(why) },
		"sender":   func(_ context.CancelCauseFunc, a, _ *node, _ *io.PipeWriter) { go a.shut() },
		"receiver": func(_ context.CancelCauseFunc, _, b *node, _ *io.PipeWriter) { go b.shut() },
		"source":   func(_ context.CancelCauseFunc, _, _ *node, feed *io.PipeWriter) { _ = feed.CloseWithError(why) },
		"short":    func(_ context.CancelCauseFunc, _, _ *node, feed *io.PipeWriter) { _ = feed.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			b, got := newReceiver(t, 2, func(c *Config) { c.SnapshotStall = 10 * time.Second })
			a := newSending(t, 1, b.member())
			a.cfg.SnapshotStall = 10 * time.Second
			pipe, feed := io.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			sent := make(chan error, 1)
			go func() { sent <- a.SendSnapshot(ctx, a.snapshot(2), 10<<20, pipe) }()
			if _, err := feed.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the receiver is at it", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.receiving != nil
			})
			started := time.Now()
			end(cancel, a, b, feed)
			if what == "receiver" { // the sender sees it when it sends
				go func() { _, _ = io.Copy(feed, bytes.NewReader(make([]byte, 20<<20))) }() // until feed is closed
			}
			if s := <-got; s.err == nil {
				t.Error("the receiver took it for whole")
			}
			var err error
			if what != "receiver" {
				_ = feed.Close()
				err = <-sent
			} else {
				err = <-sent
				_ = feed.Close()
			}
			if err == nil || time.Since(started) > 5*time.Second {
				t.Error(time.Since(started), err)
			}
			want := map[string]error{"context": why, "sender": ErrClosed, "source": why, "short": io.ErrUnexpectedEOF}[what]
			if want != nil && !errors.Is(err, want) {
				t.Error(err)
			}
		})
	}
}

// shut closes before the cleanup does.
func (n *node) shut() { _ = n.Transport.Close() }
