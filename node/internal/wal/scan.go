package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// scan reads segments in order and holds the state up to the last whole batch.
type scan struct {
	page     int64 // that a mark begins
	identity Identity
	state    raft.HardState
	base     Position
	last     Position
	entries  []raft.Entry

	seen     raft.Index // last entry of the batch that is being read
	first    Position   // before the oldest file
	begins   begins
	kept     uint64   // no file before this one is needed
	keptBase Position // what it follows
}

// tail is how the scan of a file ended.
type tail struct {
	head     segmentHead
	headPrev uint32 // CRC of the last record of the file before
	data     []byte
	page     int64
	end      int64  // behind the last whole batch
	stop     int64  // the first byte that is no record of the chain; not below end
	prev     uint32 // CRC of the last record before end
	proven   int64  // a record says that the file was durable up to here
	sealed   bool
	unsealed *segmentHead // the file before lacks its seal
}

// directory reads all segments.
func (s *scan) directory(fsys vfs.FS, dir string, numbers []uint64) (tail, error) {
	var t, before tail
	for i, number := range numbers {
		if want := numbers[0] + uint64(i); number != want {
			return tail{}, &CorruptError{File: filepath.Join(dir, segmentName(want)), First: s.last.Index + 1, Rest: true, Reason: "the file is missing"}
		}
		name := filepath.Join(dir, segmentName(number))
		data, err := readSegment(fsys, name)
		if err != nil {
			return tail{}, err
		}
		if i > 0 {
			before = t
		}
		head, record, size, err := readHead(name, data, s.last.Index+1)
		if err != nil {
			return tail{}, err
		}
		if i > 0 {
			if err := s.joins(dir, before, head, record); err != nil {
				return tail{}, err
			}
		} else {
			s.identity, s.state = head.identity, head.state
			s.first, s.base, s.last = head.last, head.last, head.last
			s.kept = 1
		}
		s.begins = append(s.begins, begin{number: number, base: head.last})
		t = tail{head: head, headPrev: record.prev, data: data, page: s.page, prev: record.crc, end: int64(size), stop: int64(size), proven: int64(size)}
		if err := s.records(name, &t); err != nil {
			return tail{}, err
		}
	}
	if len(numbers) > 1 && !before.sealed {
		t.unsealed = &before.head
	}
	if err := s.judge(filepath.Join(dir, segmentName(t.head.number)), &t); err != nil {
		return t, err
	}
	return t, s.dropped(dir)
}

func readSegment(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("wal: open segment: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("wal: read segment %s: %w", name, err)
	}
	return data, nil
}

// readHead reads a file's first record, which was durable before the file had its name.
func readHead(name string, data []byte, next raft.Index) (h segmentHead, r record, size int, err error) {
	r, size, ok := parse(data)
	if !ok {
		return h, r, 0, &CorruptError{File: name, First: next, Rest: true, Reason: "the segment header cannot be read"}
	}
	if err := h.decode(r); err != nil {
		return h, r, 0, fmt.Errorf("wal: %s: %w", name, err)
	}
	return h, r, size, nil
}

// joins checks that a file continues the one before, which its header proves to have been durable up
// to its end.
func (s *scan) joins(dir string, before tail, head segmentHead, r record) error {
	name := filepath.Join(dir, segmentName(before.head.number))
	id := s.identity
	switch {
	case head.identity == id && head.number != before.head.number+1:
		return &CorruptError{File: filepath.Join(dir, segmentName(before.head.number+1)), First: s.last.Index + 1, Rest: true,
			Reason: fmt.Sprintf("in its place is file %d of the same log", head.number)}
	case before.end != int64(head.prevEnd) || before.prev != r.prev:
		survivor, _ := survivors(before, before.stop)
		if survivor == nil || survivor.kind == recordMark {
			// The index of r is that of the last entry in the file before. A mark there is older: its file was put
			// back as it once was.
			survivor = &r
		}
		return s.corrupt(name, before.stop, survivor, "a record does not match its checksum or the chain")
	case head.identity != id || head.last != s.last || head.state != s.state:
		return fmt.Errorf("wal: %s does not continue %s: files of different logs in one directory",
			filepath.Join(dir, segmentName(head.number)), name)
	}
	return nil
}

// records reads the chain of t.data from t.end on, until the first byte that does not continue it.
func (s *scan) records(name string, t *tail) error {
	id := segmentID(t.head.identity.Salt, t.head.number)
	prev := t.prev
	s.seen = s.last.Index
	var batch []record
	for {
		r, size, ok := parse(t.data[t.stop:])
		if !ok || r.segment != id || r.prev != prev || r.kind == recordMark || r.kind == recordSegment {
			return nil
		}
		if r.kind == recordSeal {
			t.sealed = true
			return nil
		}
		t.proven = max(t.proven, int64(r.synced))
		batch = append(batch, r)
		prev = r.crc
		t.stop += int64(size)
		if r.kind == recordEntry || r.kind == recordTruncate || r.kind == recordRestart {
			s.seen = raft.Index(r.index)
		}
		if r.more {
			continue
		}
		for _, r := range batch {
			if err := s.apply(r); err != nil {
				return fmt.Errorf("wal: %s before byte %d: %w", name, t.stop, err)
			}
		}
		batch = batch[:0]
		t.end, t.prev = t.stop, prev
		s.seen = s.last.Index
	}
}

