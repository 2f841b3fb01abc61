package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"raftlab/node/internal/vfs"
)

// verifyTries: damage counts if it is found so often in the same place. A log that is in use is written
// while it is read, and a reader may see a later write without an earlier one.
const verifyTries = 5

// Verify reads the log as Open would, and prints what it finds. It takes no lock and changes nothing,
// so it works beside a running member, and says so. The error is a *CorruptError if the log is damaged.
func Verify(fsys vfs.FS, dir string, w io.Writer) error {
	inUse, err := fsys.Locked(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("wal: verify: %w", err)
	}
	var s scan
	var t tail
	var files []uint64
	var before string
	for try := 1; ; try++ {
		s = scan{page: defaults.page}
		t, files, err = s.readOnly(fsys, dir)
		if err == nil || errors.Is(err, ErrNotExist) {
			break
		}
		if !inUse || try >= verifyTries && err.Error() == before {
			break
		}
		if try >= 10*verifyTries {
			return fmt.Errorf("wal: verify: %s changes faster than it can be read; stop the member first: %w", dir, err)
		}
		before = err.Error()
	}
	p := printer{w: w}
	if inUse {
		p.line("in use       a member is running on this log; what it writes meanwhile is not judged")
	}
	if err != nil {
		return errors.Join(err, p.failed)
	}
	p.line("member       %v of cluster %v, made at %s", s.identity.ID, s.identity.Cluster, s.identity.Address)
	p.line("term %d, vote %v", s.state.Term, s.state.Vote)
	if len(s.entries) == 0 {
		p.line("entries      none; the next is %d", s.last.Index+1)
	} else {
		p.line("entries      %d to %d, of terms %d to %d", s.base.Index+1, s.last.Index, s.entries[0].Term, s.last.Term)
	}
	p.line("files        %d, %s to %s", len(files), segmentName(files[0]), segmentName(files[len(files)-1]))
	if torn := t.torn(); torn > 0 {
		p.line("unfinished   %d bytes at byte %d of %s: a write that was never acknowledged, which the next start cuts off",
			torn, t.end, segmentName(t.head.number))
	}
	p.line("whole        every byte that was durable can be read")
	return p.failed
}

// printer remembers the first failure.
type printer struct {
	w      io.Writer
	failed error
}

func (p *printer) line(format string, args ...any) {
	if p.failed == nil {
		_, p.failed = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (s *scan) readOnly(fsys vfs.FS, dir string) (t tail, files []uint64, err error) {
	found, err := list(fsys, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil, fmt.Errorf("%w: %s", ErrNotExist, dir)
	case err != nil:
		return t, nil, err
	case len(found.segments) == 0:
		if err := orphaned(fsys, dir); err != nil {
			return t, nil, err
		}
		return t, nil, fmt.Errorf("%w: %s", ErrNotExist, dir)
	}
	t, err = s.directory(fsys, dir, found.segments)
	return t, found.segments, err
}
