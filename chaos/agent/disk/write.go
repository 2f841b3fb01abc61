//go:build linux

package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// inode is one file with something unsynced: what its sectors held when they were synced last.
type inode struct {
	file *os.File // of our own, so that it can be mended whatever its name is
	// size is the durable one; cut, that the file was made shorter since.
	size  int64
	cut   bool
	dirty map[int64]undo
	// syncing is what an fsync on its way will make durable, with what the sectors held before; sizeBefore is the
	// durable size then.
	syncing    map[int64]undo
	sizeBefore int64
	cutBefore  bool
	one        chan struct{} // held by the fsync on its way
	wanting    int           // fsyncs that hold this state or wait for their turn
}

// undo is the durable content of a sector, shorter where the file ended. A doomed sector was in an fsync that failed:
// nothing but a new write can bring it to the disk.
type undo struct {
	was    []byte
	doomed bool
}

func stat(f *os.File) (syscall.Stat_t, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(int(f.Fd()), &st)
	return st, err
}

// of finds or makes the state of an open file. The lock is held.
func (d *Disk) of(f *os.File) (*inode, syscall.Stat_t, error) {
	st, err := stat(f)
	if err != nil {
		return nil, st, err
	}
	if n := d.inodes[st.Ino]; n != nil {
		return n, st, nil
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, st, err
	}
	n := &inode{file: os.NewFile(uintptr(fd), f.Name()), size: st.Size, dirty: map[int64]undo{}, one: make(chan struct{}, 1)}
	d.inodes[st.Ino] = n
	return n, st, nil
}

// touch keeps the durable content of the sectors in [from, to) that are about to change.
func (n *inode) touch(from, to, size int64) error {
	for s := from / SectorSize; s*SectorSize < to; s++ {
		if old, known := n.dirty[s]; known {
			n.dirty[s] = undo{was: old.was}
			continue
		}
		was := make([]byte, max(0, min(SectorSize, size-s*SectorSize)))
		if k, err := n.file.ReadAt(was, s*SectorSize); err != nil && !(errors.Is(err, io.EOF) && k == len(was)) {
			return err
		}
		n.dirty[s] = undo{was: was}
	}
	return nil
}

// Write is pwrite(2).
func (d *Disk) Write(f *os.File, data []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(); err != nil {
		return 0, err
	}
	if len(data) == 0 {
		return 0, nil
	}
	n, st, err := d.of(f)
	if err != nil {
		return 0, err
	}
	if d.faults.Full {
		room, err := d.held(n.file, st, data, off)
		if err != nil {
			return 0, err
		}
		if room < len(data) {
			d.counters.Refused++
		}
		if data = data[:room]; len(data) == 0 {
			return 0, syscall.ENOSPC
		}
	}
	if err := n.touch(min(off, st.Size), off+int64(len(data)), st.Size); err != nil {
		return 0, err
	}
	written, err := n.file.WriteAt(data, off)
	d.counters.Written += uint64(written)
	return written, d.counted(err)
}

// admit is what every call that changes something asks first.
func (d *Disk) admit() error {
	if d.released {
		return syscall.EIO
	}
	if e, _ := errno(d.faults.WriteError); e != 0 {
		d.counters.Failed++
		return e
	}
	return nil
}

// Truncate is ftruncate(2).
func (d *Disk) Truncate(f *os.File, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(); err != nil {
		return err
	}
	n, st, err := d.of(f)
	if err != nil {
		return err
	}
	if err := n.touch(min(size, st.Size), max(size, st.Size), st.Size); err != nil {
		return err
	}
	n.cut = n.cut || size < st.Size
	delete(d.blocks, st.Ino)
	return d.counted(n.file.Truncate(size))
}

const blockSize = 4096

// held says how many bytes of a write fit a full disk: up to the first block that holds nothing and would have to.
func (d *Disk) held(f *os.File, st syscall.Stat_t, data []byte, off int64) (int, error) {
	held := d.blocks[st.Ino]
	if held == nil {
		all, err := io.ReadAll(io.NewSectionReader(f, 0, st.Size))
		if err != nil {
			return 0, err
		}
		held = map[int64]bool{}
		for at := 0; at < len(all); at += blockSize {
			if !zero(all[at:min(at+blockSize, len(all))]) {
				held[int64(at/blockSize)] = true
			}
		}
		d.blocks[st.Ino] = held
	}
	for at := 0; at < len(data); {
		block := (off + int64(at)) / blockSize
		next := min(len(data), int((block+1)*blockSize-off))
		if !held[block] && !zero(data[at:next]) {
			return at, nil
		}
		at = next
	}
	return len(data), nil
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// Sync is fsync(2) of a file.
func (d *Disk) Sync(f *os.File) error {
	d.mu.Lock()
	n, st, err := d.of(f)
	if err != nil {
		d.mu.Unlock()
		return err
	}
	n.wanting++
	d.mu.Unlock()
	n.one <- struct{}{}
	defer func() { <-n.one }()

	d.mu.Lock()
	if st, err = stat(f); err != nil {
		n.wanting--
		d.mu.Unlock()
		return err
	}
	n.syncing, n.dirty = n.dirty, map[int64]undo{}
	n.sizeBefore, n.size = n.size, st.Size
	n.cutBefore, n.cut = n.cut, false
	d.mu.Unlock()

	err = d.hold(func() bool { return len(n.syncing) == 0 })
	if err == nil {
		err = syscall.Fdatasync(int(n.file.Fd()))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n.wanting--
	if d.released { // the power went while it was on its way: what it was about is not durable
		return syscall.EIO
	}
	if err != nil {
		d.doom(n)
		return err
	}
	for s, old := range n.syncing {
		if _, again := n.dirty[s]; old.doomed && !again {
			n.dirty[s] = old // a second fsync that succeeds has not written it
		}
	}
	n.syncing = nil
	d.counters.Syncs++
	d.settle(st.Ino)
	return nil
}

// doom takes an fsync back that has failed.
func (d *Disk) doom(n *inode) {
	for s, old := range n.syncing {
		_, again := n.dirty[s]
		n.dirty[s] = undo{was: old.was, doomed: !again}
	}
	n.size, n.cut, n.syncing = n.sizeBefore, n.cut || n.cutBefore, nil
}

// settle forgets a file that has nothing unsynced.
func (d *Disk) settle(ino uint64) {
	if n := d.inodes[ino]; n != nil && len(n.dirty) == 0 && n.wanting == 0 {
		n.file.Close()
		delete(d.inodes, ino)
	}
}

// hold keeps an fsync for as long as the faults say, and returns what it must fail with. clean says, under the lock, whether
// it has nothing to write.
func (d *Disk) hold(clean func() bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if hung := func() bool { return d.faults.SyncHang || d.stalled && !clean() }; d.faults.SyncDelay > 0 || hung() {
		h := &hold{time.Now()}
		d.holds[h] = true
		d.counters.Held++
		until := h.since.Add(d.faults.SyncDelay)
		for !d.released && (hung() || time.Now().Before(until)) {
			changed, wait := d.changed, time.Until(until)
			if hung() {
				wait = time.Hour
			}
			d.mu.Unlock()
			timer := time.NewTimer(wait)
			select {
			case <-changed:
			case <-timer.C:
			}
			timer.Stop()
			d.mu.Lock()
		}
		delete(d.holds, h)
		d.counters.HeldMost = max(d.counters.HeldMost, int64(time.Since(h.since)))
	}
	if d.released {
		return syscall.EIO
	}
	if e, _ := errno(d.faults.SyncError); e != 0 {
		d.counters.Failed++
		return e
	}
	return nil
}
