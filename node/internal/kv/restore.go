package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"raftlab/raft"
)

// ErrDamagedSnapshot says that the bytes are not what Freeze's function wrote. The store stays as it was.
var ErrDamagedSnapshot = errors.New("kv: damaged snapshot")

// Restore replaces the state by the one in a snapshot: wholly, or on any error not at all. Readers see the
// old state until the new one is complete and verified, so both are in memory for a moment.
//
// It believes no length or number before it has checked it, and allocates no more than it has read (and one
// value). At the end the state's hash, computed from what was read, must be the one that was written.
func (s *Store) Restore(from io.Reader) error {
	r := &snapshotReader{from: bufio.NewReaderSize(from, 8<<10)}
	restored, err := r.state()
	if err == nil {
		err = r.end(restored.hash())
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if restored.at.Index < s.at.Index {
		return fmt.Errorf("kv: snapshot of entry %d is older than entry %d, which is applied", restored.at.Index, s.at.Index)
	}
	restored.sessions.max = s.sessions.max // no part of a snapshot
	s.state = restored
	return nil
}

// Check says whether Restore would take a snapshot, of the entries up to index. It reads all of it into a store of its
// own, so the state is in memory once more for a moment.
func (s *Store) Check(from io.Reader, index raft.Index) error {
	scratch := New()
	if err := scratch.Restore(from); err != nil {
		return err
	}
	if at := scratch.Applied(); at != index {
		return fmt.Errorf("kv: the snapshot is said to be of entry %d, and is of entry %d", index, at)
	}
	return nil
}

// snapshotReader reads what snapshotWriter wrote.
type snapshotReader struct {
	from   *bufio.Reader
	crc    uint32
	offset int64
	buffer [1 << 10]byte
}

func (r *snapshotReader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: before byte %d: %s", ErrDamagedSnapshot, r.offset, fmt.Sprintf(format, args...))
}

// fill reads all of b.
func (r *snapshotReader) fill(b []byte) error {
	n, err := io.ReadFull(r.from, b)
	r.offset += int64(n)
	r.crc = crc32.Update(r.crc, castagnoli, b[:n])
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF: // only from ReadFull itself: a reader's own error says more
		return r.damaged("it ends too early")
	case err != nil:
		return fmt.Errorf("kv: read snapshot: %w", err)
	}
	return nil
}

// take reads n bytes, which are good until the next call.
func (r *snapshotReader) take(n int) ([]byte, error) {
	b := r.buffer[:n]
	return b, r.fill(b)
}

func (r *snapshotReader) state() (state, error) {
	s := newState(SessionsMax)
	head, err := r.take(snapshotHeadBytes)
	if err != nil {
		return s, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return s, r.damaged("it does not begin with %q", snapshotMagic)
	}
	if v := head[len(snapshotMagic)]; v != snapshotVersion {
		return s, fmt.Errorf("kv: snapshot of version %d, this member knows only %d; start it with a newer raftd", v, snapshotVersion)
	}
	fields := reader{rest: head[len(snapshotMagic)+1:]}
	s.at = Position{Index: raft.Index(fields.number(8)), Term: raft.Term(fields.number(8))}
	s.chain.sum = fields.number(8)
	items, sessions := fields.number(8), fields.number(4)
	if sessions > SessionsMax {
		return s, r.damaged("it has %d sessions, more than %d", sessions, SessionsMax)
	}
	for range items { // not allocated in advance: the number may be wrong
		if err := r.item(&s); err != nil {
			return s, err
		}
	}
	for range sessions {
		if err := r.session(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (r *snapshotReader) item(s *state) error {
	b, err := r.take(2)
	if err != nil {
		return err
	}
	keyBytes := int(binary.BigEndian.Uint16(b))
	if keyBytes == 0 || keyBytes > KeyBytesMax {
		return r.damaged("a key has %d bytes", keyBytes)
	}
	if b, err = r.take(keyBytes + 1); err != nil {
		return err
	}
	key, contentTypeBytes := string(b[:keyBytes]), int(b[keyBytes])
	if last, _, ok := s.items.Max(); ok && key <= last {
		return r.damaged("key %q stands behind %q", key, last)
	}
	if b, err = r.take(contentTypeBytes + 8 + 4); err != nil {
		return err
	}
	item := &Item{ContentType: intern(b[:contentTypeBytes]), ModIndex: raft.Index(binary.BigEndian.Uint64(b[contentTypeBytes:]))}
	valueBytes := binary.BigEndian.Uint32(b[contentTypeBytes+8:])
	switch {
	case item.ModIndex == 0 || item.ModIndex > s.at.Index:
		return r.damaged("key %q was written at %d, and the snapshot is of entry %d", key, item.ModIndex, s.at.Index)
	case valueBytes > ValueBytesMax:
		return r.damaged("the value of %q has %d bytes", key, valueBytes)
	}
	item.Value = make([]byte, valueBytes)
	if err := r.fill(item.Value); err != nil {
		return err
	}
	item.sum = itemSum(key, item)
	s.items.Load(key, item)
	s.itemsSum += item.sum
	return nil
}

func (r *snapshotReader) session(s *state) error {
	b, err := r.take(sessionHeadBytes)
	if err != nil {
		return err
	}
	fields := reader{rest: b}
	n := &session{first: Result{Index: raft.Index(fields.number(8)), Term: raft.Term(fields.number(8))}}
	flags := byte(fields.number(1))
	n.first.Done, n.first.Existed = flags&sessionDone != 0, flags&sessionExisted != 0
	n.first.Current = raft.Index(fields.number(8))
	copy(n.fingerprint[:], fields.bytes(uint64(len(n.fingerprint))))
	keyBytes := int(fields.number(1))
	last, _, _ := s.sessions.byIndex.Max()
	switch {
	case flags != n.flags():
		return r.damaged("a session has unknown flags %08b", flags)
	case n.first.Index <= last || n.first.Index > s.at.Index || n.first.Current > n.first.Index:
		return r.damaged("a session of entry %d with current index %d stands behind one of entry %d, and the snapshot is of entry %d",
			n.first.Index, n.first.Current, last, s.at.Index)
	case keyBytes == 0 || keyBytes > IdempotencyKeyBytesMax:
		return r.damaged("an idempotency key has %d bytes", keyBytes)
	}
	if b, err = r.take(keyBytes); err != nil {
		return err
	}
	n.key = string(b)
	if other, ok := s.sessions.byKey.Get(n.key); ok {
		return r.damaged("idempotency key %q has two sessions, of entries %d and %d", n.key, other.first.Index, n.first.Index)
	}
	s.sessions.add(n)
	return nil
}

// end checks what is written behind the state, and that nothing follows.
func (r *snapshotReader) end(hash uint64) error {
	b, err := r.take(8)
	if err != nil {
		return err
	}
	want, crc := binary.BigEndian.Uint64(b), r.crc
	if b, err = r.take(4); err != nil {
		return err
	}
	switch got := binary.BigEndian.Uint32(b); {
	case got != crc:
		return r.damaged("checksum %08x, computed %08x", got, crc)
	case want != hash:
		return r.damaged("hash %016x, computed %016x from what was read", want, hash)
	}
	// Reading to the end also lets the reader check what it keeps there.
	switch _, err := r.from.ReadByte(); {
	case err == nil:
		return r.damaged("bytes follow its end")
	case err != io.EOF:
		return fmt.Errorf("kv: read snapshot: %w", err)
	}
	return nil
}
