package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// Recovered is the state that the log holds. All of it is durable when Open returns.
type Recovered struct {
	Identity  Identity
	HardState raft.HardState
	// Base is the position before Entries[0]: zero until a prefix is dropped or the log is restarted.
	Base    Position
	Entries []raft.Entry
	// Torn counts the bytes of an unfinished write that were cut off behind the last whole batch.
	Torn int64
}

// Open locks the directory, reads the whole log and repairs what a crash may leave: bytes that never
// were durable are cut off. Damage to bytes that were durable is a *CorruptError, and then nothing is
// changed. ErrNotExist: there is no log.
func Open(fsys vfs.FS, dir string) (*Log, Recovered, error) { return openLog(fsys, dir, defaults) }

func openLog(fsys vfs.FS, dir string, o options) (*Log, Recovered, error) {
	found, err := list(fsys, dir)
	if err == nil && len(found.segments) == 0 {
		if err := orphaned(fsys, dir); err != nil {
			return nil, Recovered{}, err
		}
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(found.segments) == 0 {
		return nil, Recovered{}, fmt.Errorf("%w: %s", ErrNotExist, dir)
	}
	if err != nil {
		return nil, Recovered{}, err
	}
	lock, err := takeLock(fsys, dir)
	if err != nil {
		return nil, Recovered{}, err
	}
	l := &Log{fs: fsys, dir: dir, options: o, lock: lock}
	recovered, err := l.recover()
	if err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, Recovered{}, errors.Join(err, lock.Close())
	}
	return l, recovered, nil
}

// recover reads first and changes second, so that a damaged log stays as it was found.
func (l *Log) recover() (Recovered, error) {
	found, err := list(l.fs, l.dir)
	if err != nil {
		return Recovered{}, err
	}
	s := scan{page: l.options.page}
	tail, err := s.directory(l.fs, l.dir, found.segments)
	if err != nil {
		return Recovered{}, err
	}
	l.head, l.prev = tail.head, tail.prev
	l.head.identity = s.identity
	l.base, l.last, l.state = s.base, s.last, s.state
	l.begins, l.oldest = s.begins, found.segments[0]
	l.end, l.synced, l.filled = tail.end, tail.end, int64(len(tail.data))
	if l.file, err = l.fs.OpenWrite(filepath.Join(l.dir, segmentName(tail.head.number))); err != nil {
		return Recovered{}, fmt.Errorf("wal: open segment: %w", err)
	}
	if err := l.repair(tail, found); err != nil {
		return Recovered{}, fmt.Errorf("wal: repair %s: %w", l.dir, err)
	}
	return Recovered{Identity: s.identity, HardState: s.state, Base: s.base, Entries: s.entries, Torn: tail.torn()}, nil
}

// repair makes durable what was read. A process that was killed leaves records that were written and
// never synced: they are in the log from now on, so they must be on disk from now on. They are written
// again before the fsync, because after an fsync that failed the kernel may hold them as clean pages
// that no later fsync would write.
func (l *Log) repair(t tail, found listing) error {
	if t.proven < t.end {
		if _, err := l.file.WriteAt(t.data[t.proven:t.end], t.proven); err != nil {
			return err
		}
	}
	if t.torn() > 0 {
		if _, err := l.file.WriteAt(make([]byte, int64(len(t.data))-t.end), t.end); err != nil {
			return err
		}
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	if t.unsealed != nil {
		if err := l.sealOld(*t.unsealed, t); err != nil {
			return err
		}
	}
	if err := removeTemps(l.fs, l.dir, found); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	if err := l.removeDropped(); err != nil {
		return err
	}
	return l.writeMark()
}

// sealOld finishes a rotation that a crash interrupted between the new file and the old one's seal.
func (l *Log) sealOld(old segmentHead, t tail) error {
	f, err := l.fs.OpenWrite(filepath.Join(l.dir, segmentName(old.number)))
	if err != nil {
		return err
	}
	end := int64(t.head.prevEnd)
	if _, err := f.WriteAt(seal(old, end, t.headPrev, t.head.last), end); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
