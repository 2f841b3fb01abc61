// Package snapshot keeps snapshots of the state machine in a directory. What Commit or Receive has
// acknowledged is there after a crash, whole, and what Read returns is what was written, or an error:
// never a byte that no checksum vouches for. A crash before that leaves nothing but what was there.
//
// A snapshot is written under a temporary name, fsynced, renamed, and the directory is fsynced. Only
// then are older ones removed. One that cannot be read is never removed: it is evidence.
package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

var (
	// ErrNotExist says that the store does not hold that snapshot, or no longer.
	ErrNotExist = errors.New("snapshot: no such snapshot")
	// ErrOlder says that the store has a newer one already: the older is of no use.
	ErrOlder = errors.New("snapshot: a newer one is here already")
	// ErrDamaged says that bytes are not those that were written.
	ErrDamaged = errors.New("snapshot: damaged")
	// ErrClosed is what a Writer returns after Commit or Abort.
	ErrClosed = errors.New("snapshot: writer is closed")
)

const (
	suffix     = ".snap"
	tempSuffix = ".tmp"
)

// Store is the snapshots of one member. It is safe for concurrent use by one process; it takes no lock
// of its own, because the log beside it has one.
type Store struct {
	fs  vfs.FS
	dir string

	mu      sync.Mutex
	kept    []*kept // ascending
	created uint64  // names temporary files
}

// kept is a snapshot that is durable here.
type kept struct {
	snapshot raft.Snapshot
	name     string
	readers  int
	unread   error // why its header cannot be read
}

// name sorts as index and term do.
func name(s raft.Snapshot) string {
	return fmt.Sprintf("%016x-%016x%s", uint64(s.Index), uint64(s.Term), suffix)
}

func parseName(n string) (raft.Snapshot, bool) {
	index, term, ok := strings.Cut(strings.TrimSuffix(n, suffix), "-")
	i, err1 := strconv.ParseUint(index, 16, 64)
	t, err2 := strconv.ParseUint(term, 16, 64)
	s := raft.Snapshot{Index: raft.Index(i), Term: raft.Term(t)}
	return s, ok && errors.Join(err1, err2) == nil && name(s) == n
}

// Open makes the directory if need be, removes what never was committed, and reads the headers. Files
// with other names are left alone. It fails if the newest snapshot's header cannot be read.
func Open(fsys vfs.FS, dir string) (*Store, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("snapshot: create directory: %w", err)
	}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot: list directory: %w", err)
	}
	st := &Store{fs: fsys, dir: dir}
	for _, n := range names {
		if strings.HasSuffix(n, suffix+tempSuffix) {
			if err := fsys.Remove(filepath.Join(dir, n)); err != nil {
				return nil, fmt.Errorf("snapshot: remove what was not finished: %w", err)
			}
			continue
		}
		s, ok := parseName(n)
		if !ok {
			continue
		}
		k := &kept{snapshot: s, name: n}
		k.snapshot, k.unread = st.header(n, s)
		st.kept = append(st.kept, k)
	}
	// A crash may have come between a rename and the fsync of the directory. What was found is built
	// upon from here on, so it must stay.
	if err := fsys.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("snapshot: sync directory: %w", err)
	}
	if n := len(st.kept); n > 0 && st.kept[n-1].unread != nil {
		return nil, st.kept[n-1].unread
	}
	return st, nil
}

// header reads the header of a file that is named for s.
func (st *Store) header(n string, s raft.Snapshot) (raft.Snapshot, error) {
	f, size, err := st.open(n)
	if err != nil {
		return s, err
	}
	d := decoder{r: io.NewSectionReader(f, 0, size)}
	err = d.header()
	if err == nil && name(d.snapshot) != n {
		err = d.damaged("the header is that of %s", name(d.snapshot))
	}
	if err = errors.Join(st.explain(n, err), f.Close()); err != nil {
		return s, err
	}
	return d.snapshot, nil
}

func (st *Store) open(n string) (vfs.File, int64, error) {
	f, err := st.fs.Open(filepath.Join(st.dir, n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%w: %s", ErrNotExist, filepath.Join(st.dir, n))
	}
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot: open: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("snapshot: %s: %w", n, err), f.Close())
	}
	return f, size, nil
}

// explain adds what to do about damage in a file of ours.
func (st *Store) explain(n string, err error) error {
	var d *damage
	if !errors.As(err, &d) {
		return err
	}
	path := filepath.Join(st.dir, n)
	if d.err != nil {
		return fmt.Errorf("snapshot: %s %w", path, err)
	}
	return fmt.Errorf("%w: %s %w; nothing was changed. The entries that it covers may be gone from the log, so this member's "+
		"state cannot be known: keep the directory for inspection, remove the member from the cluster, and join again with an empty directory, as a new member",
		ErrDamaged, path, err)
}

// Latest is the newest snapshot.
func (st *Store) Latest() (raft.Snapshot, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.kept) == 0 {
		return raft.Snapshot{}, false
	}
	return st.kept[len(st.kept)-1].snapshot, true
}

// stale reports whether there is no use for s. Called with st.mu held.
func (st *Store) stale(s raft.Snapshot) error {
	if n := len(st.kept); n > 0 && st.kept[n-1].snapshot.Index > s.Index {
		return fmt.Errorf("%w: up to entry %d, not %d", ErrOlder, st.kept[n-1].snapshot.Index, s.Index)
	}
	return nil
}

// publish gives a durable file its name, then removes older ones.
func (st *Store) publish(temp string, s raft.Snapshot) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.stale(s); err != nil {
		return err
	}
	n := name(s)
	if err := st.fs.Rename(filepath.Join(st.dir, temp), filepath.Join(st.dir, n)); err != nil {
		return fmt.Errorf("snapshot: rename: %w", err)
	}
	if err := st.fs.SyncDir(st.dir); err != nil {
		return fmt.Errorf("snapshot: sync directory: %w", err)
	}
	if i := slices.IndexFunc(st.kept, func(k *kept) bool { return k.name == n }); i >= 0 {
		st.kept[i].snapshot, st.kept[i].unread = s, nil
	} else {
		st.kept = append(st.kept, &kept{snapshot: s, name: n})
	}
	st.prune()
	return nil
}

// prune removes what is older than the newest and not being read. What cannot be removed now is tried
// again next time: it costs room, nothing else. Called with st.mu held.
func (st *Store) prune() {
	last := len(st.kept) - 1
	st.kept = slices.DeleteFunc(st.kept, func(k *kept) bool {
		if k == st.kept[last] || k.readers > 0 || k.unread != nil {
			return false
		}
		err := st.fs.Remove(filepath.Join(st.dir, k.name))
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
}

// hold keeps a snapshot from being removed until release.
func (st *Store) hold(s raft.Snapshot) (*kept, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, k := range st.kept {
		if k.name == name(s) {
			k.readers++
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: up to entry %d of term %d", ErrNotExist, s.Index, s.Term)
}

func (st *Store) release(k *kept) {
	st.mu.Lock()
	defer st.mu.Unlock()
	k.readers--
	st.prune()
}

// same reports whether two snapshots describe the same state and configuration.
func same(a, b raft.Snapshot) bool {
	x, err1 := appendHeader(nil, a)
	y, err2 := appendHeader(nil, b)
	return errors.Join(err1, err2) == nil && bytes.Equal(x, y)
}
