package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"raftlab/raft"
)

// Limits of what a Command may carry. Decode refuses more, so that a member cannot be made to keep what
// the API of another would have refused.
const (
	KeyBytesMax            = 512
	ValueBytesMax          = 1 << 20
	ContentTypeBytesMax    = 255
	IdempotencyKeyBytesMax = 128
)

// Op says what a Command does.
type Op uint8

const (
	Put    Op = iota + 1 // store Value under Key
	Delete               // remove Key; a key that is not there is no error
)

func (o Op) String() string {
	switch o {
	case Put:
		return "put"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Command is one write. Its conditions are decided when it is applied, never before it is proposed:
// between the two another command may change the key (RFC 9110 §13.1, compare-and-set).
type Command struct {
	Op          Op
	Key         string
	Value       []byte // Put only
	ContentType string // Put only

	IfMatch     raft.Index // if not 0: only if the key was last written at this index
	IfExists    bool       // If-Match: *       only if the key exists
	IfNoneMatch bool       // If-None-Match: *  only if the key does not exist

	// IdempotencyKey, if not empty, makes the command take effect once however often it is in the log: see
	// SessionsMax.
	IdempotencyKey string
	// Since, if not 0, is an entry that was applied before the command with this IdempotencyKey was sent for the first
	// time. A member of a version before this field takes such a command for malformed: all must know it.
	Since raft.Index
}

// ErrMalformed is the result of applying bytes that are no command. It changes nothing, on every member.
var ErrMalformed = errors.New("kv: malformed command")

const (
	version = 1

	flagIfMatch        = 1 << 0
	flagIfExists       = 1 << 1
	flagIfNoneMatch    = 1 << 2
	flagIdempotencyKey = 1 << 3
	flagSince          = 1 << 4
	// Bits 5 to 7 are refused.
	flagsKnown = flagIfMatch | flagIfExists | flagIfNoneMatch | flagIdempotencyKey | flagSince
)

// Valid says which rule the command breaks, or nil.
func (c Command) Valid() error {
	conditions := 0
	for _, is := range []bool{c.IfMatch != 0, c.IfExists, c.IfNoneMatch} {
		if is {
			conditions++
		}
	}
	switch {
	case c.Op != Put && c.Op != Delete:
		return fmt.Errorf("%w: unknown %v", ErrMalformed, c.Op)
	case len(c.Key) == 0 || len(c.Key) > KeyBytesMax:
		return fmt.Errorf("%w: key has %d bytes, must have 1 to %d", ErrMalformed, len(c.Key), KeyBytesMax)
	case len(c.Value) > ValueBytesMax:
		return fmt.Errorf("%w: value has %d bytes, must have at most %d", ErrMalformed, len(c.Value), ValueBytesMax)
	case len(c.ContentType) > ContentTypeBytesMax:
		return fmt.Errorf("%w: content type has %d bytes, must have at most %d", ErrMalformed, len(c.ContentType), ContentTypeBytesMax)
	case c.Op == Delete && (len(c.Value) > 0 || c.ContentType != ""):
		return fmt.Errorf("%w: delete carries a value", ErrMalformed)
	case len(c.IdempotencyKey) > IdempotencyKeyBytesMax:
		return fmt.Errorf("%w: idempotency key has %d bytes, must have at most %d", ErrMalformed, len(c.IdempotencyKey), IdempotencyKeyBytesMax)
	case c.Since != 0 && c.IdempotencyKey == "":
		return fmt.Errorf("%w: since when it was sent, without an idempotency key", ErrMalformed)
	case conditions > 1:
		return fmt.Errorf("%w: more than one condition", ErrMalformed)
	}
	return nil
}

// Size is the length of the encoding.
func (c Command) Size() int {
	n := 3 + 2 + len(c.Key) + 1 + len(c.ContentType) + 4 + len(c.Value)
	if c.IfMatch != 0 {
		n += 8
	}
	if c.IdempotencyKey != "" {
		n += 1 + len(c.IdempotencyKey)
	}
	if c.Since != 0 {
		n += 8
	}
	return n
}

// AppendBinary appends the encoding: version, op and flags (a byte each), the index of IfMatch if its
// flag is set (8 bytes), the idempotency key after its length (1 byte) and Since (8 bytes) if their flags are set,
// then key, content type and value, each after its length (2, 1 and 4 bytes, big-endian). There is one encoding for each valid
// command and no other.
func (c Command) AppendBinary(b []byte) ([]byte, error) {
	if err := c.Valid(); err != nil {
		return b, err
	}
	var flags byte
	if c.IfMatch != 0 {
		flags |= flagIfMatch
	}
	if c.IfExists {
		flags |= flagIfExists
	}
	if c.IfNoneMatch {
		flags |= flagIfNoneMatch
	}
	if c.IdempotencyKey != "" {
		flags |= flagIdempotencyKey
	}
	if c.Since != 0 {
		flags |= flagSince
	}
	b = append(b, version, byte(c.Op), flags)
	if c.IfMatch != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(c.IfMatch))
	}
	if c.IdempotencyKey != "" {
		b = append(b, byte(len(c.IdempotencyKey)))
		b = append(b, c.IdempotencyKey...)
	}
	if c.Since != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(c.Since))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Key)))
	b = append(b, c.Key...)
	b = append(b, byte(len(c.ContentType)))
	b = append(b, c.ContentType...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Value)))
	return append(b, c.Value...), nil
}

