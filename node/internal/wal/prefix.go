package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// begin says what the log would be if a file were its first: which entry it would follow. A file can
// not be the first if it was cut below that entry later on, for then it needs the files before it.
type begin struct {
	number uint64
	base   Position
	cut    bool
}

// begins has one element for each file, ascending.
type begins []begin

func (b begins) cutAt(i raft.Index) {
	for n := range b {
		b[n].cut = b[n].cut || b[n].base.Index > i
	}
}

// restartAt: what the files held before is void, so that any of them may be the first.
func (b begins) restartAt(p Position) {
	for n := range b {
		b[n].base, b[n].cut = p, false
	}
}

// first returns the newest file that the log may begin with if entries up to and including to are
// needed no more.
func (b begins) first(to raft.Index) begin {
	best := b[0]
	for _, f := range b[1:] {
		if !f.cut && f.base.Index <= to {
			best = f
		}
	}
	return best
}

// Restart empties the log: its next entry will be the one after p, which a snapshot covers. It is one
// batch with the next Append, or alone at the next Sync. The files that it voids go with the next
// DropPrefix(p.Index).
func (l *Log) Restart(p Position) error {
	switch {
	case l.failure != nil:
		return l.failure
	case p.Index < l.base.Index:
		return fmt.Errorf("wal: restart after entry %d of a log that begins after entry %d", p.Index, l.base.Index)
	}
	l.base, l.last, l.restarted = p, p, true
	l.begins.restartAt(p)
	return nil
}

func (l *Log) addRestart(more bool) {
	if !l.restarted {
		return
	}
	l.add(record{kind: recordRestart, more: more, term: uint64(l.base.Term), index: uint64(l.base.Index)})
	l.restarted = false
}

// DropPrefix removes the files whose entries are all at or below to: never the active one, and not
// always all that hold nothing else. It makes everything appended durable first. Base says where the
// log begins then. An error that leaves the log usable is one that the next call may mend.
func (l *Log) DropPrefix(to raft.Index) error {
	if err := l.Sync(); err != nil {
		return err
	}
	if l.failure != nil { // the batch is durable, and what followed it has failed
		return l.failure
	}
	first := l.begins.first(min(to, l.last.Index))
	if first.number > l.begins[0].number {
		// On disk before the first file goes: a file that is missing without this word was lost.
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], first.number)
		l.add(record{kind: recordDrop, term: uint64(first.base.Term), index: uint64(first.base.Index), payload: number[:]})
		if err := l.Sync(); err != nil || l.failure != nil {
			return errors.Join(err, l.failure)
		}
		l.begins = slices.Clone(l.begins[first.number-l.begins[0].number:])
		l.base = first.base
	}
	return l.removeDropped()
}

// Base is the position before the first entry that the log holds.
func (l *Log) Base() Position { return l.base }

// removeDropped removes the files before begins[0], oldest first. Each removal is durable before the
// next, so that a crash leaves no hole between files, and a hole is always damage.
func (l *Log) removeDropped() error {
	for ; l.oldest < l.begins[0].number; l.oldest++ {
		name := filepath.Join(l.dir, segmentName(l.oldest))
		if err := l.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("wal: drop prefix: %w", err)
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return l.fail(fmt.Errorf("drop prefix: %w", err))
		}
	}
	return nil
}

// dropped checks that files which are not there were dropped, and forgets the entries in files that
// were to be dropped when a crash came between.
func (s *scan) dropped(dir string) error {
	oldest := s.begins[0].number
	if s.kept < oldest || s.kept == oldest && s.begins[0].cut {
		e := &CorruptError{File: filepath.Join(dir, segmentName(oldest-1)), First: s.keptBase.Index + 1, Last: s.first.Index,
			Reason: "the file is missing, and no record says that it was dropped"}
		if s.first.Index < s.keptBase.Index {
			e.Rest = true
		}
		return e
	}
	i := int(s.kept - oldest)
	if i == 0 {
		return nil
	}
	if i >= len(s.begins) || s.begins[i].cut || s.begins[i].base.Index < s.base.Index || s.begins[i].base.Index > s.last.Index {
		return fmt.Errorf("wal: %s: a record says that the log begins with %s, which cannot be", dir, segmentName(s.kept))
	}
	base := s.begins[i].base
	s.entries = slices.Clone(s.entries[base.Index-s.base.Index:])
	s.base, s.begins = base, s.begins[i:]
	return nil
}

// SnapshotDir is the directory of the member's snapshots, beside the log's files.
const SnapshotDir = "snapshots"

// orphaned refuses a directory that has snapshots and no log: the log is lost, and with it the vote.
func orphaned(fsys vfs.FS, dir string) error {
	names, err := fsys.List(filepath.Join(dir, SnapshotDir))
	if err != nil || len(names) == 0 {
		return nil // none
	}
	return &CorruptError{File: filepath.Join(dir, segmentName(1)), First: 1, Rest: true, Reason: "no file of the log is left, but snapshots are"}
}
