package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

// SnapshotPath is where a member takes a snapshot: POST, the headers of a stream's handshake, and a
// body of the raft message in a frame and then the state. The answer is 200 when the state is durable.
// A receiver that is at work says so with 102 Processing; who hears nothing for Config.SnapshotStall
// gives up, on either side.
const SnapshotPath = "/__pyraft/snapshot/stream"

const snapshotPiece = 64 << 10

var (
	// ErrUnknownPeer says that SetMembers has named no such member.
	ErrUnknownPeer = errors.New("peer: nobody with that id is known")
	// ErrBusy says that a snapshot is on its way to that member already.
	ErrBusy = errors.New("peer: a snapshot is being sent to this member already")
)

// SendSnapshot streams size bytes of state to m.To over a connection of its own, while messages go on
// beside it. Nil means that the receiver has answered that all of it is durable there. An error means
// that it may be, or not. It returns when ctx ends, and when the peer takes nothing for a while, unless
// body blocks in Read.
func (t *Transport) SendSnapshot(ctx context.Context, m raft.Message, size int64, body io.Reader) error {
	address, err := t.beginSnapshot(m.To)
	if err != nil {
		return err
	}
	defer t.running.Done()
	defer t.endSnapshot(m.To)
	frame, err := wire.AppendFrame(nil, &m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.context, func() { cancel(ErrClosed) })()
	if err := t.sendSnapshot(ctx, address, m, frame, size, body); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("peer: send snapshot up to entry %d to %v at %s: %w", m.Index, m.To, address, err)
	}
	return nil
}

// beginSnapshot looks the peer up, and makes sure that it gets one snapshot at a time.
func (t *Transport) beginSnapshot(to raft.ID) (address string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s := t.senders[to]; {
	case t.closed:
		return "", ErrClosed
	case t.cfg.Cluster() == 0:
		return "", errNoCluster
	case s == nil:
		return "", fmt.Errorf("%w: %v", ErrUnknownPeer, to)
	case t.sending[to]:
		return "", fmt.Errorf("%w: %v", ErrBusy, to)
	default:
		address = s.address
	}
	t.sending[to] = true
	t.running.Add(1)
	return address, nil
}

func (t *Transport) endSnapshot(to raft.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sending, to)
}

func (t *Transport) sendSnapshot(ctx context.Context, address string, m raft.Message, frame []byte, size int64, body io.Reader) error {
	conn, err := t.dial(ctx, address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	request := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: address, Path: SnapshotPath}, Host: address,
		Header: t.handshakeHeader(m.To, t.cfg.Cluster())}
	answered := make(chan error, 1)
	go func() {
		answered <- t.snapshotAnswer(conn, request)
		_ = conn.Close() // a blocked write returns: an early answer is a refusal
	}()
	request.Header.Set("Content-Type", "application/octet-stream")
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n", SnapshotPath, address, int64(len(frame))+size)
	source := &source{Reader: body}
	if err = t.writeSnapshot(conn, head, request.Header, frame, size, source); err == nil {
		return <-answered
	}
	if source.err == nil {
		// The peer may have refused, and closed: its answer says more than a broken pipe.
		timer := time.NewTimer(t.cfg.WriteTimeout / 4)
		defer timer.Stop()
		select {
		case answer := <-answered:
			var refused *refusedError
			if errors.As(answer, &refused) {
				return answer
			}
			return err
		case <-timer.C:
		}
	}
	_ = conn.Close()
	<-answered
	return err
}

// source remembers that it was the state that could not be read, not the connection that failed.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil {
		s.err = err
	}
	return n, err
}

// writeSnapshot writes a request in pieces, each of which the connection must take in time.
func (t *Transport) writeSnapshot(conn net.Conn, head string, header http.Header, frame []byte, size int64, body io.Reader) error {
	w := bufio.NewWriterSize(deadlineWriter{conn, t.cfg.SnapshotStall}, snapshotPiece)
	if _, err := w.WriteString(head); err != nil {
		return err
	}
	if err := header.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	if _, err := w.Write(frame); err != nil {
		return err
	}
	switch n, err := io.Copy(w, io.LimitReader(body, size)); {
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", n, size, err)
	case n < size:
		return fmt.Errorf("the state ends after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return w.Flush()
}

type deadlineWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (w deadlineWriter) Write(b []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}

// snapshotAnswer waits for the answer, as long as the peer says that it is at work.
func (t *Transport) snapshotAnswer(conn net.Conn, request *http.Request) error {
	replies := bufio.NewReader(&idleReader{conn: conn, from: conn, timeout: t.cfg.SnapshotStall})
	for {
		response, err := http.ReadResponse(replies, request)
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if response.StatusCode == http.StatusProcessing || response.StatusCode == http.StatusContinue {
			continue
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return refusal(response)
		}
		return nil
	}
}
