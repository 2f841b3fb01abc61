package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

const (
	// flushBytes is about how much goes into one write: enough that a system call costs nothing per
	// message, little enough that heartbeats do not wait behind megabytes.
	flushBytes = 256 << 10
	// userTimeout ends a connection whose bytes stay unacknowledged. Without it TCP waits ever longer
	// between retries, and a healed link would stay silent for as long again as it was cut.
	userTimeout = 2 * time.Second
)

// sender keeps one stream to one peer at one address. Its goroutine, run, owns the connection; the
// queue is all that it shares.
type sender struct {
	t       *Transport
	id      raft.ID
	address string
	guest   bool // not in the configuration; guarded by t.mu
	context context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // the queue is no longer empty

	mu        sync.Mutex
	queue     []raft.Message
	bytes     int
	connected bool
	counts    PeerStats
	echo      echo

	said string // the state that was logged last
}

func newSender(t *Transport, id raft.ID, address string, guest bool) *sender {
	s := &sender{t: t, id: id, address: address, guest: guest, wake: make(chan struct{}, 1)}
	s.context, s.cancel = context.WithCancel(t.context)
	return s
}

// echo times round trips: one number is on its way at a time, so that a slow link is not asked faster than it answers.
type echo struct {
	spoken bool // the peer answers: it says so in its handshake
	number uint16
	asked  time.Time // zero: nothing is on its way
}

// ask returns the frame for a tick: an echo if the last one is back, or else, if the stream is silent, one that only
// keeps it alive.
func (s *sender) ask(silent bool, buf []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := &s.echo; {
	case e.spoken && e.asked.IsZero():
		e.number++
		e.asked = time.Now()
		return wire.AppendEcho(buf, e.number)
	case silent:
		return wire.AppendKeepAlive(buf)
	}
	return buf
}

// answered takes an echo. One of another number is of no stream of ours.
func (s *sender) answered(number uint16) {
	s.mu.Lock()
	took := time.Since(s.echo.asked)
	ours := number == s.echo.number && !s.echo.asked.IsZero()
	if ours {
		s.echo.asked, s.counts.RoundTrip = time.Time{}, took
	}
	s.mu.Unlock()
	if ours && s.t.cfg.RoundTrip != nil {
		s.t.cfg.RoundTrip(s.id, took)
	}
}

// push queues a message or drops it: the newest, since the ones before it must arrive first to be of use.
func (s *sender) push(m raft.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := wire.Size(&m)
	if len(s.queue) >= s.t.cfg.QueueMessages || s.bytes+size > s.t.cfg.QueueBytes {
		s.counts.Dropped++
		return
	}
	s.queue = append(s.queue, m)
	s.bytes += size
	if len(s.queue) == 1 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take empties the queue into spare, which becomes the next queue's room.
func (s *sender) take(spare []raft.Message) []raft.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.queue
	s.queue, s.bytes = spare[:0], 0
	return batch
}

func (s *sender) stats() PeerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.counts
	stats.ID, stats.Address, stats.Connected, stats.Queued = s.id, s.address, s.connected, len(s.queue)
	return stats
}

func (s *sender) run() {
	delay := s.t.cfg.BackoffMin
	for s.context.Err() == nil {
		conn, replies, err := s.connect()
		if err == nil {
			opened := time.Now()
			s.opened()
			err = s.stream(conn, replies)
			if time.Since(opened) > time.Second {
				delay = s.t.cfg.BackoffMin
			}
		}
		if s.context.Err() != nil {
			break
		}
		s.lost(err)
		// Half to the whole delay: members that lost each other together do not dial together for ever.
		timer := time.NewTimer(delay/2 + rand.N(delay/2+1))
		select {
		case <-timer.C:
		case <-s.context.Done():
			timer.Stop()
		}
		delay = min(2*delay, s.t.cfg.BackoffMax)
	}
}

func (s *sender) opened() {
	s.mu.Lock()
	s.connected = true
	s.counts.Connects++
	s.counts.RoundTrip, s.echo.asked = 0, time.Time{}
	s.mu.Unlock()
	s.said = "connected"
	s.t.cfg.Logger.Info("peer connected", "peer", s.id.String(), "address", s.address)
}

