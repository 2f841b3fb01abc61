package main

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
)

// hashicorp is raft-wal.
type hashicorp struct{}

type hashicorpLog struct{ log *raftwal.WAL }

func (hashicorp) name() string                 { return "raft-wal " + version("github.com/hashicorp/raft-wal") }
func (hashicorp) logs(names []string) []string { return withSuffix(names, ".wal") }

func (hashicorp) create(dir string) (log, error) {
	l, err := raftwal.Open(dir, raftwal.WithSegmentSize(segmentBytes))
	if err != nil {
		return nil, err
	}
	return hashicorpLog{l}, nil
}

func (h hashicorp) open(dir string) (log, []entry, error) {
	l, err := raftwal.Open(dir, raftwal.WithSegmentSize(segmentBytes))
	if err != nil {
		return nil, nil, err
	}
	read, err := readAll(l)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return hashicorpLog{l}, read, nil
}

func readAll(l *raftwal.WAL) ([]entry, error) {
	first, err := l.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := l.LastIndex()
	if err != nil {
		return nil, err
	}
	var read []entry
	for i := max(first, 1); i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			return nil, fmt.Errorf("read entry %d: %w", i, err)
		}
		read = append(read, entry{e.Index, e.Data})
	}
	return read, nil
}

func (l hashicorpLog) append(batch []entry) error {
	var es []*raft.Log
	for _, e := range batch {
		es = append(es, &raft.Log{Index: e.index, Term: 1, Data: e.data})
	}
	return l.log.StoreLogs(es)
}

func (l hashicorpLog) begin(batch []entry) error { return l.append(batch) }
func (l hashicorpLog) close()                    { _ = l.log.Close() }

// Behind a file header of 32 bytes a frame is a type, three bytes of nothing, and the length of what follows; padded to 8.
// In a commit frame a checksum takes the place of the length.
func (hashicorp) frame(file []byte, at int) (frame, error) {
	const entryFrame, indexFrame, commitFrame = 1, 2, 3
	for from := 32; from+8 <= len(file); {
		size := 0
		switch file[from] {
		case entryFrame, indexFrame:
			size = (int(binary.LittleEndian.Uint32(file[from+4:])) + 7) / 8 * 8
		case commitFrame:
		default:
			return frame{}, fmt.Errorf("raft-wal: frame type %d at byte %d", file[from], from)
		}
		if next := from + 8 + size; at < next {
			return frame{from, from + 8, from + 4, from + 8}, nil
		}
		from += 8 + size
	}
	return frame{}, fmt.Errorf("raft-wal: no frame holds byte %d", at)
}
