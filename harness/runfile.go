package harness

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"raftlab/linearizability"
)

// HistoryFile is the name of the history in a run directory.
const HistoryFile = "history.jsonl"

// ErrNotFile is wrapped by what OpenFile returns where something is there that no lab has written.
var ErrNotFile = errors.New("it is no file of a run")

// OpenFile opens a file of a run directory to be read: a regular file that is in that directory. Whoever reads one goes through here,
// for directories are brought from elsewhere: a named pipe in the place of a file would keep its reader waiting for ever, and
// a link could show any file of this machine as a part of the run. The error is a fs.PathError.
func OpenFile(dir, name string) (*os.File, error) {
	root, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	path := filepath.Join(dir, name)
	// A file that is no regular one may do something when it is opened, or not return. What takes its place after this is seen below.
	if info, err := root.Stat(name); err != nil {
		return nil, refused(path, err)
	} else if err := regular(path, info); err != nil {
		return nil, err
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, refused(path, err)
	}
	info, err := file.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ReadFile reads all of a file that OpenFile opens.
func ReadFile(dir, name string) ([]byte, error) {
	file, err := OpenFile(dir, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// ReadHistory reads the history of a run directory.
func ReadHistory(dir string) (linearizability.History, error) {
	file, err := OpenFile(dir, HistoryFile)
	if err != nil {
		return linearizability.History{}, fmt.Errorf("harness: open history: %w", err)
	}
	defer file.Close()
	h, err := linearizability.Read(file)
	if err != nil {
		return linearizability.History{}, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return h, nil
}

// ReplaceFile writes a file of a run directory by renaming it into place: a reader sees the old file or the new one, never a part. What
// is in the place of either is replaced, and not followed.
func ReplaceFile(dir, name string, data []byte) error {
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	fresh := name + ".new"
	if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return root.Rename(fresh, name)
}

// openRoot is os.OpenRoot, which would wait for a writer where dir is a named pipe.
func openRoot(dir string) (*os.Root, error) {
	dir = filepath.Clean(dir) // "" is here
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	return os.OpenRoot(dir)
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	what := "something else than a regular file"
	for mode, is := range map[fs.FileMode]string{fs.ModeNamedPipe: "a named pipe", fs.ModeDir: "a directory", fs.ModeSocket: "a socket", fs.ModeDevice: "a device"} {
		if info.Mode()&mode != 0 {
			what = is
		}
	}
	return notFile(path, what)
}

// refused tells a link that leads out of the directory from what is only not there.
func refused(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && at.Err.Error() == "path escapes from parent" { // package os has no name for it
		return notFile(path, "a link out of the run directory")
	}
	return err
}

func notFile(path, what string) error {
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w, but %s; remove it, or take the file from where the run was made", ErrNotFile, what)}
}
