// Package vfs is the file system as a log sees it: a file's bytes are durable after File.Sync, a
// directory's names are durable after FS.SyncDir, and nothing is durable before. OS is the real one.
// Mem keeps these promises and no others: its Crash takes away, sector by sector and name by name,
// what was never synced. Hook stands before either and can fail or observe each step.
package vfs

import (
	"errors"
	"io"
)

// ErrLocked says that another owner, of this process or another, holds the lock.
var ErrLocked = errors.New("vfs: locked by another owner")

// FS is the part of a file system that the log uses. Paths are those of path/filepath. Errors satisfy
// errors.Is with fs.ErrNotExist, fs.ErrExist and fs.ErrPermission as those of package os do.
type FS interface {
	// Create makes a new file, and refuses a name that exists.
	Create(name string) (File, error)
	// Open opens an existing file to read; OpenWrite to read and write.
	Open(name string) (File, error)
	OpenWrite(name string) (File, error)
	// Rename replaces newName. A crash leaves the old name or the new one, never neither.
	Rename(oldName, newName string) error
	Remove(name string) error
	// List returns the sorted names in a directory.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory and its parents, and makes their names durable.
	MkdirAll(dir string) error
	// SyncDir makes the creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Lock takes the lock file, makes it if need be, and holds it until Close or the end of the
	// process. It never waits: ErrLocked says that somebody else has it.
	Lock(name string) (io.Closer, error)
	// Locked reports whether anybody holds the lock now. It changes nothing.
	Locked(name string) (bool, error)
}

// File is an open file. io.NewOffsetWriter and io.NewSectionReader make streams of it.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the file's bytes and size durable. After an error nobody knows what is on disk, and a
	// second try that succeeds proves nothing (ATC'20, "Can applications recover from fsync failures?").
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}
