package driver

import (
	"errors"
	"fmt"
	"time"

	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// Log is the part of the write-ahead log that a Node uses. Append and SetCluster are buffered; Sync makes
// everything before it durable. After an error no call succeeds.
type Log interface {
	Append(hard *raft.HardState, entries []raft.Entry) error
	SetCluster(raft.ClusterID) error
	// Restart empties the log: its next entry is the one after this.
	Restart(last raft.Index, term raft.Term) error
	// DropPrefix may let go of entries up to an index.
	DropPrefix(to raft.Index) error
	Sync() error
}

// Timings are told how long things took. Each may be nil.
type Timings struct {
	Append func(time.Duration) // of a batch into the log, without the sync
	Sync   func(time.Duration) // of the log
}

// diskWork is a Save, and a cluster's id to keep with it if that is not zero; or, if that is not zero, an index
// up to which entries may go.
type diskWork struct {
	save    raft.Save
	cluster raft.ClusterID
	drop    raft.Index
}

// nodeDisk is a Node as its Driver's Disk.
type nodeDisk Node

// SetCluster waits for the next Save: what makes a member part of a cluster is durable in one sync.
func (n *nodeDisk) SetCluster(id raft.ClusterID) {
	n.disk.Lock()
	defer n.disk.Unlock()
	n.disk.cluster = id
}

func (n *nodeDisk) Save(s raft.Save) {
	n.disk.Lock()
	n.disk.queue = append(n.disk.queue, diskWork{save: s, cluster: n.disk.cluster})
	n.disk.cluster = 0
	n.disk.Unlock()
	n.nudge()
}

func (n *nodeDisk) DropPrefix(to raft.Index) {
	n.disk.Lock()
	n.disk.queue = append(n.disk.queue, diskWork{drop: to})
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
	var last raft.HardState
	for range n.diskWake {
		n.disk.Lock()
		queue, stopped := n.disk.queue, n.disk.stopped
		n.disk.queue = nil
		n.disk.Unlock()
		saved, err := n.writeAll(queue, &last)
		if err != nil {
			// The kernel may have dropped the dirty pages and will report no error again: never retried
			// ("Can applications recover from fsync failures?", ATC 2020).
			n.fail(fmt.Errorf("driver: write the log: %w", err))
			return
		}
		if len(saved) > 0 {
			n.inbox.Lock()
			n.inbox.saved = append(n.inbox.saved, saved...)
			n.inbox.Unlock()
			n.nudge()
		}
		if stopped {
			return
		}
	}
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

// fullRetry is the wait before a full disk is tried again.
const fullRetry = 200 * time.Millisecond

// syncWithRoom waits for room on a full disk: nothing of the batch is on it, so it may be tried again. Meanwhile nothing
// is acknowledged, a leader steps down as with any disk that finishes nothing, and reads go on.
func (n *Node) syncWithRoom() error {
	for said := false; ; said = true {
		err := n.log.Sync()
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
		again := time.NewTimer(fullRetry)
		select {
		case <-again.C:
		case <-n.stop:
			again.Stop()
			return err
		}
	}
}

func (n *Node) writeAll(queue []diskWork, last *raft.HardState) ([]raft.Save, error) {
	var saved []raft.Save
	var drop raft.Index
	began, dirty := time.Now(), false
	for i := range queue {
		w := &queue[i]
		if w.drop > 0 {
			drop = w.drop // a snapshot covers it, so nothing in this batch needs it
			continue
		}
		if w.cluster != 0 {
			dirty = true
			if err := n.log.SetCluster(w.cluster); err != nil {
				return nil, err
			}
		}
		saved = append(saved, w.save)
		hard := &w.save.HardState
		if *hard == *last {
			hard = nil
		}
		if s := w.save.Restart; s != nil {
			dirty = true
			if err := n.log.Restart(s.Index, s.Term); err != nil {
				return nil, err
			}
			drop = s.Index // what was before goes when the restart is durable
		}
		if hard == nil && len(w.save.Entries) == 0 {
			continue
		}
		dirty = true
		if err := n.log.Append(hard, w.save.Entries); err != nil {
			return nil, err
		}
		*last = w.save.HardState
	}
	if dirty {
		appended := time.Now()
		if err := n.syncWithRoom(); err != nil {
			return nil, err
		}
		n.observe(appended.Sub(began), time.Since(appended))
	}
	if drop > 0 {
		return saved, n.log.DropPrefix(drop)
	}
	return saved, nil
}
