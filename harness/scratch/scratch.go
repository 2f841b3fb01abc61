// Package scratch has directories for what a lab needs only as long as it lives, and finds those of labs that were killed.
//
// A lab holds a lock on each of its directories (flock(2)). The kernel releases it however the lab ends, so that what is left
// can be told from what is in use without asking any process. What a lab has elsewhere, and must remove before it ends, it
// notes in its directory before it makes it: see Note.
package scratch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	prefix = "raftlab-lab-" // begins the name of every such directory, in the directory for temporary files
	notes  = "elsewhere.jsonl"
	tries  = 5 // to make one that is not swept in the moment before it is held
)

// Dir is a directory that this process holds.
type Dir struct {
	path string
	held *os.File
}

// Elsewhere is something that a lab has outside its directory.
type Elsewhere struct {
	Docker  string `json:"docker,omitempty"`  // the label of containers, networks, volumes and images
	Journal string `json:"journal,omitempty"` // of faults; an absolute path
}

// Make makes a directory and holds it.
func Make() (*Dir, error) {
	var err error
	for range tries {
		path, made := os.MkdirTemp("", prefix)
		if made != nil {
			return nil, fmt.Errorf("scratch: %w", made)
		}
		d := &Dir{path: path}
		if d.held, err = hold(path); err == nil {
			return d, nil
		}
		err = fmt.Errorf("scratch: hold %s: %w", path, err)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.RemoveAll(path))
		}
	}
	return nil, err
}

// hold takes the lock, or returns EWOULDBLOCK at once where somebody else has it, and ErrNotExist where it was removed by
// who had it.
func hold(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	locked, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if there, err := os.Lstat(path); err != nil || !os.SameFile(there, locked) {
		return nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return f, nil
}

// Path is where the directory is; "" of none.
func (d *Dir) Path() string {
	if d == nil {
		return ""
	}
	return d.path
}

// Note says that the lab is about to make something elsewhere. It returns when a kill of the lab cannot undo the note.
func (d *Dir) Note(e Elsewhere) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(d.path, notes), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	return nil
}

// Elsewhere reads the notes of a lab. A last line that it did not finish is of something that it did not make.
func (d *Dir) Elsewhere() ([]Elsewhere, error) {
	f, err := os.Open(filepath.Join(d.path, notes))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	defer f.Close()
	var all []Elsewhere
	for lines := json.NewDecoder(f); ; {
		var e Elsewhere
		if lines.Decode(&e) != nil {
			return all, nil
		}
		all = append(all, e)
	}
}

// Close removes the directory. Without one, or the second time, there is nothing to do.
func (d *Dir) Close() error {
	if d == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(d.path), d.Release())
}

// Release lets go of the directory and leaves it there, for who looks later.
func (d *Dir) Release() error {
	if err := d.held.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// InUse reads the notes of labs that go on. Those of other users are not seen.
func InUse() (all []Elsewhere, err error) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	for _, path := range found {
		if held, err := hold(path); err == nil {
			if err := held.Close(); err != nil {
				return nil, fmt.Errorf("scratch: %w", err)
			}
			continue
		} else if !errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		noted, err := (&Dir{path: path}).Elsewhere()
		if err != nil {
			return nil, err
		}
		all = append(all, noted...)
	}
	return all, nil
}

// Abandoned takes the directories of labs that are gone. The caller holds them now, and closes each, or releases it. Those
// of a lab that runs stay with it, and so do those of other users.
func Abandoned() (gone []*Dir, err error) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	var errs []error
	for _, path := range found {
		if info, err := os.Lstat(path); err != nil || !info.IsDir() { // gone by now, or not made by a lab
			continue
		}
		held, err := hold(path)
		switch {
		case err == nil:
			gone = append(gone, &Dir{path: path, held: held})
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("scratch: %w", err))
		}
	}
	return gone, errors.Join(errs...)
}
