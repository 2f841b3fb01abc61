package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// socketsPrefix begins the name of every such directory, in the directory for temporary files.
const socketsPrefix = "raftlab-disks-"

// sockets is the directory of the disks' control sockets. Its lab holds a lock on it (flock(2)) for as long as it lives: the
// kernel releases it however the lab ends, so that Sweep can tell what is left from what is in use.
type sockets struct {
	dir  string
	held *os.File
}

func newSockets() (*sockets, error) {
	dir, err := os.MkdirTemp("", socketsPrefix)
	if err != nil {
		return nil, fmt.Errorf("process: sockets of the disks: %w", err)
	}
	held, err := hold(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("process: hold %s: %w", dir, err), os.RemoveAll(dir))
	}
	return &sockets{dir: dir, held: held}, nil
}

// hold takes the lock, or returns EWOULDBLOCK at once where somebody else has it.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// close removes the directory. Without one, or the second time, there is nothing to do.
func (s *sockets) close() error {
	if s == nil {
		return nil
	}
	err := os.RemoveAll(s.dir)
	if closed := s.held.Close(); !errors.Is(closed, os.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}

// Sweep removes the sockets of labs that were killed, and names their directories. Those of a lab that runs stay, and so do
// those of other users. There is nothing more of a member to remove: the mount of its disk is in a namespace of its own, and
// ended with it.
func Sweep() (removed []string, err error) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), socketsPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("process: sweep: %w", err)
	}
	var errs []error
	for _, dir := range found {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() { // gone by now, or not made by a lab
			continue
		}
		s := &sockets{dir: dir}
		s.held, err = hold(dir)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil:
			err = s.close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("process: remove %s: %w", dir, err))
			continue
		}
		removed = append(removed, dir)
	}
	return removed, errors.Join(errs...)
}
