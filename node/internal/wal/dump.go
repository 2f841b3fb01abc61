package wal

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"raftlab/node/internal/vfs"
)

// Dump prints the records in a directory, one on a line, those behind damage too. It takes no lock and
// changes nothing.
func Dump(fsys vfs.FS, dir string, w io.Writer) error {
	found, err := list(fsys, dir)
	if err != nil {
		return err
	}
	p := printer{w: w}
	if inUse, err := fsys.Locked(filepath.Join(dir, lockName)); err == nil && inUse {
		p.line("# in use: a member is running on this log, and may be writing")
	}
	for _, number := range found.segments {
		name := segmentName(number)
		data, err := readSegment(fsys, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			p.line("%s has been dropped meanwhile", name)
			continue
		}
		if err != nil {
			return err
		}
		var prev uint32
		for at := 0; at < len(data); {
			r, size, ok := parse(data[at:])
			if !ok {
				if rest := data[at:min(at+recordAlign, len(data))]; string(rest) != string(make([]byte, len(rest))) {
					p.line("%s %8d ?          % x", name, at, rest)
				}
				at += recordAlign
				continue
			}
			note := ""
			if r.prev != prev && r.kind != recordSegment {
				note = " NOT-CHAINED"
			}
			if r.more {
				note += " ..."
			}
			p.line("%s %8d %-8v term %d index %d synced %d bytes %d%s", name, at, r.kind, r.term, r.index, r.synced, len(r.payload), note)
			prev = r.crc
			at += size
		}
	}
	return p.failed
}
