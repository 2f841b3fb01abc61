//go:build linux

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is one change of names that is not durable: a creation, a removal or a rename. Directories are held open, so that
// they are found again whatever they are called.
type step struct {
	dir    *os.File // of name
	name   string
	to     *os.File // of newName, for a rename
	became string
	// limbo is what was removed, or replaced by a rename: it can come back until the directory is synced.
	limbo string
	made  bool // the name is new; else it is gone, or has become another
	empty bool // what was removed is an empty directory, which is made again
}

func (s *step) close() {
	s.dir.Close()
	if s.to != nil {
		s.to.Close()
	}
}

// in says whether an fsync of a directory makes the step durable.
func (s *step) in(ino uint64) bool {
	for _, dir := range []*os.File{s.dir, s.to} {
		if dir == nil {
			continue
		}
		if st, err := stat(dir); err == nil && st.Ino == ino {
			return true
		}
	}
	return false
}

// Made notes that a file or a directory has been made. refused undoes it where the disk is full.
func (d *Disk) Made(dir, name string, make func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(); err != nil {
		return err
	}
	if d.faults.Full {
		d.counters.Refused++
		return syscall.ENOSPC
	}
	if err := make(); err != nil {
		return d.counted(err)
	}
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	d.names = append(d.names, &step{dir: at, name: name, made: true})
	return nil
}

// Remove is unlink(2) and rmdir(2).
func (d *Disk) Remove(dir, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(); err != nil {
		return err
	}
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	s := &step{dir: at, name: name}
	info, err := os.Lstat(filepath.Join(dir, name))
	switch {
	case err != nil:
	case info.IsDir():
		s.empty = true
		err = syscall.Rmdir(filepath.Join(dir, name))
	default:
		s.limbo, err = d.toLimbo(filepath.Join(dir, name))
	}
	if err != nil {
		s.close()
		return err
	}
	d.names = append(d.names, s)
	return nil
}

func (d *Disk) toLimbo(path string) (string, error) {
	d.limbo++
	there := filepath.Join(d.path("limbo"), strconv.Itoa(d.limbo))
	return there, os.Rename(path, there)
}

// Rename is rename(2).
func (d *Disk) Rename(dir, name, newDir, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(); err != nil {
		return err
	}
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	to, err := os.Open(newDir)
	if err != nil {
		at.Close()
		return err
	}
	s := &step{dir: at, name: name, to: to, became: newName}
	target := filepath.Join(newDir, newName)
	if _, failed := os.Lstat(filepath.Join(dir, name)); failed != nil {
		err = failed
	} else if info, failed := os.Lstat(target); failed == nil && !info.IsDir() {
		s.limbo, err = d.toLimbo(target)
	}
	if err == nil {
		err = syscall.Rename(filepath.Join(dir, name), target)
	}
	if err != nil {
		s.close()
		return err
	}
	d.names = append(d.names, s)
	return nil
}

// SyncDir is fsync(2) of a directory.
func (d *Disk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := stat(f)
	if err != nil {
		return err
	}
	d.mu.Lock()
	about := slices.Clone(d.names) // what comes later is not in it
	d.mu.Unlock()
	if err := d.hold(func() bool { return len(d.names) == 0 }); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.released {
		return syscall.EIO
	}
	d.counters.Syncs++
	var failed error
	d.names = slices.DeleteFunc(d.names, func(s *step) bool {
		if !slices.Contains(about, s) || !s.in(st.Ino) {
			return false
		}
		failed = errors.Join(failed, s.keep())
		return true
	})
	return failed
}

// keep makes the step durable.
func (s *step) keep() error {
	defer s.close()
	if s.limbo == "" {
		return nil
	}
	return os.Remove(s.limbo)
}

// undo takes the step back, as if it had never come to the disk.
func (s *step) undo() error {
	defer s.close()
	from, to := at(s.dir, s.name), ""
	if s.to != nil {
		to = at(s.to, s.became)
	}
	var err error
	switch {
	case s.made:
		return os.RemoveAll(from)
	case s.to != nil:
		if err = syscall.Rename(to, from); errors.Is(err, unix.ENOENT) {
			err = nil // a later, durable step took it further
		}
		if err == nil && s.limbo != "" {
			err = syscall.Rename(s.limbo, to)
		}
		return err
	case s.empty:
		if err = os.Mkdir(from, 0o755); errors.Is(err, os.ErrExist) {
			err = nil
		}
		return err
	}
	return syscall.Rename(s.limbo, from)
}

// at is a name in an open directory, as a path.
func at(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}
