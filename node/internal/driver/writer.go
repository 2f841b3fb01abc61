package driver

import (
	"errors"

	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// Log is the part of the write-ahead log that a Writer uses. Append and SetCluster are buffered; Sync makes
// everything before it durable. After an error no call succeeds, but for wal.ErrFull.
type Log interface {
	Append(hard *raft.HardState, entries []raft.Entry) error
	SetCluster(raft.ClusterID) error
	// Restart empties the log: its next entry is the one after this.
	Restart(last raft.Index, term raft.Term) error
	// DropPrefix may let go of entries up to an index.
	DropPrefix(to raft.Index) error
	Sync() error
}

// WAL is the write-ahead log in the driver's words.
type WAL struct{ *wal.Log }

// Restart implements Log.
func (l WAL) Restart(last raft.Index, term raft.Term) error {
	return l.Log.Restart(wal.Position{Index: last, Term: term})
}

// diskWork is a Save, and a cluster's id to keep with it if that is not zero; or word that entries up to an index may
// go, which has no Save.
type diskWork struct {
	save    raft.Save
	cluster raft.ClusterID
	drops   bool
	drop    raft.Index
}

// Batch is what goes to the disk with one fsync.
type Batch []diskWork

// Queue is a Driver's Disk: what waits for the Writer. It has no lock.
type Queue struct {
	waiting Batch
	cluster raft.ClusterID // to go with the next Save
}

// SetCluster waits for the next Save: what makes a member part of a cluster is durable in one sync.
func (q *Queue) SetCluster(id raft.ClusterID) { q.cluster = id }

// Save implements Disk.
func (q *Queue) Save(s raft.Save) {
	q.waiting = append(q.waiting, diskWork{save: s, cluster: q.cluster})
	q.cluster = 0
}

// DropPrefix implements Disk.
func (q *Queue) DropPrefix(to raft.Index) {
	q.waiting = append(q.waiting, diskWork{drops: true, drop: to})
}

// Empty reports whether nothing waits.
func (q *Queue) Empty() bool { return len(q.waiting) == 0 }

// Take takes all that waits.
func (q *Queue) Take() Batch {
	b := q.waiting
	q.waiting = nil
	return b
}

// Writer carries batches out on a Log: Append, Sync, Finish, and so on with the next. It neither waits nor looks at a
// clock. One goroutine owns it: Node.write in production, the event loop in simulation.
type Writer struct {
	Log Log

	last  raft.HardState
	saved []raft.Save // of the batch under way
	drop  raft.Index  // entries up to here may go when the batch is durable
}

// Append puts a batch into the log's buffer. It reports whether there is anything to sync.
func (w *Writer) Append(batch Batch) (dirty bool, err error) {
	for i := range batch {
		work := &batch[i]
		if work.drops {
			w.drop = work.drop // a snapshot covers it, so nothing in this batch needs it
			continue
		}
		if work.cluster != 0 {
			dirty = true
			if err := w.Log.SetCluster(work.cluster); err != nil {
				return false, err
			}
		}
		w.saved = append(w.saved, work.save)
		hard := &work.save.HardState
		if *hard == w.last {
			hard = nil
		}
		if s := work.save.Restart; s != nil {
			dirty = true
			if err := w.Log.Restart(s.Index, s.Term); err != nil {
				return false, err
			}
			w.drop = s.Index // what was before goes when the restart is durable
		}
		if hard == nil && len(work.save.Entries) == 0 {
			continue
		}
		dirty = true
		if err := w.Log.Append(hard, work.save.Entries); err != nil {
			return false, err
		}
		w.last = work.save.HardState
	}
	return dirty, nil
}

// Sync makes the batch durable. After wal.ErrFull nothing of it is on the disk, and Sync may be called again. After
// any other error the member must end: the kernel may have dropped the dirty pages and will report no error again
// ("Can applications recover from fsync failures?", ATC 2020).
func (w *Writer) Sync() error { return w.Log.Sync() }

// Finish ends a durable batch: it lets go of what may go, and returns the Saves that are durable now.
func (w *Writer) Finish() ([]raft.Save, error) {
	saved := w.saved
	w.saved = nil
	if w.drop == 0 {
		return saved, nil
	}
	err := w.Log.DropPrefix(w.drop)
	if errors.Is(err, wal.ErrFull) {
		return saved, nil // it needs room for a word about it; the next batch tries again
	}
	w.drop = 0
	return saved, err
}
