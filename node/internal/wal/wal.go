// Package wal keeps a member's durable state: entries, term and vote, truncations and the cluster id,
// as one stream of records in one directory. What Sync has acknowledged is there after a crash, whole
// and in order, or Open says which entries are not; it never returns wrong bytes and never silently
// returns fewer. README.md has the byte tables, the crash states and the limits of that promise.
package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// Identity says whose log it is. ID, Address and Salt are written once, by Create.
type Identity struct {
	ID      raft.ID
	Cluster raft.ClusterID // zero until SetCluster, for a member that joins
	Address string         // as advertised when the log was made
	// Salt makes the record headers unguessable. Create draws one if it is zero; a simulation sets it.
	Salt uint64
}

// Expect compares the identity found in a directory with what the member was told to be: its
// advertised address, and the cluster it should be in (zero: any).
func (id Identity) Expect(address string, cluster raft.ClusterID) error {
	if address != id.Address {
		return fmt.Errorf("%w: it belongs to member %v at %s, not to %s", ErrOtherMember, id.ID, id.Address, address)
	}
	if cluster != 0 && id.Cluster != 0 && cluster != id.Cluster {
		return fmt.Errorf("%w: it belongs to member %v of cluster %v, not of cluster %v", ErrOtherMember, id.ID, id.Cluster, cluster)
	}
	return nil
}

// Position names one place in the raft log.
type Position struct {
	Index raft.Index
	Term  raft.Term
}

// options are sizes that tests make small. The floating mark begins a page, so that it is not in the
// sector that holds the end of the log.
type options struct{ segment, chunk, page int64 }

// A file is zero-filled a chunk at a time, not at once: 16 MiB of zeros would stall a commit for about
// 40 ms, 1 MiB costs 3 ms, and inside a chunk an fdatasync has no size to write (0.24 ms, not 0.34).
var defaults = options{segment: 16 << 20, chunk: 1 << 20, page: 4096}

const (
	// maxBuffered keeps offsets inside 32 bits; the caller syncs long before.
	maxBuffered = 1 << 30
	// maxFile bounds a file that could not be followed by a new one.
	maxFile = 3 << 30
)

// Log is the open log. It is owned by one goroutine: no method is safe to call beside another.
// After a failed write or sync, but for ErrFull, every method returns that first error: what the disk holds is then
// unknown, and only a new Open can tell (ATC'20, "Can applications recover from fsync failures?").
type Log struct {
	fs      vfs.FS
	dir     string
	options options
	lock    io.Closer

	file   vfs.File    // the active segment
	head   segmentHead // its number and identity
	end    int64       // where the next record goes, less the buffer
	synced int64       // durable up to here; a batch boundary
	filled int64       // zeros, or records, up to here
	mark   int64       // where the floating mark is; zero if nowhere

	buf    []byte // appended, not yet written
	prev   uint32 // CRC of the last record appended
	base   Position
	last   Position
	state  raft.HardState
	begins begins // of the files that the log needs, the active one last
	oldest uint64 // the first file that may still be there
	// head.identity.Cluster is new; base is new because the log was restarted: with the next batch.
	joined, restarted bool
	failure           error
}

// Create makes an empty log in a new or empty directory and opens it. It is durable when Create returns.
func Create(fsys vfs.FS, dir string, id Identity) (*Log, error) {
	return create(fsys, dir, id, defaults)
}

func create(fsys vfs.FS, dir string, id Identity, o options) (*Log, error) {
	if id.ID == 0 || len(id.Address) > 1024 {
		return nil, fmt.Errorf("wal: create: identity needs an id and an address of at most 1024 bytes, got %v %.40q", id.ID, id.Address)
	}
	if id.Salt == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("wal: create: %w", err)
		}
		id.Salt = binary.BigEndian.Uint64(b[:])
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("wal: create directory: %w", err)
	}
	if found, err := list(fsys, dir); err != nil {
		return nil, err
	} else if len(found.segments) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrExist, dir)
	} else if err := orphaned(fsys, dir); err != nil {
		return nil, err
	}
	lock, err := takeLock(fsys, dir)
	if err != nil {
		return nil, err
	}
	l := &Log{fs: fsys, dir: dir, options: o, lock: lock}
	if err := l.createFirst(id); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

func (l *Log) createFirst(id Identity) error {
	found, err := list(l.fs, l.dir) // again, now that nobody else can change it
	if err != nil {
		return err
	}
	if len(found.segments) > 0 {
		return fmt.Errorf("%w: %s", ErrExist, l.dir)
	}
	if err := removeTemps(l.fs, l.dir, found); err != nil {
		return err
	}
	l.head = segmentHead{number: 1, prealloc: uint32(l.options.chunk), identity: id}
	l.file, l.end, l.prev, err = createSegment(l.fs, l.dir, &l.head, 0)
	l.synced, l.filled = l.end, int64(l.head.prealloc)
	l.begins, l.oldest = begins{{number: 1}}, 1
	return err
}

// takeLock says in the package's words why a directory cannot be had.
func takeLock(fsys vfs.FS, dir string) (io.Closer, error) {
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("wal: directory %s is not writable: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("wal: lock directory: %w", err)
	}
	return lock, nil
}

