//go:build linux

package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ballast takes all the room that there is, beside the files.
const ballast = "ballast"

// fill takes the room below the disk to the last byte. The file system must be a tmpfs: another one somebody else needs too.
func (d *Disk) fill() error {
	var below unix.Statfs_t
	if err := unix.Statfs(d.back, &below); err != nil {
		return err
	}
	if below.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("disk: only a tmpfs is filled, and %s is none", d.back)
	}
	f, err := os.OpenFile(d.path(ballast), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for zeros := make([]byte, 1<<20); ; {
		if _, err := f.Write(zeros); errors.Is(err, syscall.ENOSPC) {
			return nil // what was written until then stays
		} else if err != nil {
			return err
		}
	}
}

// empty gives it back.
func (d *Disk) empty() error {
	if err := os.Remove(d.path(ballast)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// room is what the file system below has left for who is not root.
func (d *Disk) room() uint64 {
	var below unix.Statfs_t
	if err := unix.Statfs(d.back, &below); err != nil {
		return 0
	}
	return below.Bavail * uint64(below.Bsize)
}

// counted counts what the file system below has refused. The lock is held.
func (d *Disk) counted(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		d.counters.Refused++
	}
	return err
}
