package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// inode is a file's content: now, after the last Sync, and every version that each sector has had
// between, since a disk may write a sector at any moment.
type inode struct {
	data, synced []byte
	dirty        map[int64][][]byte
	cut          int64 // the shortest size since the last Sync
}

// touch notes the present content of the sectors in [from, to) as versions that a crash may leave.
func (n *inode) touch(from, to int64) {
	if n.dirty == nil {
		n.dirty = map[int64][][]byte{}
	}
	for s := from / SectorSize; s*SectorSize < to; s++ {
		end := min((s+1)*SectorSize, int64(len(n.data)))
		n.dirty[s] = append(n.dirty[s], bytes.Clone(n.data[s*SectorSize:end]))
	}
}

func (n *inode) resize(size int64) {
	if size <= int64(len(n.data)) {
		// The bytes that go must not come back as part of a later, longer file.
		clear(n.data[size:])
		n.data = n.data[:size]
		n.cut = min(n.cut, size)
		return
	}
	n.data = slices.Grow(n.data, int(size)-len(n.data))[:size]
}

func (n *inode) sync() {
	size := len(n.data)
	n.synced = slices.Grow(n.synced[:min(len(n.synced), size)], max(0, size-len(n.synced)))
	old := len(n.synced)
	n.synced = n.synced[:size]
	clear(n.synced[old:])
	for s := range n.dirty {
		from, to := s*SectorSize, min((s+1)*SectorSize, int64(size))
		if from < to {
			copy(n.synced[from:to], n.data[from:to])
		}
	}
	n.dirty, n.cut = nil, int64(size)
}

// crash returns the content after a power cut.
func (n *inode) crash(rng *rand.Rand) *inode {
	data := bytes.Clone(n.synced)
	keep := survivors(rng)
	if n.cut < int64(len(data)) && keep(0, 1) {
		data = data[:n.cut]
	}
	sectors := slices.Sorted(maps.Keys(n.dirty))
	for i, s := range sectors {
		if !keep(i, len(sectors)) {
			continue
		}
		versions := n.dirty[s]
		v := versions[len(versions)-1]
		if rng.IntN(4) == 0 {
			v = versions[rng.IntN(len(versions))]
		}
		if end := int(s)*SectorSize + len(v); len(v) > 0 && end > len(data) {
			data = append(data, make([]byte, end-len(data))...)
		}
		copy(data[min(int(s)*SectorSize, len(data)):], v)
	}
	return &inode{data: data, synced: bytes.Clone(data), cut: int64(len(data))}
}

// failSync is an fsync that fails: what was written since the last one reaches the disk in part, as in a crash. All of it can be
// read until there is one, and counts as clean, so that no later fsync writes it ("Can applications recover from fsync
// failures?", ATC 2020).
func (n *inode) failSync(rng *rand.Rand) {
	n.synced, n.dirty = n.crash(rng).data, nil
	n.cut = int64(min(len(n.synced), len(n.data)))
}

type memFile struct {
	m        *Mem
	file     *inode
	name     string
	epoch    int
	writable bool
	closed   bool
}

// lock takes the file system's lock if the handle is alive. The caller unlocks after a nil error.
func (f *memFile) lock(op string) error {
	f.m.mu.Lock()
	var err error
	switch {
	case f.epoch != f.m.epoch:
		err = ErrCrashed
	case f.closed:
		err = fs.ErrClosed
	case !f.writable && (op == "write" || op == "truncate"):
		err = fs.ErrPermission
	default:
		return nil
	}
	f.m.mu.Unlock()
	return pathError(op, f.name, err)
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.lock("read"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if off >= int64(len(f.file.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.file.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.lock("write"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	from, end := off, off+int64(len(b))
	if size := int64(len(f.file.data)); end > size {
		from = min(from, size) // a hole is written too: with zeros
		f.file.resize(end)
	}
	copy(f.file.data[off:], b)
	f.file.touch(from, end)
	return len(b), nil
}

func (f *memFile) Sync() error {
	if err := f.lock("sync"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.file.sync()
	return nil
}

// FailSync does to the file what a Sync that fails does; rng decides what reaches the disk.
func (f *memFile) FailSync(rng *rand.Rand) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.file.failSync(rng)
}

func (f *memFile) Truncate(size int64) error {
	if err := f.lock("truncate"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	old := int64(len(f.file.data))
	f.file.resize(size)
	f.file.touch(min(old, size), size)
	return nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.lock("stat"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	return int64(len(f.file.data)), nil
}

func (f *memFile) Close() error {
	if err := f.lock("close"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.closed = true
	return nil
}