// Decode reads what AppendBinary wrote, and nothing else. The value is a copy: an entry often lies in the
// buffer of a whole batch, which a short value must not keep alive.
func Decode(b []byte) (Command, error) {
	if len(b) < 3 {
		return Command{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if b[0] != version {
		return Command{}, fmt.Errorf("%w: version %d, know %d", ErrMalformed, b[0], version)
	}
	flags := b[2]
	if flags&^flagsKnown != 0 {
		return Command{}, fmt.Errorf("%w: unknown flags %08b", ErrMalformed, flags)
	}
	c := Command{Op: Op(b[1]), IfExists: flags&flagIfExists != 0, IfNoneMatch: flags&flagIfNoneMatch != 0}
	r := reader{rest: b[3:]}
	if flags&flagIfMatch != 0 {
		if c.IfMatch = raft.Index(r.number(8)); c.IfMatch == 0 {
			return Command{}, fmt.Errorf("%w: condition on index 0", ErrMalformed)
		}
	}
	if flags&flagIdempotencyKey != 0 {
		if c.IdempotencyKey = string(r.bytes(r.number(1))); c.IdempotencyKey == "" {
			return Command{}, fmt.Errorf("%w: empty idempotency key", ErrMalformed)
		}
	}
	if flags&flagSince != 0 {
		if c.Since = raft.Index(r.number(8)); c.Since == 0 {
			return Command{}, fmt.Errorf("%w: since entry 0", ErrMalformed)
		}
	}
	key := r.bytes(r.number(2))
	contentType := r.bytes(r.number(1))
	value := r.bytes(r.number(4))
	if r.short || len(r.rest) != 0 {
		return Command{}, fmt.Errorf("%w: lengths do not add up to %d bytes", ErrMalformed, len(b))
	}
	if len(key) > KeyBytesMax {
		return Command{}, fmt.Errorf("%w: key has %d bytes", ErrMalformed, len(key)) // before it is copied
	}
	c.Key, c.ContentType = string(key), intern(contentType)
	if len(value) > 0 || c.Op == Put {
		c.Value = value
	}
	if err := c.Valid(); err != nil {
		return Command{}, err
	}
	if c.Op == Put {
		c.Value = append(make([]byte, 0, len(value)), value...)
	}
	return c, nil
}

// reader takes numbers and bytes off the front, and remembers if there were too few.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) number(bytes int) uint64 {
	var n uint64
	for _, b := range r.bytes(uint64(bytes)) {
		n = n<<8 | uint64(b)
	}
	return n
}

// intern saves an allocation for the content types that the API stores.
func intern(contentType []byte) string {
	switch string(contentType) {
	case "application/json":
		return "application/json"
	case "text/plain":
		return "text/plain"
	case "application/octet-stream":
		return "application/octet-stream"
	}
	return string(contentType)
}