// lost drops what was queued, which would be stale at the next connection, and logs a change of state,
// not each attempt.
func (s *sender) lost(err error) {
	s.mu.Lock()
	s.connected = false
	s.counts.Dropped += uint64(len(s.queue))
	clear(s.queue)
	s.queue, s.bytes = s.queue[:0], 0
	s.mu.Unlock()

	state, text := "lost", "peer unreachable"
	var refusal *refusedError
	switch {
	case errors.Is(err, errNoCluster):
		return
	case errors.As(err, &refusal):
		// Not by its text, in which a stranger may put the time of day.
		state, text = fmt.Sprint(refusal.status, refusal.cluster), "peer refused the stream"
		if refusal.status == http.StatusGone && refusal.cluster == hexID(uint64(s.t.cfg.Cluster())) {
			s.t.cfg.OnRemoved(s.id)
		}
	case s.said == "connected":
		text = "peer lost"
	}
	if s.said != state {
		s.said = state
		s.t.cfg.Logger.Warn(text, "peer", s.id.String(), "address", s.address, "err", err)
	}
}

// stream writes what is queued until the connection or the sender ends.
func (s *sender) stream(conn net.Conn, replies *bufio.Reader) error {
	ended := make(chan error, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		err := s.listen(conn, replies)
		ended <- err
		_ = conn.Close() // a blocked write returns
	})
	stop := context.AfterFunc(s.context, func() { _ = conn.Close() })
	defer reading.Wait()
	defer func() { stop(); _ = conn.Close() }()

	keepAlive := time.NewTicker(s.t.cfg.KeepAlive)
	defer keepAlive.Stop()
	var batch []raft.Message
	silent := true
	buf, err := s.write(conn, s.ask(true, nil))
	if err != nil {
		return err
	}
	for {
		select {
		case err = <-ended:
			return err
		case <-s.wake:
			silent = false
			batch = s.take(batch)
			buf, err = s.flush(conn, batch, buf[:0])
			clear(batch) // the entries belong to the log, not to us
		case <-keepAlive.C:
			if buf = s.ask(silent, buf[:0]); len(buf) > 0 {
				buf, err = s.write(conn, buf)
			}
			silent = true
		}
		if err != nil {
			select {
			case cause := <-ended: // says more than "use of closed connection"
				return cause
			default:
				return err
			}
		}
	}
}

// flush writes a batch in as few calls as flushBytes allows.
func (s *sender) flush(conn net.Conn, batch []raft.Message, buf []byte) ([]byte, error) {
	sent := uint64(0)
	for i := range batch {
		framed, err := wire.AppendFrame(buf, &batch[i])
		if err != nil {
			s.t.cfg.Logger.Error("message dropped", "peer", s.id.String(), "err", err)
			s.count(0, 1)
			continue
		}
		buf = framed
		sent++
		if len(buf) >= flushBytes || i == len(batch)-1 {
			if buf, err = s.write(conn, buf); err != nil {
				s.count(0, sent+uint64(len(batch)-1-i))
				return buf, err
			}
			s.count(sent, 0)
			sent = 0
		}
	}
	if len(buf) == 0 {
		return buf, nil
	}
	buf, err := s.write(conn, buf) // the last message could not be encoded, those before it could
	s.count(sent, 0)
	return buf, err
}

func (s *sender) count(sent, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Sent += sent
	s.counts.Dropped += dropped
}

// write sends buf and returns its memory for reuse.
func (s *sender) write(conn net.Conn, buf []byte) ([]byte, error) {
	if err := conn.SetWriteDeadline(time.Now().Add(s.t.cfg.WriteTimeout)); err != nil {
		return buf[:0], err
	}
	_, err := conn.Write(buf)
	if cap(buf) > 4*flushBytes {
		buf = nil
	}
	return buf[:0], err
}

// listen waits for the end of the stream. The peer sends keep-alives, so silence is an end too: it
// finds a peer that hangs behind a proxy, where TCP sees nothing wrong.
func (s *sender) listen(conn net.Conn, replies *bufio.Reader) error {
	reader := wire.NewReader(&idleReader{conn: conn, from: replies, timeout: s.t.cfg.IdleTimeout})
	reader.Echo = s.answered
	_, err := reader.Next()
	switch {
	case err == nil:
		return errors.New("peer: a message came on the stream that we send on")
	case errors.Is(err, io.EOF):
		return errors.New("peer: the other side closed the stream")
	}
	return fmt.Errorf("peer: stream: %w", err)
}

// idleReader fails when nothing arrives for a while.
type idleReader struct {
	conn    net.Conn
	from    io.Reader
	timeout time.Duration
}

func (r *idleReader) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	return r.from.Read(b)
}
