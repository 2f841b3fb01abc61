package driver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"raftlab/node/internal/snapshot"
	"raftlab/raft"
)

// sendTimeout bounds one sending, however large: a receiver whose disk hangs must not hold the place for ever.
const sendTimeout = 30 * time.Minute

// SendSnapshot streams a snapshot's bytes with its message, and returns nil when the receiver has them durably.
type SendSnapshot func(ctx context.Context, m raft.Message, size int64, body io.Reader) error

// keeper is the Snapshots of a Node: files, and goroutines that write and send them while the loop goes on.
type keeper struct {
	node    *Node
	store   *snapshot.Store
	send    SendSnapshot
	context context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	taken   time.Time
	size    int64
	sending Outbox
	failing map[raft.ID]bool // whose snapshot failed the last time; our own taking is under no id
}

func newKeeper(n *Node, store *snapshot.Store, send SendSnapshot) *keeper {
	k := &keeper{node: n, store: store, send: send, sending: Outbox{}, failing: map[raft.ID]bool{}}
	k.context, k.cancel = context.WithCancel(context.Background())
	return k
}

// tell gives an outcome to the loop, if that still runs.
func (k *keeper) tell(do func(*Driver)) { _ = k.node.post(do, func() {}) }

func (k *keeper) Take(s raft.Snapshot, write func(io.Writer) error) {
	k.node.done.Go(func() {
		began := time.Now()
		err := k.take(s, write)
		switch {
		case errors.Is(err, ErrStopped):
			k.node.logger.Info("snapshot given up: this member stops", "index", s.Index)
		case err != nil:
			k.node.logger.Log(k.context, k.failed(0, slog.LevelError), "snapshot was not taken", "index", s.Index, "error", err)
		default:
			k.worked(0)
			k.node.logger.Info("snapshot taken", "index", s.Index, "bytes", k.noteSize(s), "took", time.Since(began))
		}
		k.tell(func(d *Driver) { d.Taken(s, err) })
	})
}

// failed gives the level at which a failure is to be logged: what goes on failing, on a full disk once a second, is news once.
func (k *keeper) failed(id raft.ID, level slog.Level) slog.Level {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failing[id] {
		return slog.LevelDebug
	}
	k.failing[id] = true
	return level
}

func (k *keeper) worked(id raft.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.failing, id)
}

func (k *keeper) take(s raft.Snapshot, write func(io.Writer) error) error {
	return WriteSnapshot(k.store, s, func(to io.Writer) error { return write(stoppable{to, k.context}) })
}

// stoppable ends a long write when the node stops.
type stoppable struct {
	io.Writer
	context context.Context
}

func (w stoppable) Write(b []byte) (int, error) {
	if w.context.Err() != nil {
		return 0, ErrStopped
	}
	return w.Writer.Write(b)
}

// noteSize remembers the size and the time of the latest snapshot, for who watches.
func (k *keeper) noteSize(s raft.Snapshot) int64 {
	body, size, err := k.store.Raw(s)
	if err != nil {
		return 0
	}
	_ = body.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken, k.size = time.Now(), size
	return size
}

// Send carries one snapshot at a time to each member.
func (k *keeper) Send(m raft.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.sending.Begin(m) {
		return
	}
	k.node.done.Go(func() {
		for next := &m; next != nil; next = k.nextFor(m.To) {
			err := k.sendOne(*next)
			k.tell(func(d *Driver) { d.Sent(m.To, err) })
		}
	})
}

// nextFor takes what was asked for meanwhile; nil ends the sending to this member.
func (k *keeper) nextFor(to raft.ID) *raft.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.context.Err() != nil {
		delete(k.sending, to)
		return nil
	}
	return k.sending.Next(to)
}

// sendOne sends, and after a failure waits a little, so that a member that cannot be reached is not asked all the time.
func (k *keeper) sendOne(m raft.Message) error {
	began := time.Now()
	size, err := k.sendFile(m)
	if err == nil {
		k.worked(m.To)
		k.node.logger.Info("snapshot sent", "to", m.To, "index", m.Index, "bytes", size, "took", time.Since(began))
		return nil
	}
	if k.context.Err() != nil {
		return err
	}
	k.node.logger.Log(k.context, k.failed(m.To, slog.LevelWarn), "snapshot did not arrive", "to", m.To, "index", m.Index, "error", err)
	wait := time.NewTimer(SendAgainAfter)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-k.context.Done():
	}
	return err
}

func (k *keeper) sendFile(m raft.Message) (int64, error) {
	s, err := Described(m)
	if err != nil {
		return 0, err
	}
	body, size, err := k.store.Raw(s)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(k.context, sendTimeout)
	defer cancel()
	return size, errors.Join(k.send(ctx, m, size, body), body.Close())
}

func (k *keeper) Read(s raft.Snapshot) (io.ReadCloser, error) { return k.store.Read(s) }
func (k *keeper) Latest() (raft.Snapshot, bool)               { return k.store.Latest() }

// ReceiveSnapshot stores what a leader sends, and tells Raft when it is durable.
func (n *Node) ReceiveSnapshot(ctx context.Context, m raft.Message, body io.Reader) error {
	if n.keeper == nil {
		return ErrNoSnapshots
	}
	if err := n.withDriver(ctx, func(d *Driver) error { return d.raft.Wants(m) }); err != nil {
		return err
	}
	if err := ReceiveSnapshot(n.keeper.store, m, n.machine, body); err != nil {
		return err
	}
	n.keeper.noteSize(raft.Snapshot{Index: m.Index, Term: m.LogTerm})
	return n.withDriver(ctx, func(d *Driver) error { return d.DeliverSnapshot(m) })
}

// withDriver has the loop do something, and waits for the outcome.
func (n *Node) withDriver(ctx context.Context, do func(*Driver) error) error {
	answer := newAnswer[struct{}]()
	give := func(d *Driver) { answer.give(struct{}{}, do(d)) }
	if err := n.post(give, func() { answer.give(struct{}{}, ErrStopped) }); err != nil {
		return err
	}
	_, err := answer.take(ctx, nil)
	return err
}

// SnapshotStat describes the latest snapshot; false if there is none since the start.
func (n *Node) SnapshotStat() (sizeBytes int64, taken time.Time, ok bool) {
	if n.keeper == nil {
		return 0, time.Time{}, false
	}
	n.keeper.mu.Lock()
	defer n.keeper.mu.Unlock()
	return n.keeper.size, n.keeper.taken, !n.keeper.taken.IsZero()
}
