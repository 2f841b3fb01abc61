package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// Sync makes all that was appended durable, with one fsync. After ErrFull it may be called again; any
// other error is the log's last.
func (l *Log) Sync() error {
	if l.failure != nil {
		return l.failure
	}
	l.addCluster(l.restarted)
	l.addRestart(false)
	if len(l.buf) == 0 {
		return nil
	}
	if err := l.write(); errors.Is(err, ErrFull) {
		return err
	} else if err != nil {
		return l.fail(err)
	}
	if err := l.file.Sync(); err != nil {
		return l.fail(err)
	}
	l.synced = l.end
	// The batch is durable from here on. If what follows fails, the next call says so.
	rotated := false
	if l.end >= l.options.segment {
		switch err := l.rotate(); {
		case err == nil:
			rotated = true
		case !errors.Is(err, ErrFull): // without room for a new file the old one grows
			_ = l.fail(err)
			return nil
		}
	}
	if !rotated {
		if err := l.writeMark(); err != nil && !full(err) {
			_ = l.fail(err)
		}
	}
	return nil
}

// full reports whether a step was not taken because there is no room. Whether an earlier part of it was
// taken, it does not say.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func (l *Log) fail(err error) error {
	l.failure = fmt.Errorf("wal: log in %s has failed and takes no more writes; what is on disk is unknown until it is opened again: %w", l.dir, err)
	return l.failure
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// write hands the buffer to the file, and zeros behind it when the zero-filled part is used up.
func (l *Log) write() error {
	b := l.buf
	end := l.end + int64(len(b))
	// A batch that ends inside the floating mark takes the rest of it away: no stale byte may follow
	// the end of the log.
	for l.mark > 0 && l.mark < l.end+int64(len(b)) && l.end+int64(len(b)) < l.mark+recordMin {
		b = append(b, 0)
	}
	// Zeros first, so that a disk without room says so before any byte of the batch is written.
	if need := roundUp(end, l.options.page) + recordMin; need > l.filled {
		filled := roundUp(need, l.options.chunk)
		if _, err := l.file.WriteAt(make([]byte, filled-l.filled), l.filled); err != nil {
			if full(err) {
				err = fmt.Errorf("%w: %w", ErrFull, err)
			}
			return err
		}
		l.filled = filled
	}
	if _, err := l.file.WriteAt(b, l.end); err != nil {
		if full(err) {
			return l.unwrite(int64(len(b)), err)
		}
		return err
	}
	l.end = end
	if cap(b) > 4<<20 {
		b = nil // one large batch does not hold its memory for ever
	}
	l.buf = b[:0]
	return nil
}

// unwrite takes back a batch that a full disk has cut short, which a file system that copies on write
// may do in spite of the zeros. If that fails, the log has failed; if it is durable, the log is as it was.
func (l *Log) unwrite(n int64, cause error) error {
	if _, err := l.file.WriteAt(make([]byte, n), l.end); err != nil {
		return fmt.Errorf("take back a write: %w", errors.Join(cause, err))
	}
	l.mark = 0
	if err := l.writeMark(); err != nil && !full(err) {
		return fmt.Errorf("take back a write: %w", errors.Join(cause, err))
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("take back a write: %w", errors.Join(cause, err))
	}
	return fmt.Errorf("%w: %w", ErrFull, cause)
}

// writeMark writes, behind the log, that everything before is durable. Nobody waits for it: it costs
// one write to the page cache, outlives the process at once and the machine a few seconds later or
// with the next Sync. It floats one page beyond the end, in bytes that are zero otherwise, and is
// overwritten as the log grows. Without it, damage to the last batch would look like a torn write.
func (l *Log) writeMark() error {
	mark := record{kind: recordMark, segment: segmentID(l.head.identity.Salt, l.head.number),
		prev: l.prev, synced: uint32(l.synced), term: uint64(l.last.Term), index: uint64(l.last.Index)}
	b, _ := mark.append(nil)
	l.mark = roundUp(l.end, l.options.page)
	_, err := l.file.WriteAt(b, l.mark)
	return err
}

// rotate begins a new segment. The order matters: the old file is durable, then the new one exists
// durably, then the old one is sealed durably, and only then may entries go to the new one. So a sealed
// file without a successor is a lost file, not the trace of a crash.
func (l *Log) rotate() error {
	head := segmentHead{number: l.head.number + 1, prealloc: uint32(l.options.chunk), prevEnd: uint32(l.end),
		identity: l.head.identity, state: l.state, last: l.last}
	file, end, crc, err := createSegment(l.fs, l.dir, &head, l.prev)
	if err != nil {
		return err
	}
	old := l.file
	sealed := seal(l.head, l.end, l.prev, l.last)
	l.file, l.head, l.prev = file, head, crc
	l.begins = append(l.begins, begin{number: head.number, base: head.last})
	l.end, l.synced, l.filled, l.mark = end, end, int64(head.prealloc), 0
	if _, err := old.WriteAt(sealed, int64(head.prevEnd)); err != nil {
		return errors.Join(err, old.Close())
	}
	return errors.Join(old.Sync(), old.Close())
}

func seal(head segmentHead, end int64, prev uint32, last Position) []byte {
	r := record{kind: recordSeal, segment: segmentID(head.identity.Salt, head.number), prev: prev,
		synced: uint32(end), term: uint64(last.Term), index: uint64(last.Index)}
	b, _ := r.append(nil)
	return b
}

// Close makes everything durable, the mark too, and gives the directory free. It returns the first
// error that the log has had.
func (l *Log) Close() error {
	if errors.Is(l.failure, ErrClosed) {
		return nil
	}
	err := l.Sync()
	if err == nil && l.failure == nil {
		if err = l.writeMark(); err == nil {
			err = l.file.Sync()
		}
	}
	if err == nil {
		err = l.failure
	}
	l.failure = fmt.Errorf("%w: %s", ErrClosed, filepath.Clean(l.dir))
	return errors.Join(err, l.file.Close(), l.lock.Close())
}
