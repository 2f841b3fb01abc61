package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

// inbound is the stream that a peer sends on.
type inbound struct {
	from    raft.ID
	cluster raft.ClusterID
	address string // where the peer can be answered
	conn    net.Conn
}

// ServeHTTP takes a peer's stream and reads it until it ends. A peer of another cluster, or one that
// wants another member than us, is refused: it has an old address, and its messages are not for us.
func (t *Transport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in, status, reason := t.accept(r)
	if status != 0 {
		t.refuse(w, r, in.from, status, reason)
		return
	}
	if !t.begin() {
		t.cfg.Refuse(w, r, http.StatusServiceUnavailable, ErrClosed.Error())
		return
	}
	defer t.running.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.refuse(w, r, in.from, http.StatusHTTPVersionNotSupported, "peer: this connection cannot be upgraded; use HTTP/1.1")
		return
	}
	defer func() { _ = conn.Close() }()
	in.conn = conn
	if !t.register(in) {
		return
	}
	err = t.serve(in, buffered.Reader)
	t.unregister(in)
	t.cfg.Logger.Debug("stream from peer ended", "peer", in.from.String(), "err", err)
}

// begin counts a goroutine that Close must wait for, unless Close has begun.
func (t *Transport) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Add(1)
	return true
}

// accept checks a handshake. Status zero: welcome.
func (t *Transport) accept(r *http.Request) (in *inbound, status int, reason string) {
	in = &inbound{address: r.Header.Get(headerAddress)}
	switch {
	case r.Method != http.MethodGet:
		return in, http.StatusMethodNotAllowed, "peer: a stream is asked for with GET"
	case r.Header.Get("Upgrade") != Protocol || !strings.EqualFold(r.Header.Get("Connection"), "upgrade"):
		return in, http.StatusUpgradeRequired, fmt.Sprintf("peer: this member speaks %s, got Upgrade: %.40q", Protocol, r.Header.Get("Upgrade"))
	}
	status, reason = t.identify(r, in)
	return in, status, reason
}

// identify checks who asks for whom.
func (t *Transport) identify(r *http.Request, in *inbound) (status int, reason string) {
	if len(in.address) > 1024 {
		return http.StatusBadRequest, "peer: header " + headerAddress + " is longer than 1024 bytes"
	}
	var to uint64
	for _, h := range []struct {
		name string
		set  func(uint64)
	}{
		{headerFrom, func(v uint64) { in.from = raft.ID(v) }},
		{headerTo, func(v uint64) { to = v }},
		{headerCluster, func(v uint64) { in.cluster = raft.ClusterID(v) }},
	} {
		v, err := strconv.ParseUint(r.Header.Get(h.name), 16, 64)
		if err != nil || v == 0 {
			return http.StatusBadRequest, fmt.Sprintf("peer: header %s must be a hexadecimal id, got %.40q", h.name, r.Header.Get(h.name))
		}
		h.set(v)
	}
	own := t.cfg.Cluster()
	switch {
	case raft.ID(to) != t.cfg.Self:
		return http.StatusConflict, fmt.Sprintf("peer: this is member %v, not %v", t.cfg.Self, raft.ID(to))
	case in.from == t.cfg.Self:
		return http.StatusConflict, fmt.Sprintf("peer: member %v is this one; two processes run with one identity", in.from)
	case own != 0 && in.cluster != own:
		return http.StatusConflict, fmt.Sprintf("peer: this member is in cluster %v, not in %v", own, in.cluster)
	case own != 0 && t.cfg.IsRemoved(in.from):
		return http.StatusGone, fmt.Sprintf("peer: member %v was removed from this cluster, and its id does not come back", in.from)
	}
	return 0, ""
}

// refuse answers with a reason, and logs it unless the same peer was refused with the same status last. The reason may
// differ each time: a snapshot that finds a full disk names another temporary file.
func (t *Transport) refuse(w http.ResponseWriter, r *http.Request, from raft.ID, status int, reason string) {
	t.refusals.Add(1)
	if t.isNews(from, status, time.Now()) {
		t.cfg.Logger.Warn("refused a stream", "peer", from.String(), "remote", r.RemoteAddr, "status", status, "reason", reason)
	}
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", Protocol)
	}
	if own := t.cfg.Cluster(); own != 0 {
		w.Header().Set(headerCluster, hexID(uint64(own))) // whoever says "removed" must be of the cluster
	}
	t.cfg.Refuse(w, r, status, reason)
}

