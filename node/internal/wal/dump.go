package wal

import (
	"errors"
	"fmt"
	"io"
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
	var failed error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		failed = errors.Join(failed, err)
	}
	for _, number := range found.segments {
		name := segmentName(number)
		data, err := readSegment(fsys, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		var prev uint32
		for at := 0; at < len(data); {
			r, size, ok := parse(data[at:])
			if !ok {
				if rest := data[at:min(at+recordAlign, len(data))]; string(rest) != string(make([]byte, len(rest))) {
					line("%s %8d ?          % x", name, at, rest)
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
			line("%s %8d %-8v term %d index %d synced %d bytes %d%s", name, at, r.kind, r.term, r.index, r.synced, len(r.payload), note)
			prev = r.crc
			at += size
		}
	}
	return failed
}
