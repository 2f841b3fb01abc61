package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"raftlab/raft"
)

// A frame is the length of a message and its CRC32C, 4 bytes each, then the message. TCP's own sum of
// 16 bits lets one damaged segment in 65,536 pass. A frame of length zero keeps a silent stream alive; with a number
// of 16 bits and its complement in the place of the sum it asks for its echo, so that a round trip can be timed.
const frameHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrChecksum says that a frame was damaged on its way: the stream is of no more use.
var ErrChecksum = errors.New("wire: frame does not match its checksum")

// AppendFrame appends m in a frame. After an error b is as it was.
func AppendFrame(b []byte, m *raft.Message) ([]byte, error) {
	start := len(b)
	framed, err := AppendBinary(append(b, make([]byte, frameHead)...), m)
	if err != nil {
		return b, err
	}
	message := framed[start+frameHead:]
	binary.BigEndian.PutUint32(framed[start:], uint32(len(message)))
	binary.BigEndian.PutUint32(framed[start+4:], crc32.Checksum(message, castagnoli))
	return framed, nil
}

// AppendKeepAlive appends the frame that says nothing.
func AppendKeepAlive(b []byte) []byte { return append(b, make([]byte, frameHead)...) }

// AppendEcho appends the frame that asks for its echo, or that is one.
func AppendEcho(b []byte, number uint16) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 0), number)
	return binary.BigEndian.AppendUint16(b, ^number)
}

// Reader reads frames from a stream. It keeps one buffer, of the size of the largest frame so far.
type Reader struct {
	// Echo is told of echo frames. Where it is nil, they are damage.
	Echo func(number uint16)

	r   *bufio.Reader
	buf []byte
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next message and passes over keep-alives. io.EOF means that the stream ended
// between two frames.
func (r *Reader) Next() (raft.Message, error) {
	for {
		var head [frameHead]byte
		if _, err := io.ReadFull(r.r, head[:]); err != nil {
			return raft.Message{}, err
		}
		size, sum := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if size > MaxFrame {
			return raft.Message{}, fmt.Errorf("%w: a frame of %d bytes", ErrTooLarge, size)
		}
		if size == 0 {
			switch {
			case sum == 0:
			case r.Echo == nil || uint16(sum>>16) != ^uint16(sum):
				return raft.Message{}, ErrChecksum
			default:
				r.Echo(uint16(sum >> 16))
			}
			continue
		}
		if err := r.fill(int(size)); err != nil {
			return raft.Message{}, err
		}
		if crc32.Checksum(r.buf, castagnoli) != sum {
			return raft.Message{}, ErrChecksum
		}
		return Decode(r.buf)
	}
}

// fill reads size bytes, and makes room only as they arrive: a length is a claim until then.
func (r *Reader) fill(size int) error {
	const step = 64 << 10
	r.buf = r.buf[:0]
	for len(r.buf) < size {
		have := len(r.buf)
		n := min(size-have, max(step, cap(r.buf)-have))
		if cap(r.buf) < have+n {
			r.buf = append(make([]byte, 0, min(size, 2*have+n)), r.buf...)
			n = min(size, cap(r.buf)) - have
		}
		r.buf = r.buf[:have+n]
		if _, err := io.ReadFull(r.r, r.buf[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// ReadFrame reads one message and not a byte more than its frame.
func ReadFrame(r *bufio.Reader) (raft.Message, error) { return (&Reader{r: r}).Next() }
