package sim

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"raftlab/node/internal/vfs"
)

// powerCut is the panic with which a disk ends its member in the middle of a call: no line of the member's code runs
// after it, as after a real one.
type powerCut struct{}

var (
	errDead = errors.New("sim: the member that made this call is dead")
	errIO   = errors.New("sim: input/output error")
)

// disk is a member's file system: vfs.Mem, which keeps what was synced and nothing else, and what can go wrong beside
// a crash. Reads never fail.
type disk struct {
	*vfs.Mem
	calls   uint64 // that change something, so far
	cutAt   uint64 // the call before which the power is cut; zero: none
	downFor time.Duration
	dead    bool
	full    bool
	copies  bool // to overwrite takes room too, on a file system that copies on write
	names   bool // to make a file takes no room: a directory mostly has some for one more name
	short   bool // the last write to the log was refused for want of room
	chance  *rand.Rand
	failing bool // the next sync fails
	mark    func(Mark)
	refused bool // an error of ours was returned in this life: the member may end by itself
}

// step stands before each call that changes something.
func (d *disk) step() error {
	if d.dead {
		return errDead
	}
	d.calls++
	if d.cutAt != 0 && d.calls >= d.cutAt {
		d.cutAt, d.dead = 0, true
		panic(powerCut{})
	}
	return nil
}

func (d *disk) noRoom() error {
	if d.full {
		d.refused = true
		return syscall.ENOSPC
	}
	return nil
}

func (d *disk) Create(name string) (vfs.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if !d.names {
		if err := d.noRoom(); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(name, ".wal.tmp") && !strings.HasSuffix(name, "0001.wal.tmp") {
		d.mark(fileRotated)
	}
	return d.file(name)(d.Mem.Create(name))
}

func (d *disk) OpenWrite(name string) (vfs.File, error) { return d.file(name)(d.Mem.OpenWrite(name)) }

func (d *disk) file(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return diskFile{f, d, strings.Contains(name, ".wal")}, nil
	}
}

func (d *disk) Rename(oldName, newName string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Mem.Rename(oldName, newName)
}

func (d *disk) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	if strings.HasSuffix(name, ".wal") {
		d.mark(prefixDropped)
	}
	return d.Mem.Remove(name)
}

func (d *disk) MkdirAll(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Mem.MkdirAll(dir)
}

func (d *disk) SyncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Mem.SyncDir(dir)
}

func (d *disk) Lock(name string) (io.Closer, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.Mem.Lock(name)
}

type diskFile struct {
	vfs.File
	d   *disk
	log bool
}

// WriteAt takes no room where bytes are already.
func (f diskFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.d.step(); err != nil {
		return 0, err
	}
	n, err := f.write(b, off)
	if f.log {
		f.d.short = errors.Is(err, syscall.ENOSPC)
	}
	return n, err
}

func (f diskFile) write(b []byte, off int64) (int, error) {
	if f.d.full {
		if size, err := f.File.Size(); err == nil && off+int64(len(b)) > size {
			return 0, f.d.noRoom()
		}
		if f.d.copies && f.d.chance.IntN(2) == 0 {
			n, _ := f.File.WriteAt(b[:f.d.chance.IntN(len(b)+1)], off)
			return n, f.d.noRoom()
		}
	}
	return f.File.WriteAt(b, off)
}

func (f diskFile) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	if f.d.failing {
		f.d.failing, f.d.refused = false, true
		f.File.(interface{ FailSync(*rand.Rand) }).FailSync(f.d.chance)
		return errIO
	}
	return f.File.Sync()
}

func (f diskFile) Truncate(size int64) error {
	if err := f.d.step(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
