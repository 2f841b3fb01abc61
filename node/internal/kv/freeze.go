package kv

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"raftlab/raft"
)

// The snapshot of a store, all numbers big-endian:
//
//	magic     8  "raftlkv" and the version, 1
//	index     8  position of the state in the log
//	term      8
//	chain     8  running hash over the log up to there
//	items     8  how many
//	sessions  4  how many
//	item:     key length 2, key, content type length 1, content type, index of the last write 8, value length 4, value
//	          in the order of the keys
//	session:  index 8, term 8, flags 1, current index 8, fingerprint 16, idempotency key length 1, idempotency key
//	          in the order of the indexes
//	hash      8  of the state: whoever reads it computes it anew
//	crc       4  CRC32C of everything before it
//
// One state has one encoding: members at the same index write the same bytes.
const (
	snapshotMagic   = "raftlkv"
	snapshotVersion = 1

	snapshotHeadBytes = len(snapshotMagic) + 1 + 8 + 8 + 8 + 8 + 4
	sessionHeadBytes  = 8 + 8 + 1 + 8 + len(fingerprint{}) + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Freeze returns what writes the snapshot of the store as it is now. It takes the same short time for any
// number of keys. The function may be called in any goroutine, while the store goes on; the frozen state costs
// memory only for what the store changes meanwhile.
func (s *Store) Freeze() func(io.Writer) error {
	frozen := s.freeze()
	return func(to io.Writer) error { return frozen.write(to) }
}

func (s *Store) freeze() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	frozen := s.copy()
	return &frozen
}

// write writes the snapshot that Restore reads.
func (f *state) write(to io.Writer) error {
	w := snapshotWriter{out: bufio.NewWriterSize(to, 8<<10)}
	b := append(make([]byte, 0, 1<<10), snapshotMagic...)
	b = append(b, snapshotVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(f.at.Index))
	b = binary.BigEndian.AppendUint64(b, uint64(f.at.Term))
	b = binary.BigEndian.AppendUint64(b, f.chain.sum)
	b = binary.BigEndian.AppendUint64(b, uint64(f.items.Len()))
	b = binary.BigEndian.AppendUint32(b, uint32(f.sessions.byIndex.Len()))
	w.write(b)
	f.items.Scan(func(key string, item *Item) bool {
		b = binary.BigEndian.AppendUint16(b[:0], uint16(len(key)))
		b = append(b, key...)
		b = append(b, byte(len(item.ContentType)))
		b = append(b, item.ContentType...)
		b = binary.BigEndian.AppendUint64(b, uint64(item.ModIndex))
		b = binary.BigEndian.AppendUint32(b, uint32(len(item.Value)))
		w.write(b)
		w.write(item.Value)
		return w.err == nil
	})
	f.sessions.byIndex.Scan(func(_ raft.Index, s *session) bool {
		b = binary.BigEndian.AppendUint64(b[:0], uint64(s.first.Index))
		b = binary.BigEndian.AppendUint64(b, uint64(s.first.Term))
		b = append(b, s.flags())
		b = binary.BigEndian.AppendUint64(b, uint64(s.first.Current))
		b = append(b, s.fingerprint[:]...)
		b = append(b, byte(len(s.key)))
		b = append(b, s.key...)
		w.write(b)
		return w.err == nil
	})
	w.write(binary.BigEndian.AppendUint64(b[:0], f.hash()))
	w.write(binary.BigEndian.AppendUint32(b[:0], w.crc))
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// snapshotWriter keeps the checksum, and the first error.
type snapshotWriter struct {
	out *bufio.Writer
	crc uint32
	err error
}

func (w *snapshotWriter) write(b []byte) {
	if w.err == nil {
		w.crc = crc32.Update(w.crc, castagnoli, b)
		_, w.err = w.out.Write(b)
	}
}