// Whoever asks names an id of its choice, so ids are not remembered without bound, nor logged: of more than
// refusalLinesMax a minute the rest is only counted (Stats.Refused). A peer that goes on asking has its line later.
const (
	refusalsMax     = 1024
	refusalLinesMax = 20
)

// isNews says whether a refusal is to be logged.
func (t *Transport) isNews(from raft.ID, status int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.refusalMinute) >= time.Minute {
		t.refusalMinute, t.refusalLines = now, 0
	}
	if t.refused[from] == status || t.refusalLines >= refusalLinesMax {
		return false
	}
	t.refusalLines++
	if len(t.refused) >= refusalsMax {
		clear(t.refused)
	}
	t.refused[from] = status
	return true
}

// register makes the stream the one of its peer: a newer stream means that the peer has given up on
// the older, even if we cannot see that yet.
func (t *Transport) register(in *inbound) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if old := t.inbound[in.from]; old != nil {
		_ = old.conn.Close()
	}
	t.inbound[in.from] = in
	delete(t.refused, in.from)
	return true
}

func (t *Transport) unregister(in *inbound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inbound[in.from] != in {
		return
	}
	delete(t.inbound, in.from)
	if s := t.senders[in.from]; s != nil && s.guest {
		t.stopSender(in.from)
	}
}

func (t *Transport) serve(in *inbound, buffered *bufio.Reader) error {
	// The HTTP server may have left its own deadlines on the connection.
	if err := in.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	var writing sync.WaitGroup
	done := make(chan struct{})
	defer writing.Wait()
	defer close(done)
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n" + headerEcho + ": 1\r\n\r\n"
	if err := t.answer(in.conn, []byte(answer)); err != nil {
		return err
	}
	t.cfg.Logger.Debug("stream from peer", "peer", in.from.String(), "address", in.address)
	echoes := make(chan uint16, 1)
	writing.Go(func() { t.keepAlive(in, echoes, done) })

	reader := wire.NewReader(&idleReader{conn: in.conn, from: buffered, timeout: t.cfg.IdleTimeout})
	reader.Echo = func(number uint16) {
		select {
		case echoes <- number:
		default: // the sender asks one at a time, or is not answered
		}
	}
	for {
		m, err := reader.Next()
		if err != nil {
			_ = in.conn.Close() // the keep-alive ends too
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if own := t.cfg.Cluster(); own != 0 && own != in.cluster {
			_ = in.conn.Close()
			return fmt.Errorf("peer: stream of cluster %v, but this member has joined cluster %v", in.cluster, own)
		}
		// A snapshot's message comes with its state, or there would be nothing to install: see ServeSnapshot.
		if m.From != in.from || m.To != t.cfg.Self || m.Cluster != in.cluster || m.Type == raft.MsgSnapshot {
			t.rejected.Add(1)
			continue
		}
		t.received.Add(1)
		t.cfg.Deliver(m)
	}
}

func (t *Transport) answer(conn net.Conn, b []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(t.cfg.WriteTimeout)); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

// keepAlive tells the sender that we live, and sends its echoes back. A failed write closes the connection, and so does
// word that the sender was removed: when it asks for the next stream it is told.
func (t *Transport) keepAlive(in *inbound, echoes <-chan uint16, done <-chan struct{}) {
	ticker := time.NewTicker(t.cfg.KeepAlive)
	defer ticker.Stop()
	var frame []byte
	for {
		select {
		case <-done:
			return
		case number := <-echoes:
			frame = wire.AppendEcho(frame[:0], number)
		case <-ticker.C:
			if t.cfg.IsRemoved(in.from) {
				_ = in.conn.Close()
				return
			}
			frame = wire.AppendKeepAlive(frame[:0])
		}
		if err := t.answer(in.conn, frame); err != nil {
			_ = in.conn.Close()
			return
		}
	}
}
