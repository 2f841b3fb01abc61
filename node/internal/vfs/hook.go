package vfs

import (
	"errors"
	"fmt"
	"io"
)

// Op names one step that changes a file system, or makes a change durable.
type Op string

// The steps that a Hook sees.
const (
	OpCreate   Op = "create"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpMkdir    Op = "mkdir"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpTruncate Op = "truncate"
)

// ShortWrite is what a Hook's Before may return for OpWrite: the first N bytes are written, and then the
// step fails with Err.
type ShortWrite struct {
	N   int
	Err error
}

func (e *ShortWrite) Error() string { return fmt.Sprintf("%v after %d bytes", e.Err, e.N) }

// Unwrap returns Err.
func (e *ShortWrite) Unwrap() error { return e.Err }

// Hook calls Before ahead of every step that changes FS. If Before returns an error, the step is not
// taken and fails with that error: a full disk, a failed fsync, or the moment of a crash.
type Hook struct {
	FS
	Before func(op Op, name string) error
}

type hookFile struct {
	File
	name   string
	before func(Op, string) error
}

func (h Hook) file(f File, err error, name string) (File, error) {
	if err != nil {
		return nil, err
	}
	return hookFile{f, name, h.Before}, nil
}

// Create implements FS.
func (h Hook) Create(name string) (File, error) {
	if err := h.Before(OpCreate, name); err != nil {
		return nil, err
	}
	f, err := h.FS.Create(name)
	return h.file(f, err, name)
}

// OpenWrite implements FS.
func (h Hook) OpenWrite(name string) (File, error) {
	f, err := h.FS.OpenWrite(name)
	return h.file(f, err, name)
}

// Rename implements FS.
func (h Hook) Rename(oldName, newName string) error {
	if err := h.Before(OpRename, newName); err != nil {
		return err
	}
	return h.FS.Rename(oldName, newName)
}

// Remove implements FS.
func (h Hook) Remove(name string) error {
	if err := h.Before(OpRemove, name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

// MkdirAll implements FS.
func (h Hook) MkdirAll(dir string) error {
	if err := h.Before(OpMkdir, dir); err != nil {
		return err
	}
	return h.FS.MkdirAll(dir)
}

// SyncDir implements FS.
func (h Hook) SyncDir(dir string) error {
	if err := h.Before(OpSyncDir, dir); err != nil {
		return err
	}
	return h.FS.SyncDir(dir)
}

// Lock implements FS.
func (h Hook) Lock(name string) (io.Closer, error) {
	if err := h.Before(OpLock, name); err != nil {
		return nil, err
	}
	return h.FS.Lock(name)
}

func (f hookFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.before(OpWrite, f.name); err != nil {
		var short *ShortWrite
		if !errors.As(err, &short) {
			return 0, err
		}
		n, failed := f.File.WriteAt(b[:min(short.N, len(b))], off)
		return n, errors.Join(err, failed)
	}
	return f.File.WriteAt(b, off)
}

func (f hookFile) Sync() error {
	if err := f.before(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f hookFile) Truncate(size int64) error {
	if err := f.before(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
