package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// recordType says what a record means. The numbers are on disk: never reuse one.
type recordType uint8

const (
	recordSegment  recordType = iota + 1 // first of each file: who, and the state before it
	recordEntry                          // one entry of the raft log
	recordState                          // term and vote
	recordTruncate                       // the log ends at index; what followed is void
	recordCluster                        // the cluster id, learned after the log was made
	recordMark                           // floats beyond the end: the log was synced up to here
	recordSeal                           // last of a full file: the next file exists
	recordRestart                        // the log is empty and goes on behind index, which a snapshot covers
	recordDrop                           // the files before this one are no longer needed

	recordTypes
)

func (t recordType) String() string {
	names := [...]string{"", "segment", "entry", "state", "truncate", "cluster", "mark", "seal", "restart", "drop"}
	if int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// A record on disk, big-endian; README.md has the table.
const (
	recordHead  = 40 // bytes before the payload
	recordMin   = 48 // a record with no payload
	recordAlign = 8
	// maxPayload bounds what Append takes. Scanning needs no bound but the end of the file.
	maxPayload = 64 << 20

	flagMore = 1 // the batch goes on with the next record
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one record in memory. Of a scanned record, payload aliases the file's bytes.
type record struct {
	kind    recordType
	more    bool
	entry   uint8 // raft.EntryType, entries only
	segment uint64
	prev    uint32 // CRC of the record before: a chain, so that no stale record ever fits
	synced  uint32 // this file was durable up to this offset when the record was made
	term    uint64
	index   uint64
	payload []byte
	crc     uint32
}

// size of a record on disk: padded with zeros to a multiple of 8.
func recordSize(payload int) int {
	return (recordHead + payload + crc32.Size + recordAlign - 1) / recordAlign * recordAlign
}

// append encodes r behind b, and returns its CRC.
func (r *record) append(b []byte) ([]byte, uint32) {
	start := len(b)
	var flags uint8
	if r.more {
		flags = flagMore
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.payload)))
	b = append(b, byte(r.kind), flags, r.entry, 0)
	b = binary.BigEndian.AppendUint64(b, r.segment)
	b = binary.BigEndian.AppendUint32(b, r.prev)
	b = binary.BigEndian.AppendUint32(b, r.synced)
	b = binary.BigEndian.AppendUint64(b, r.term)
	b = binary.BigEndian.AppendUint64(b, r.index)
	b = append(b, r.payload...)
	for len(b)-start < recordSize(len(r.payload))-crc32.Size {
		b = append(b, 0)
	}
	crc := crc32.Checksum(b[start:], castagnoli)
	return binary.BigEndian.AppendUint32(b, crc), crc
}

// parse reads the record at the start of b. It trusts no field before the CRC has vouched for it: the
// length is used only to find the CRC, and only within b.
func parse(b []byte) (r record, size int, ok bool) {
	if len(b) < recordMin {
		return record{}, 0, false
	}
	length := uint64(binary.BigEndian.Uint32(b))
	r.kind = recordType(b[4])
	if r.kind == 0 || r.kind >= recordTypes || b[5]&^flagMore != 0 || b[7] != 0 || length > uint64(len(b)) {
		return record{}, 0, false
	}
	size = recordSize(int(length))
	if size > len(b) {
		return record{}, 0, false
	}
	body := b[:size-crc32.Size]
	r.crc = binary.BigEndian.Uint32(b[len(body):])
	if crc32.Checksum(body, castagnoli) != r.crc {
		return record{}, 0, false
	}
	r.more = b[5]&flagMore != 0
	r.entry = b[6]
	r.segment = binary.BigEndian.Uint64(b[8:])
	r.prev = binary.BigEndian.Uint32(b[16:])
	r.synced = binary.BigEndian.Uint32(b[20:])
	r.term = binary.BigEndian.Uint64(b[24:])
	r.index = binary.BigEndian.Uint64(b[32:])
	r.payload = b[recordHead : recordHead+length]
	return r, size, true
}