// listing is what a directory holds.
type listing struct {
	segments []uint64 // ascending
	temps    []string
}

func list(fsys vfs.FS, dir string) (listing, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return listing{}, fmt.Errorf("wal: list directory: %w", err)
	}
	var found listing
	for _, name := range names {
		switch n := segmentNumber(name); {
		case n != 0:
			found.segments = append(found.segments, n) // the names sort as the numbers do
		case segmentNumber(strings.TrimSuffix(name, tempSuffix)+segmentSuffix) != 0:
			found.temps = append(found.temps, name)
		case name == lockName || name == SnapshotDir || name == "lost+found": // the last: dir is the root of an ext4 volume
		default:
			return listing{}, fmt.Errorf("%w: %s", ErrForeign, filepath.Join(dir, name))
		}
	}
	return found, nil
}

// removeTemps removes segments that never got their name, which a crash may leave.
func removeTemps(fsys vfs.FS, dir string, found listing) error {
	for _, name := range found.temps {
		if err := fsys.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("wal: remove unfinished segment: %w", err)
		}
	}
	return nil
}

// Last is the position of the last entry appended, durable or not.
func (l *Log) Last() Position { return l.last }

// Identity is whose log it is.
func (l *Log) Identity() Identity { return l.head.identity }

// Append adds one batch: the new term and vote, if hs is not nil, and entries. If the log holds
// entries[0].Index already, it is cut there first. After a crash the batch is there as a whole or not
// at all. It is not durable before Sync. An error before the first failed write has changed nothing.
func (l *Log) Append(hs *raft.HardState, entries []raft.Entry) error {
	if l.failure != nil {
		return l.failure
	}
	if err := l.check(entries); err != nil {
		return err
	}
	state := hs != nil && *hs != l.state
	if !state && len(entries) == 0 {
		return nil // a new cluster or base goes alone, with Sync
	}
	l.addCluster(true)
	l.addRestart(true)
	if state {
		var vote [8]byte
		binary.BigEndian.PutUint64(vote[:], uint64(hs.Vote))
		l.add(record{kind: recordState, more: len(entries) > 0, term: uint64(hs.Term), index: uint64(l.last.Index), payload: vote[:]})
		l.state = *hs
	}
	if len(entries) > 0 && entries[0].Index <= l.last.Index {
		l.add(record{kind: recordTruncate, more: true, index: uint64(entries[0].Index - 1)})
		l.begins.cutAt(entries[0].Index - 1)
	}
	for i, e := range entries {
		l.add(record{kind: recordEntry, more: i < len(entries)-1, entry: uint8(e.Type),
			term: uint64(e.Term), index: uint64(e.Index), payload: e.Data})
		l.last = Position{Index: e.Index, Term: e.Term}
	}
	return nil
}

// check refuses a batch that would make a log with a hole, or one too large for the format.
func (l *Log) check(entries []raft.Entry) error {
	size := len(l.buf)
	for i, e := range entries {
		switch {
		case i == 0 && (e.Index > l.last.Index+1 || e.Index <= l.base.Index):
			return fmt.Errorf("wal: append entry %d to a log of entries %d to %d", e.Index, l.base.Index+1, l.last.Index)
		case i > 0 && e.Index != entries[i-1].Index+1:
			return fmt.Errorf("wal: append entry %d behind entry %d", e.Index, entries[i-1].Index)
		case e.Type > raft.EntryConfiguration:
			return fmt.Errorf("wal: entry %d has type %d, which Open would refuse", e.Index, e.Type)
		case len(e.Data) > maxPayload:
			return fmt.Errorf("wal: entry %d has %d bytes, more than %d", e.Index, len(e.Data), maxPayload)
		}
		size += recordSize(len(e.Data))
	}
	if size > maxBuffered || l.end+int64(size) > maxFile {
		return fmt.Errorf("wal: %d bytes appended without a sync, to a file of %d; more than %d, or in all %d", size, l.end, maxBuffered, maxFile)
	}
	return nil
}

// SetCluster records the cluster that the member has joined: with the batch of the next Append, or
// alone at the next Sync, whichever comes first.
func (l *Log) SetCluster(id raft.ClusterID) error {
	switch {
	case l.failure != nil:
		return l.failure
	case id == l.head.identity.Cluster:
		return nil
	case l.head.identity.Cluster != 0:
		return fmt.Errorf("%w: it is in cluster %v and cannot move to cluster %v", ErrOtherMember, l.head.identity.Cluster, id)
	}
	l.head.identity.Cluster, l.joined = id, true
	return nil
}

func (l *Log) addCluster(more bool) {
	if !l.joined {
		return
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(l.head.identity.Cluster))
	l.add(record{kind: recordCluster, more: more, index: uint64(l.last.Index), payload: b[:]})
	l.joined = false
}

// add chains a record to the last one, in the buffer.
func (l *Log) add(r record) {
	r.segment = segmentID(l.head.identity.Salt, l.head.number)
	r.prev, r.synced = l.prev, uint32(l.synced)
	l.buf, l.prev = r.append(l.buf)
}
