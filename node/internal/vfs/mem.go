package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
)

// SectorSize is what a disk writes whole or not at all. Mem tears files at its multiples.
const SectorSize = 512

// ErrCrashed is what a file or lock that was open during Crash returns ever after.
var ErrCrashed = errors.New("vfs: machine crashed since this was opened")

// Mem is a file system in memory that can crash. It is safe for concurrent use. Directories
// themselves are durable at once, as FS.MkdirAll promises.
type Mem struct {
	mu    sync.Mutex
	dirs  map[string]*memDir
	locks map[string]bool
	epoch int // counts crashes: what was opened in an older one is dead
}

// memDir knows the names now, those after the last SyncDir, and the steps between, oldest first.
type memDir struct {
	names, synced map[string]*inode
	pending       []dirStep
}

// dirStep is one change of names; from or to is empty where a file is created or removed.
type dirStep struct {
	from, to string
	file     *inode
}

// NewMem returns an empty file system with a root directory.
func NewMem() *Mem {
	m := &Mem{dirs: map[string]*memDir{}, locks: map[string]bool{}}
	m.dirs[string(filepath.Separator)] = newMemDir()
	m.dirs["."] = newMemDir()
	return m
}

func newMemDir() *memDir {
	return &memDir{names: map[string]*inode{}, synced: map[string]*inode{}}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find returns the directory of a name, and the file if there is one.
func (m *Mem) find(name string) (d *memDir, base string, file *inode, err error) {
	name = filepath.Clean(name)
	d = m.dirs[filepath.Dir(name)]
	if d == nil {
		return nil, "", nil, fs.ErrNotExist
	}
	base = filepath.Base(name)
	return d, base, d.names[base], nil
}

func (d *memDir) apply(s dirStep, names map[string]*inode) {
	if s.from != "" && names[s.from] == s.file {
		delete(names, s.from)
	}
	if s.to != "" {
		names[s.to] = s.file
	}
}

func (d *memDir) do(s dirStep) {
	d.apply(s, d.names)
	d.pending = append(d.pending, s)
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, file, err := m.find(name)
	if err == nil && (file != nil || m.dirs[filepath.Clean(name)] != nil) {
		err = fs.ErrExist
	}
	if err != nil {
		return nil, pathError("create", name, err)
	}
	file = &inode{}
	d.do(dirStep{to: base, file: file})
	return &memFile{m: m, file: file, name: name, epoch: m.epoch, writable: true}, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenWrite implements FS.
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, file, err := m.find(name)
	if err == nil && file == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &memFile{m: m, file: file, name: name, epoch: m.epoch, writable: writable}, nil
}

// Rename implements FS, within one directory.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, from, file, err := m.find(oldName)
	if err == nil && file == nil {
		err = fs.ErrNotExist
	}
	if err == nil && filepath.Dir(filepath.Clean(oldName)) != filepath.Dir(filepath.Clean(newName)) {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return pathError("rename", oldName, err)
	}
	d.do(dirStep{from: from, to: filepath.Base(newName), file: file})
	return nil
}

// Remove implements FS, for files.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, file, err := m.find(name)
	if err == nil && file == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	d.do(dirStep{from: base, file: file})
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	d := m.dirs[dir]
	if d == nil {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	names := slices.Collect(maps.Keys(d.names))
	for other := range m.dirs {
		if other != dir && other != "." && filepath.Dir(other) == dir {
			names = append(names, filepath.Base(other))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir = filepath.Clean(dir); m.dirs[dir] == nil; dir = filepath.Dir(dir) {
		if _, _, file, _ := m.find(dir); file != nil {
			return pathError("mkdir", dir, errors.New("exists and is not a directory"))
		}
		m.dirs[dir] = newMemDir()
	}
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[filepath.Clean(dir)]
	if d == nil {
		return pathError("syncdir", dir, fs.ErrNotExist)
	}
	d.synced, d.pending = maps.Clone(d.names), nil
	return nil
}

// Locked implements FS.
func (m *Mem) Locked(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locks[filepath.Clean(name)], nil
}

type memLock struct {
	m     *Mem
	name  string
	epoch int
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	d, base, file, err := m.find(name)
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	if m.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	if file == nil {
		d.do(dirStep{to: base, file: &inode{}})
	}
	m.locks[name] = true
	return &memLock{m, name, m.epoch}, nil
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.epoch != l.m.epoch {
		return ErrCrashed
	}
	delete(l.m.locks, l.name)
	return nil
}

// Kill is the end of the process that used m: whatever was open is dead, and all that was written stays, though it is
// no more durable than it was.
func (m *Mem) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks = map[string]bool{}
	m.epoch++
}

// Crash is a power cut and the boot after it. Synced bytes and names stay; of the rest, rng decides:
// nothing, everything, a first part, or any sectors and names in any mixture. Whatever was open is
// dead.
func (m *Mem) Crash(rng *rand.Rand) {
	after := m.CrashClone(rng)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirs, m.locks = after.dirs, after.locks
	m.epoch++
}

// CrashClone returns the disk as Crash would leave it, and lets m run on.
func (m *Mem) CrashClone(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	crashed := map[*inode]*inode{}
	for _, path := range slices.Sorted(maps.Keys(m.dirs)) {
		old := m.dirs[path]
		names := maps.Clone(old.synced)
		keep := survivors(rng)
		for i, s := range old.pending {
			if keep(i, len(old.pending)) {
				old.apply(s, names)
			}
		}
		d := newMemDir()
		for _, name := range slices.Sorted(maps.Keys(names)) {
			file := names[name]
			if crashed[file] == nil {
				crashed[file] = file.crash(rng)
			}
			d.names[name] = crashed[file]
		}
		d.synced = maps.Clone(d.names)
		after.dirs[path] = d
	}
	return after
}

// survivors draws which of n unsynced changes outlive a crash.
func survivors(rng *rand.Rand) func(i, n int) bool {
	switch mode, part := rng.IntN(4), rng.Float64(); mode {
	case 0:
		return func(int, int) bool { return false }
	case 1:
		return func(int, int) bool { return true }
	case 2:
		return func(i, n int) bool { return float64(i) < part*float64(n) }
	default:
		return func(int, int) bool { return rng.Float64() < part }
	}
}
