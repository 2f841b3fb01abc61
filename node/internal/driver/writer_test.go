package driver

import (
	"errors"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// scriptedLog fails where it is told to.
type scriptedLog struct {
	dropped []raft.Index
	drop    error
	sync    error
}

func (l *scriptedLog) Append(*raft.HardState, []raft.Entry) error { return nil }
func (l *scriptedLog) SetCluster(raft.ClusterID) error            { return nil }
func (l *scriptedLog) Restart(raft.Index, raft.Term) error        { return nil }
func (l *scriptedLog) Sync() error                                { return l.sync }
func (l *scriptedLog) DropPrefix(to raft.Index) error {
	l.dropped = append(l.dropped, to)
	return l.drop
}

// A prefix is dropped to make room, so a disk that is too full to write a word about it is no reason to end: the word is
// written with a later batch.
func TestADropThatFindsNoRoomIsTriedAgain(t *testing.T) {
	log := &scriptedLog{drop: wal.ErrFull}
	w := Writer{Log: log}
	var q Queue
	q.Save(raft.Save{HardState: raft.HardState{Term: 1}})
	q.DropPrefix(7)
	if dirty, err := w.Append(q.Take()); !dirty || err != nil {
		t.Fatal(dirty, err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	saved, err := w.Finish()
	if len(saved) != 1 || err != nil {
		t.Fatalf("%d saves, %v: what is durable must be reported", len(saved), err)
	}
	log.drop = nil
	if dirty, err := w.Append(q.Take()); dirty || err != nil {
		t.Fatal(dirty, err)
	}
	if saved, err := w.Finish(); len(saved) != 0 || err != nil || len(log.dropped) != 2 || log.dropped[1] != 7 {
		t.Fatal(saved, err, log.dropped)
	}
	if _, err := w.Finish(); err != nil || len(log.dropped) != 2 {
		t.Fatal("dropped once more:", log.dropped)
	}
	broken := errors.New("broken")
	log.drop = broken
	q.DropPrefix(9)
	_, _ = w.Append(q.Take())
	if _, err := w.Finish(); !errors.Is(err, broken) {
		t.Fatal("a drop that failed otherwise ends the member:", err)
	}
}

// The outbox is what keeps two snapshots from travelling to one member at once.
func TestASnapshotThatIsAskedForMeanwhileGoesNext(t *testing.T) {
	o := Outbox{}
	first, second, third := raft.Message{To: 2, Index: 1}, raft.Message{To: 2, Index: 2}, raft.Message{To: 2, Index: 3}
	if !o.Begin(first) || o.Begin(second) || o.Begin(third) || !o.Begin(raft.Message{To: 3}) {
		t.Fatal("one at a time to each member")
	}
	if next := o.Next(2); next == nil || next.Index != 3 {
		t.Fatal("the newest goes next, got", next)
	}
	if o.Next(2) != nil || !o.Begin(first) {
		t.Fatal("the place is free again")
	}
}

// A snapshot of a log that is shorter than its tail lets go of nothing. The simulator found that this nothing was taken
// for a Save, and that the member forgot its term and vote on the disk: it did not start again.
func TestWordThatNothingMayGoIsNoSave(t *testing.T) {
	m := vfs.NewMem()
	log, err := wal.Create(m, "/w", wal.Identity{ID: 1, Address: "a", Salt: 5})
	if err != nil {
		t.Fatal(err)
	}
	w := Writer{Log: WAL{log}}
	var q Queue
	q.Save(raft.Save{HardState: raft.HardState{Term: 3, Vote: 2}, Entries: []raft.Entry{{Term: 3, Index: 1}}})
	q.DropPrefix(0)
	if _, err := w.Append(q.Take()); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if saved, err := w.Finish(); len(saved) != 1 || err != nil {
		t.Fatalf("%d saves, %v; there was one", len(saved), err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, found, err := wal.Open(m, "/w"); err != nil || found.HardState != (raft.HardState{Term: 3, Vote: 2}) {
		t.Fatalf("found %+v, %v", found.HardState, err)
	}
}
