package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// etcd is the write-ahead log of etcd's server.
type etcd struct{}

type etcdLog struct{ log *wal.WAL }

func (etcd) name() string                 { return "etcd WAL " + version("go.etcd.io/etcd/server/v3") }
func (etcd) logs(names []string) []string { return withSuffix(names, ".wal") }

func init() { wal.SegmentSizeBytes = segmentBytes }

func (etcd) create(dir string) (log, error) {
	// It makes the directory itself, under another name first.
	l, err := wal.Create(zap.NewNop(), dir, []byte("metadata"))
	if err != nil {
		return nil, err
	}
	return etcdLog{l}, nil
}

// open does what etcd's server does when it starts (etcdserver/bootstrap.go): what is io.ErrUnexpectedEOF is repaired,
// once, and anything else is fatal.
func (etcd) open(dir string) (log, []entry, error) {
	for repaired := false; ; repaired = true {
		l, err := wal.Open(zap.NewNop(), dir, &walpb.Snapshot{Index: new(uint64), Term: new(uint64)})
		if err != nil {
			return nil, nil, err
		}
		_, _, es, err := l.ReadAll()
		if err == nil {
			var read []entry
			for _, e := range es {
				read = append(read, entry{e.GetIndex(), e.GetData()})
			}
			return etcdLog{l}, read, nil
		}
		l.Close()
		if repaired || !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil, err
		}
		if !wal.Repair(zap.NewNop(), dir) {
			return nil, nil, fmt.Errorf("repair failed after: %w", err)
		}
	}
}

func (l etcdLog) append(batch []entry) error {
	one := uint64(1)
	es := make([]*raftpb.Entry, len(batch))
	for i, e := range batch {
		index := e.index
		es[i] = &raftpb.Entry{Term: &one, Index: &index, Data: e.data}
	}
	last := batch[len(batch)-1].index
	return l.log.Save(&raftpb.HardState{Term: &one, Vote: &one, Commit: &last}, es)
}

func (l etcdLog) begin(batch []entry) error { return l.append(batch) }
func (l etcdLog) close()                    { _ = l.log.Close() }

// A record is 8 bytes, of which 56 bits are its length and the top byte its padding, and protobuf behind.
func (etcd) frame(file []byte, at int) (frame, error) {
	for from := 0; from+8 <= len(file); {
		field := binary.LittleEndian.Uint64(file[from:])
		size := int(field & (1<<56 - 1))
		if field>>63 == 1 {
			size += int(field >> 56 & 7)
		}
		if field == 0 {
			break
		}
		if next := from + 8 + size; at < next {
			return frame{from, from + 8, from, from + 8}, nil
		}
		from += 8 + size
	}
	return frame{}, fmt.Errorf("etcd: no record holds byte %d", at)
}
