package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

// receiving is a snapshot on its way in.
type receiving struct {
	term   raft.Term
	cancel context.CancelCauseFunc
	done   chan struct{}
}

var errSuperseded = errors.New("peer: another snapshot has come in its place")

// ServeSnapshot takes a snapshot, and answers when Config.ReceiveSnapshot has made it durable.
func (t *Transport) ServeSnapshot(w http.ResponseWriter, r *http.Request) {
	in := &inbound{address: r.Header.Get(headerAddress)}
	status, reason := t.identify(r, in)
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		status, reason = http.StatusMethodNotAllowed, "peer: a snapshot is sent with POST"
	case status != 0:
	case r.ContentLength < 0:
		status, reason = http.StatusLengthRequired, "peer: a snapshot needs a Content-Length"
	case r.ContentLength > t.cfg.SnapshotBytes:
		status, reason = http.StatusRequestEntityTooLarge, fmt.Sprintf("peer: a snapshot of %d bytes is more than %d", r.ContentLength, t.cfg.SnapshotBytes)
	case t.cfg.ReceiveSnapshot == nil:
		status, reason = http.StatusNotImplemented, "peer: this member takes no snapshots"
	}
	if status != 0 {
		t.refuse(w, r, in.from, status, reason)
		return
	}
	if !t.begin() {
		t.cfg.Refuse(w, r, http.StatusServiceUnavailable, ErrClosed.Error())
		return
	}
	defer t.running.Done()
	started := time.Now()
	m, status, err := t.receiveSnapshot(w, r, in)
	if err != nil {
		t.refuse(w, r, in.from, status, err.Error())
		return
	}
	t.cfg.Logger.Info("snapshot received", "peer", in.from.String(), "index", uint64(m.Index), "bytes", r.ContentLength, "took", time.Since(started))
	w.WriteHeader(http.StatusOK)
}

func (t *Transport) receiveSnapshot(w http.ResponseWriter, r *http.Request, in *inbound) (raft.Message, int, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	controller := http.NewResponseController(w)
	// Reads end when the context does. The server's own deadlines were made for requests, not for gigabytes.
	defer context.AfterFunc(ctx, func() { _ = controller.SetReadDeadline(time.Now()) })()
	defer context.AfterFunc(t.context, func() { cancel(ErrClosed) })()
	if err := controller.SetWriteDeadline(time.Time{}); err != nil {
		return raft.Message{}, http.StatusInternalServerError, fmt.Errorf("peer: receive snapshot: %w", err)
	}
	body := bufio.NewReaderSize(&stallReader{ctx: ctx, from: r.Body, controller: controller, timeout: t.cfg.SnapshotStall}, snapshotPiece)
	m, err := wire.ReadFrame(body)
	if err != nil {
		return m, http.StatusBadRequest, fmt.Errorf("peer: receive snapshot: message: %w", err)
	}
	if m.Type != raft.MsgSnapshot || m.From != in.from || m.To != t.cfg.Self || m.Cluster != in.cluster {
		return m, http.StatusBadRequest, fmt.Errorf("peer: receive snapshot: a %v from %v to %v of cluster %v does not belong here", m.Type, m.From, m.To, m.Cluster)
	}
	slot, err := t.takeReceiving(ctx, m.Term, cancel)
	if err != nil {
		return m, http.StatusConflict, err
	}
	defer t.endReceiving(slot)
	stop := t.sayProcessing(w, controller)
	err = t.cfg.ReceiveSnapshot(ctx, m, body)
	stop()
	if err == nil {
		return m, 0, nil
	}
	if ctx.Err() != nil {
		return m, http.StatusServiceUnavailable, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return m, http.StatusInternalServerError, err
}

// takeReceiving makes this snapshot the one that comes in. An older one gives way, unless it is of a
// newer leader: whoever sent it has given it up, even if we cannot see that yet.
func (t *Transport) takeReceiving(ctx context.Context, term raft.Term, cancel context.CancelCauseFunc) (*receiving, error) {
	mine := &receiving{term: term, cancel: cancel, done: make(chan struct{})}
	for {
		t.mu.Lock()
		other := t.receiving
		if other == nil {
			t.receiving = mine
			t.mu.Unlock()
			return mine, nil
		}
		t.mu.Unlock()
		if other.term > term {
			return nil, fmt.Errorf("peer: a snapshot of term %d is coming in; this one is of term %d", other.term, term)
		}
		other.cancel(errSuperseded)
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (t *Transport) endReceiving(slot *receiving) {
	t.mu.Lock()
	t.receiving = nil
	t.mu.Unlock()
	close(slot.done)
}

// sayProcessing sends 102 until the returned function is called: the sender cannot tell a member that
// writes to its disk from one that is gone.
func (t *Transport) sayProcessing(w http.ResponseWriter, controller *http.ResponseController) (stop func()) {
	// Not through wrappers that note the status: this one is not the answer yet.
	for wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok; wrapped, ok = w.(interface{ Unwrap() http.ResponseWriter }) {
		w = wrapped.Unwrap()
	}
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(t.cfg.KeepAlive)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if controller.SetWriteDeadline(time.Now().Add(t.cfg.WriteTimeout)) == nil {
					w.WriteHeader(http.StatusProcessing)
				}
			}
		}
	})
	return func() {
		close(done)
		writing.Wait()
	}
}

// stallReader fails when nothing arrives for a while, and when the context ends.
type stallReader struct {
	ctx        context.Context
	from       io.Reader
	controller *http.ResponseController
	timeout    time.Duration
}

func (r *stallReader) Read(b []byte) (int, error) {
	if err := r.controller.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	if r.ctx.Err() != nil { // after the deadline was set: the end of the context has its own
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(b)
}
