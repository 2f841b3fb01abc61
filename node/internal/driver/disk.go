package driver

import (
	"errors"
	"fmt"
	"time"

	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// Timings are told how long things took. Each may be nil.
type Timings struct {
	Append func(time.Duration) // of a batch into the log, without the sync
	Sync   func(time.Duration) // of the log
}

// nodeDisk is a Node as its Driver's Disk.
type nodeDisk Node

func (n *nodeDisk) SetCluster(id raft.ClusterID) {
	n.disk.Lock()
	defer n.disk.Unlock()
	n.disk.SetCluster(id)
}

func (n *nodeDisk) Save(s raft.Save) {
	n.disk.Lock()
	n.disk.Save(s)
	n.disk.Unlock()
	n.nudge()
}

func (n *nodeDisk) DropPrefix(to raft.Index) {
	n.disk.Lock()
	n.disk.DropPrefix(to)
	n.disk.Unlock()
	n.nudge()
}

func (n *nodeDisk) nudge() {
	select {
	case n.diskWake <- struct{}{}:
	default:
	}
}

// write owns the log: everything that is queued goes out with one fsync.
func (n *Node) write() {
	defer n.done.Done()
	w := Writer{Log: n.log}
	for range n.diskWake {
		n.disk.Lock()
		batch, stopped := n.disk.Take(), n.disk.stopped
		n.disk.Unlock()
		saved, err := n.writeBatch(&w, batch)
		if err != nil {
			n.fail(fmt.Errorf("driver: write the log: %w", err))
			return
		}
		if len(saved) > 0 {
			n.inbox.Lock()
			n.inbox.Saved = append(n.inbox.Saved, saved...)
			n.inbox.Unlock()
			n.nudge()
		}
		if stopped {
			return
		}
	}
}

func (n *Node) writeBatch(w *Writer, batch Batch) ([]raft.Save, error) {
	began := time.Now()
	dirty, err := w.Append(batch)
	if err != nil {
		return nil, err
	}
	if dirty {
		appended := time.Now()
		if err := n.syncWithRoom(w); err != nil {
			return nil, err
		}
		n.observe(appended.Sub(began), time.Since(appended))
	}
	return w.Finish()
}

func (n *Node) observe(appending, syncing time.Duration) {
	if n.timings.Append != nil {
		n.timings.Append(appending)
	}
	if n.timings.Sync != nil {
		n.timings.Sync(syncing)
	}
}

// fail reports why the node cannot go on. The first reason counts.
func (n *Node) fail(err error) {
	n.logger.Error("cannot go on", "error", err)
	select {
	case n.failed <- err:
	default:
	}
}

// FullRetry is the wait before a full disk is tried again.
const FullRetry = 200 * time.Millisecond

// syncWithRoom waits for room on a full disk: nothing of the batch is on it, so it may be tried again. Meanwhile nothing
// is acknowledged, a leader steps down as with any disk that finishes nothing, and reads go on.
func (n *Node) syncWithRoom(w *Writer) error {
	for said := false; ; said = true {
		err := w.Sync()
		if !errors.Is(err, wal.ErrFull) {
			n.diskErr.Store(nil)
			if said && err == nil {
				n.logger.Info("the disk has room again")
			}
			return err
		}
		if !said {
			n.logger.Error("the disk is full: nothing is acknowledged until it has room", "error", err)
			n.diskErr.Store(&err)
		}
		again := time.NewTimer(FullRetry)
		select {
		case <-again.C:
		case <-n.stop:
			again.Stop()
			return err
		}
	}
}