// apply takes a record into the state. Its checksum was right, so an error is our bug or another
// program's, not the disk's.
func (s *scan) apply(r record) error {
	index := raft.Index(r.index)
	switch r.kind {
	case recordEntry:
		if index != s.last.Index+1 || raft.EntryType(r.entry) > raft.EntryConfiguration {
			return fmt.Errorf("entry %d of type %d behind entry %d", index, r.entry, s.last.Index)
		}
		s.last = Position{Index: index, Term: raft.Term(r.term)}
		// A copy: the file's bytes would stay in memory with all that is void in them.
		e := raft.Entry{Term: s.last.Term, Index: index, Type: raft.EntryType(r.entry)}
		if len(r.payload) > 0 {
			e.Data = bytes.Clone(r.payload)
		}
		s.entries = append(s.entries, e)
	case recordTruncate:
		if index >= s.last.Index {
			return fmt.Errorf("log cut at %d, behind its end at %d", index, s.last.Index)
		}
		s.begins.cutAt(index)
		if index < s.base.Index {
			// Files before the oldest are needed, unless a restart comes: dropped decides.
			s.base, s.entries = Position{Index: index}, nil
		}
		s.entries = s.entries[:index-s.base.Index]
		s.last = s.base
		if n := len(s.entries); n > 0 {
			s.last = Position{Index: index, Term: s.entries[n-1].Term}
		}
	case recordRestart:
		s.base = Position{Index: index, Term: raft.Term(r.term)}
		s.last, s.entries = s.base, nil
		s.begins.restartAt(s.base)
	case recordState, recordCluster, recordDrop:
		if len(r.payload) != 8 {
			return fmt.Errorf("%v record of %d bytes", r.kind, len(r.payload))
		}
		value := binary.BigEndian.Uint64(r.payload)
		switch r.kind {
		case recordCluster:
			s.identity.Cluster = raft.ClusterID(value)
		case recordDrop:
			if value < s.kept || value > s.begins[len(s.begins)-1].number {
				return fmt.Errorf("files before %d dropped, of a log that begins with %d", value, s.kept)
			}
			s.kept, s.keptBase = value, Position{Index: index, Term: raft.Term(r.term)}
		default:
			s.state = raft.HardState{Term: raft.Term(r.term), Vote: raft.ID(value)}
		}
	}
	return nil
}

// judge decides what the end of the last file is: clean, torn by a crash, or damaged.
func (s *scan) judge(name string, t *tail) error {
	survivor, proven := survivors(*t, t.stop)
	switch {
	case t.sealed:
		next := filepath.Join(filepath.Dir(name), segmentName(t.head.number+1))
		return &CorruptError{File: next, First: s.last.Index + 1, Rest: true, Reason: "the file is missing"}
	case int64(len(t.data)) < int64(t.head.prealloc):
		return s.corrupt(name, t.stop, survivor, fmt.Sprintf("the file has %d bytes, it was made with %d", len(t.data), t.head.prealloc))
	case proven > t.end:
		return s.corrupt(name, t.stop, survivor, fmt.Sprintf(
			"a record does not match its checksum or the chain, and the file was durable up to byte %d", proven))
	}
	t.proven = min(max(t.proven, proven), t.end)
	return nil
}

// corrupt names the entries between the last one before the damage and the first record behind it.
func (s *scan) corrupt(name string, offset int64, survivor *record, reason string) error {
	e := &CorruptError{File: name, Offset: offset, First: s.seen + 1, Reason: reason}
	if survivor == nil {
		e.Rest = true
		return e
	}
	e.Last = raft.Index(survivor.index)
	if survivor.kind == recordEntry {
		e.Last--
	}
	if e.Last < s.seen {
		// The log was cut inside the damage, so an earlier entry may be void or replaced: name the
		// widest range rather than a wrong one.
		e.First = s.base.Index + 1
	}
	return e
}

// survivors looks behind the end of the chain for records that can still be read, at every place where
// one can begin. It returns the first, and how far the file was durable according to any of them.
func survivors(t tail, from int64) (first *record, proven int64) {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], segmentID(t.head.identity.Salt, t.head.number))
	for at := from; at+recordMin <= int64(len(t.data)); at += recordAlign {
		if !bytes.Equal(t.data[at+8:at+16], id[:]) {
			continue
		}
		if r, _, ok := parse(t.data[at:]); ok {
			if first == nil {
				first = &r
			}
			proven = max(proven, int64(r.synced))
		}
	}
	return first, proven
}

// torn counts the bytes behind the end that are not zero and not the floating mark.
func (t *tail) torn() int64 {
	rest := t.data[t.end:]
	at := roundUp(t.end, t.page)
	if at+recordMin <= int64(len(t.data)) {
		r, _, ok := parse(t.data[at:])
		if ok && r.kind == recordMark && r.segment == segmentID(t.head.identity.Salt, t.head.number) {
			rest = bytes.Clone(rest)
			clear(rest[at-t.end : at-t.end+recordMin])
		}
	}
	return int64(len(bytes.TrimRight(rest, "\x00")))
}
