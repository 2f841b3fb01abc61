package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

const (
	lockName      = "lock"
	segmentSuffix = ".wal"
	tempSuffix    = ".wal.tmp"
)

var magic = []byte("raftwal\x01") // the last byte is the version of the format

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// segmentNumber inverts segmentName; zero for any other name.
func segmentNumber(name string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 16, 64)
	if err != nil || segmentName(n) != name {
		return 0
	}
	return n
}

// segmentHead is the payload of a file's first record: everything that is known before the file, so
// that a file can be understood without the ones before it once these are dropped.
type segmentHead struct {
	number   uint64
	prealloc uint32 // the file had this size when it got its name
	prevEnd  uint32 // where the file before it ends
	identity Identity
	state    raft.HardState
	last     Position // last entry before this file: the record's own term and index
}

func (h *segmentHead) record(prev uint32) record {
	b := bytes.Clone(magic)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint32(b, h.prealloc)
	b = binary.BigEndian.AppendUint32(b, h.prevEnd)
	b = binary.BigEndian.AppendUint64(b, uint64(h.identity.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(h.identity.Cluster))
	b = binary.BigEndian.AppendUint64(b, h.identity.Salt)
	b = binary.BigEndian.AppendUint64(b, uint64(h.state.Term))
	b = binary.BigEndian.AppendUint64(b, uint64(h.state.Vote))
	b = append(b, h.identity.Address...)
	return record{kind: recordSegment, segment: segmentID(h.identity.Salt, h.number), prev: prev,
		term: uint64(h.last.Term), index: uint64(h.last.Index), payload: b}
}

func (h *segmentHead) decode(r record) error {
	const fixed = 8 + 8 + 4 + 4 + 5*8
	b := r.payload
	switch {
	case r.kind != recordSegment || len(b) < fixed:
		return errors.New("first record is not a segment header")
	case !bytes.Equal(b[:7], magic[:7]):
		return errors.New("not a file of this log")
	case b[7] != magic[7]:
		return fmt.Errorf("format version %d; this program reads %d", b[7], magic[7])
	}
	h.number = binary.BigEndian.Uint64(b[8:])
	h.prealloc = binary.BigEndian.Uint32(b[16:])
	h.prevEnd = binary.BigEndian.Uint32(b[20:])
	h.identity.ID = raft.ID(binary.BigEndian.Uint64(b[24:]))
	h.identity.Cluster = raft.ClusterID(binary.BigEndian.Uint64(b[32:]))
	h.identity.Salt = binary.BigEndian.Uint64(b[40:])
	h.state.Term = raft.Term(binary.BigEndian.Uint64(b[48:]))
	h.state.Vote = raft.ID(binary.BigEndian.Uint64(b[56:]))
	h.identity.Address = string(b[fixed:])
	h.last = Position{Index: raft.Index(r.index), Term: raft.Term(r.term)}
	if r.segment != segmentID(h.identity.Salt, h.number) {
		return errors.New("segment id does not fit the header")
	}
	return nil
}

// segmentID stands in every record of a file. It is unguessable, so that no client can store a value
// that passes for a record when the scan looks for survivors behind damage.
func segmentID(salt, number uint64) uint64 { return salt + number }

// createSegment makes a file that is complete before it has its name: zeros and header are durable
// under a temporary name, then the file is renamed, then the name is made durable. So a damaged header
// or a file shorter than prealloc is never the trace of a crash.
func createSegment(fs vfs.FS, dir string, h *segmentHead, prev uint32) (f vfs.File, end int64, crc uint32, err error) {
	name := filepath.Join(dir, segmentName(h.number))
	temp := strings.TrimSuffix(name, segmentSuffix) + tempSuffix
	head := h.record(prev)
	b, crc := head.append(nil)
	end = int64(len(b))

	f, err = fs.Create(temp)
	if full(err) {
		return nil, 0, 0, fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("wal: create segment: %w", err)
	}
	step := func(err error) error {
		named := fmt.Errorf("wal: create segment %s: %w", name, errors.Join(err, f.Close()))
		if !full(err) || fs.Remove(temp) != nil { // once it has its name, this fails
			return named
		}
		return fmt.Errorf("%w: %w", ErrFull, named)
	}
	if _, err := f.WriteAt(append(b, make([]byte, int64(h.prealloc)-end)...), 0); err != nil {
		return nil, 0, 0, step(err)
	}
	if err := f.Sync(); err != nil {
		return nil, 0, 0, step(err)
	}
	if err := fs.Rename(temp, name); err != nil {
		return nil, 0, 0, step(err)
	}
	if err := fs.SyncDir(dir); err != nil {
		return nil, 0, 0, step(err)
	}
	return f, end, crc, nil
}

// readAll reads a whole file.
func readAll(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return b, nil
}
