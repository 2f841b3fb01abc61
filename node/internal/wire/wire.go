// Package wire turns raft messages into bytes and back. Decode accepts exactly what AppendBinary
// writes: any other bytes are an error, never a panic, and never cost more memory than they are long.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"raftlab/raft"
)

// Version is the first byte of every message. A change of the layout takes the next number.
const Version = 1

// MaxFrame bounds the encoding of one message: who sends more entries splits them, and a reader never
// makes room for more.
const MaxFrame = 8 << 20

var (
	// ErrMalformed says that the bytes are not a message of this version.
	ErrMalformed = errors.New("wire: malformed message")
	// ErrTooLarge says that a message is beyond MaxFrame.
	ErrTooLarge = errors.New("wire: message is too large")
)

// A message, big-endian. All fields have a fixed size, so that a message has one encoding only.
//
//	0   1 version      1   1 type      2  1 flags: 1 reject, 2 transfer      3  1 zero
//	4   8 cluster     12   8 from     20  8 to        28  8 term
//	36  8 index       44   8 log term 52  8 commit    60  8 hint       68  8 hint term
//	76  8 round       84   8 context  92  4 count of entries
//	96 for each entry: 8 term, 8 index, 1 type, 4 length of data, data
const (
	headSize  = 96
	entrySize = 21

	flagReject   = 1
	flagTransfer = 2
)

// Size is the length of the encoding of m.
func Size(m *raft.Message) int {
	n := headSize + entrySize*len(m.Entries)
	for i := range m.Entries {
		n += len(m.Entries[i].Data)
	}
	return n
}

// AppendBinary appends the encoding of m to b. It allocates only to grow b.
func AppendBinary(b []byte, m *raft.Message) ([]byte, error) {
	if n := Size(m); n > MaxFrame {
		return b, fmt.Errorf("%w: %v with %d entries has %d bytes, more than %d", ErrTooLarge, m.Type, len(m.Entries), n, MaxFrame)
	}
	if !m.Type.Valid() {
		return b, fmt.Errorf("wire: encode %v", m.Type)
	}
	var flags byte
	if m.Reject {
		flags |= flagReject
	}
	if m.Transfer {
		flags |= flagTransfer
	}
	b = append(b, Version, byte(m.Type), flags, 0)
	for _, v := range [...]uint64{uint64(m.Cluster), uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Index),
		uint64(m.LogTerm), uint64(m.Commit), uint64(m.Hint), uint64(m.HintTerm), m.Round, m.Context} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Entries)))
	for i := range m.Entries {
		e := &m.Entries[i]
		b = binary.BigEndian.AppendUint64(b, uint64(e.Term))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Index))
		b = append(b, byte(e.Type))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
		b = append(b, e.Data...)
	}
	return b, nil
}

// Decode reads one message that fills b exactly. The message does not alias b. Data of length zero
// comes back as nil.
func Decode(b []byte) (raft.Message, error) {
	var m raft.Message
	if len(b) < headSize || len(b) > MaxFrame {
		return m, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if b[0] != Version {
		return m, fmt.Errorf("%w: version %d; this member speaks %d", ErrMalformed, b[0], Version)
	}
	m.Type = raft.MessageType(b[1])
	if flags := b[2]; !m.Type.Valid() || flags&^(flagReject|flagTransfer) != 0 || b[3] != 0 {
		return raft.Message{}, fmt.Errorf("%w: %v, flags %#x", ErrMalformed, m.Type, flags)
	}
	m.Reject, m.Transfer = b[2]&flagReject != 0, b[2]&flagTransfer != 0
	word := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	m.Cluster, m.From, m.To = raft.ClusterID(word(4)), raft.ID(word(12)), raft.ID(word(20))
	m.Term, m.Index, m.LogTerm, m.Commit = raft.Term(word(28)), raft.Index(word(36)), raft.Term(word(44)), raft.Index(word(52))
	m.Hint, m.HintTerm, m.Round, m.Context = raft.Index(word(60)), raft.Term(word(68)), word(76), word(84)
	entries, err := decodeEntries(b[headSize:], binary.BigEndian.Uint32(b[92:]))
	if err != nil {
		return raft.Message{}, err
	}
	m.Entries = entries
	return m, nil
}

func decodeEntries(b []byte, count uint32) ([]raft.Entry, error) {
	if uint64(count)*entrySize > uint64(len(b)) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrMalformed, count, len(b))
	}
	if count == 0 {
		if len(b) != 0 {
			return nil, fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(b))
		}
		return nil, nil
	}
	entries := make([]raft.Entry, count)
	// One allocation holds the data of all entries: they are appended, and dropped, together.
	data := make([]byte, 0, len(b)-int(count)*entrySize)
	for i := range entries {
		if len(b) < entrySize {
			return nil, fmt.Errorf("%w: entry %d of %d is cut short", ErrMalformed, i+1, count)
		}
		e := &entries[i]
		e.Term, e.Index = raft.Term(binary.BigEndian.Uint64(b)), raft.Index(binary.BigEndian.Uint64(b[8:]))
		e.Type = raft.EntryType(b[16])
		size := uint64(binary.BigEndian.Uint32(b[17:]))
		b = b[entrySize:]
		if e.Type > raft.EntryConfiguration || size > uint64(len(b)) {
			return nil, fmt.Errorf("%w: entry %d of %d: type %d, %d bytes", ErrMalformed, i+1, count, e.Type, size)
		}
		if size > 0 {
			start := len(data)
			data = append(data, b[:size]...)
			e.Data = data[start:len(data):len(data)]
			b = b[size:]
		}
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(b))
	}
	return entries, nil
}
