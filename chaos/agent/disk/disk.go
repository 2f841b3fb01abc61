//go:build linux

// Package disk is a disk that can be broken. It lies between a member and its real disk: a FUSE file system over a
// directory, which a member's data directory is mounted through. It writes through at once, so a process that is killed
// loses nothing, and remembers what each sector held when it was synced last, so that it can take back what a power cut would
// take: bytes that were not synced, and names whose directory was not. It can be full, slow, hung or broken, and it counts
// what it did: its counters are the evidence, for they do not come from the member.
//
// POSIX is taken at its word: a name is durable after an fsync of its directory, not of the file. After an fsync that
// failed, the sectors are as good as lost, whatever a later fsync says ("Can applications recover from fsync failures?", ATC'20).
package disk

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"raftlab/harness/diskfault"
)

// SectorSize is what a disk writes whole or not at all.
const SectorSize = 512

// Disk is the state behind one mount. It is safe for concurrent use.
type Disk struct {
	back string // holds files/ (what is shown), limbo/ (removed, not yet for good) and counters.json

	mu       sync.Mutex
	faults   diskfault.Faults
	changed  chan struct{} // closed and made anew when faults change, or the power goes
	stalled  bool          // the power will go: no fsync of what is not durable comes back
	released bool          // the power is going: nothing is held any more, and nothing succeeds
	counters diskfault.Counters
	holds    map[*hold]bool
	inodes   map[uint64]*inode // with something unsynced
	names    []*step           // unsynced changes of directories, in order
	limbo    int               // names used there
	blocks   map[uint64]map[int64]bool
}

type hold struct{ since time.Time }

// Open takes a directory to keep files in, and what earlier power cuts counted.
func Open(back string) (*Disk, error) {
	d := &Disk{back: back, changed: make(chan struct{}), holds: map[*hold]bool{}, inodes: map[uint64]*inode{}}
	if err := errors.Join(os.RemoveAll(d.path("limbo")), d.empty()); err != nil {
		return nil, err
	}
	for _, dir := range []string{"files", "limbo"} {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	saved, err := readCounters(back)
	d.counters = saved
	return d, err
}

// readCounters reads what the last power cut or orderly end has saved below back; zero where there was none.
func readCounters(back string) (diskfault.Counters, error) {
	f, err := os.Open(filepath.Join(back, diskfault.Saved))
	if errors.Is(err, os.ErrNotExist) {
		return diskfault.Counters{}, nil
	}
	if err != nil {
		return diskfault.Counters{}, err
	}
	defer f.Close()
	return diskfault.ReadSaved(f)
}

// Save writes the counters beside the files.
func (d *Disk) Save() error {
	if err := d.empty(); err != nil { // there must be room for them
		return err
	}
	raw, err := json.Marshal(d.Counters())
	if err != nil {
		return err
	}
	const next = diskfault.Saved + ".tmp"
	if err := os.WriteFile(d.path(next), raw, 0o644); err != nil {
		return err
	}
	return os.Rename(d.path(next), d.path(diskfault.Saved))
}

func (d *Disk) path(name string) string { return filepath.Join(d.back, name) }

// Files is the directory that is shown.
func (d *Disk) Files() string { return d.path("files") }

// Set changes how the disk behaves. What is held by a fault that ends goes on.
func (d *Disk) Set(f diskfault.Faults) error {
	for _, name := range []string{f.SyncError, f.WriteError} {
		if _, err := errno(name); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	change := d.empty
	if f.Filled {
		change = d.fill
	}
	if err := change(); err != nil {
		return err
	}
	d.faults = f
	d.blocks = nil
	if f.Full {
		d.blocks = map[uint64]map[int64]bool{}
	}
	d.wake()
	return nil
}

func (d *Disk) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// release lets go of everything that is held, with an error: its process is dead already.
func (d *Disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released = true
	d.wake()
}

func errno(name string) (syscall.Errno, error) {
	switch name {
	case "":
		return 0, nil
	case "EIO":
		return syscall.EIO, nil
	case "ENOSPC":
		return syscall.ENOSPC, nil
	}
	return 0, errors.New("disk: error " + name + " is none of EIO and ENOSPC")
}

// Counters reads all of them.
func (d *Disk) Counters() diskfault.Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counters
	c.Flips = append([]diskfault.Flip(nil), c.Flips...)
	c.HeldNow, c.Unsynced, c.Room = uint64(len(d.holds)), 0, d.room()
	for h := range d.holds {
		c.HeldMost = max(c.HeldMost, int64(time.Since(h.since)))
	}
	for _, n := range d.inodes {
		c.Unsynced += uint64(len(n.dirty)+len(n.syncing)) * SectorSize
	}
	return c
}
