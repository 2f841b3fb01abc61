package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"raftlab/raft"
)

// A file, big-endian. Every checksum goes on from the one before it, so that a chunk belongs to its
// place in its file: one that is missing, repeated, moved or from another snapshot does not match.
//
//	header  8 "raftsnp" and version 1, 8 index, 8 term, 8 configuration index,
//	        4 length of configuration, configuration, 4 CRC32C
//	chunk   4 length, 1 to 262,144; 4 CRC32C of length and data; data
//	footer  4 zero; 4 CRC32C of zero, chunks and bytes; 8 chunks; 8 bytes of data
const (
	headSize   = 36 // before the configuration
	chunkHead  = 8
	footerSize = chunkHead + 16
	maxChunk   = 256 << 10
	// maxConfiguration bounds what a reader makes room for before a checksum has vouched for it.
	maxConfiguration = 1 << 20
)

var (
	magic      = []byte("raftsnp\x01") // the last byte is the version of the format
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func appendHeader(b []byte, s raft.Snapshot) ([]byte, error) {
	configuration, err := s.Configuration.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("snapshot: encode configuration: %w", err)
	}
	if s.Index == 0 || len(configuration) > maxConfiguration {
		return nil, fmt.Errorf("snapshot: entries up to %d, configuration of %d bytes: an index above 0 and at most %d bytes are needed",
			s.Index, len(configuration), maxConfiguration)
	}
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Index))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Term))
	b = binary.BigEndian.AppendUint64(b, uint64(s.ConfigurationIndex))
	b = binary.BigEndian.AppendUint32(b, uint32(len(configuration)))
	b = append(b, configuration...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

// decoder reads a file, or the stream of one, and vouches for every byte before it passes it on.
type decoder struct {
	r        io.Reader
	raw      []byte // the part read last, as it stands in the file
	at       int64  // where raw begins
	crc      uint32
	chunks   uint64
	bytes    uint64
	snapshot raft.Snapshot
}

// damage is what is wrong with a file at a byte.
type damage struct {
	at     int64
	reason string
	err    error // of reading, if it was not the bytes
}

func (d *damage) Error() string {
	if d.err != nil {
		return fmt.Sprintf("at byte %d: %s: %v", d.at, d.reason, d.err)
	}
	return fmt.Sprintf("at byte %d: %s", d.at, d.reason)
}

func (d *damage) Unwrap() error { return d.err }

func (d *decoder) damaged(format string, args ...any) error {
	return &damage{at: d.at, reason: fmt.Sprintf(format, args...)}
}

// more reads n more bytes into raw.
func (d *decoder) more(n int, what string) error {
	have := len(d.raw)
	if cap(d.raw) < have+n {
		d.raw = append(make([]byte, 0, have+n), d.raw...)
	}
	d.raw = d.raw[:have+n]
	switch _, err := io.ReadFull(d.r, d.raw[have:]); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return d.damaged("it ends inside %s", what)
	case err != nil:
		return &damage{at: d.at, reason: "read " + what, err: err}
	}
	return nil
}

func (d *decoder) next() { d.at, d.raw = d.at+int64(len(d.raw)), d.raw[:0] }

// header reads the header into d.snapshot.
func (d *decoder) header() error {
	if err := d.more(headSize, "the header"); err != nil {
		return err
	}
	if !bytes.Equal(d.raw[:7], magic[:7]) {
		return d.damaged("not a snapshot")
	}
	if version := d.raw[7]; version != magic[7] {
		return d.damaged("format version %d; this program reads %d", version, magic[7])
	}
	size := binary.BigEndian.Uint32(d.raw[32:])
	if size > maxConfiguration {
		return d.damaged("the header says that the configuration has %d bytes", size)
	}
	if err := d.more(int(size)+crc32.Size, "the header"); err != nil {
		return err
	}
	body := d.raw[:headSize+int(size)]
	d.crc = crc32.Checksum(body, castagnoli)
	if binary.BigEndian.Uint32(d.raw[len(body):]) != d.crc {
		return d.damaged("the header does not match its checksum")
	}
	word := func(at int) uint64 { return binary.BigEndian.Uint64(d.raw[at:]) }
	d.snapshot = raft.Snapshot{Index: raft.Index(word(8)), Term: raft.Term(word(16)), ConfigurationIndex: raft.Index(word(24))}
	if err := d.snapshot.Configuration.UnmarshalBinary(body[headSize:]); err != nil {
		return d.damaged("configuration: %v", err)
	}
	return nil
}

// chunk returns the next data, valid until the next call, or io.EOF when the footer has vouched for
// the whole and nothing follows it.
func (d *decoder) chunk() ([]byte, error) {
	d.next()
	if err := d.more(chunkHead, fmt.Sprintf("chunk %d", d.chunks+1)); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(d.raw)
	switch {
	case size == 0:
		return nil, d.footer()
	case size > maxChunk:
		return nil, d.damaged("chunk %d has %d bytes, more than %d", d.chunks+1, size, maxChunk)
	}
	if err := d.more(int(size), fmt.Sprintf("chunk %d", d.chunks+1)); err != nil {
		return nil, err
	}
	data := d.raw[chunkHead:]
	d.crc = chunkSum(d.crc, d.raw[:4], data)
	if binary.BigEndian.Uint32(d.raw[4:]) != d.crc {
		return nil, d.damaged("chunk %d does not match its checksum", d.chunks+1)
	}
	d.chunks++
	d.bytes += uint64(size)
	return data, nil
}

func (d *decoder) footer() error {
	if err := d.more(footerSize-chunkHead, "the footer"); err != nil {
		return err
	}
	d.crc = chunkSum(d.crc, d.raw[:4], d.raw[chunkHead:])
	switch {
	case binary.BigEndian.Uint32(d.raw[4:]) != d.crc:
		return d.damaged("the footer does not match its checksum")
	case binary.BigEndian.Uint64(d.raw[8:]) != d.chunks || binary.BigEndian.Uint64(d.raw[16:]) != d.bytes:
		return d.damaged("%d chunks with %d bytes, the footer says otherwise", d.chunks, d.bytes)
	}
	var one [1]byte
	switch n, err := io.ReadFull(d.r, one[:]); {
	case n > 0:
		return &damage{at: d.at + footerSize, reason: "bytes follow the footer"}
	case !errors.Is(err, io.EOF):
		return &damage{at: d.at + footerSize, reason: "read the end", err: err}
	}
	return io.EOF
}

func chunkSum(before uint32, length, data []byte) uint32 {
	return crc32.Update(crc32.Update(before, castagnoli, length), castagnoli, data)
}

func appendFooter(b []byte, before uint32, chunks, size uint64) []byte {
	at := len(b)
	b = append(b, make([]byte, chunkHead)...)
	b = binary.BigEndian.AppendUint64(b, chunks)
	b = binary.BigEndian.AppendUint64(b, size)
	binary.BigEndian.PutUint32(b[at+4:], chunkSum(before, b[at:at+4], b[at+chunkHead:]))
	return b
}
