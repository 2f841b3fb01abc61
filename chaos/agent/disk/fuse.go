//go:build linux

package disk

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or a directory of the mount. What it does not override goes to the directory below as it is.
type node struct {
	fs.LoopbackNode
	disk *Disk
}

// root makes the mount's root node.
func (d *Disk) root() (fs.InodeEmbedder, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(d.Files(), &st); err != nil {
		return nil, err
	}
	r := &fs.LoopbackRoot{Path: d.Files(), Dev: uint64(st.Dev)}
	r.NewNode = func(r *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &node{fs.LoopbackNode{RootData: r}, d}
	}
	return &node{fs.LoopbackNode{RootData: r}, d}, nil
}

// mount shows the disk at a directory. shared lets other users than this one in.
func (d *Disk) mount(at string, shared bool) (*fuse.Server, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	return fs.Mount(at, root, &fs.Options{MountOptions: fuse.MountOptions{
		AllowOther: shared, FsName: "raftlab-disk", Name: "raftlab",
		DirectMountStrict: true, // no fusermount in an empty image
		DisableXAttrs:     true, // else each write asks for one first
		MaxWrite:          1 << 20,
	}})
}

func (n *node) where() string { return filepath.Join(n.RootData.Path, n.Path(n.Root())) }

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	path := filepath.Join(n.where(), name)
	var f *os.File
	var err error
	if _, missing := os.Lstat(path); missing == nil {
		f, err = os.OpenFile(path, readable(flags), 0)
	} else {
		err = n.disk.Made(n.where(), name, func() (err error) {
			f, err = os.OpenFile(path, readable(flags)|os.O_CREATE, os.FileMode(mode))
			return err
		})
	}
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	if caller, ok := fuse.FromContext(ctx); ok && os.Getuid() == 0 {
		_ = f.Chown(int(caller.Uid), int(caller.Gid))
	}
	child, failed := n.Lookup(ctx, name, out)
	if failed != 0 {
		f.Close()
		return nil, nil, 0, failed
	}
	return child, &handle{f, n.disk}, 0, 0
}

// readable are the flags of open(2) for a file that is written: what it holds is read before it changes.
func readable(flags uint32) int {
	flags &^= syscall.O_APPEND | syscall.O_TRUNC | fuse.FMODE_EXEC | syscall.O_DIRECT
	if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		flags = flags&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	return int(flags)
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, err := os.OpenFile(n.where(), readable(flags), 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	if flags&syscall.O_TRUNC != 0 {
		if err := n.disk.Truncate(f, 0); err != nil {
			f.Close()
			return nil, 0, fs.ToErrno(err)
		}
	}
	return &handle{f, n.disk}, 0, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (child *fs.Inode, failed syscall.Errno) {
	err := n.disk.Made(n.where(), name, func() error {
		child, failed = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		if failed != 0 {
			return failed
		}
		return nil
	})
	return child, fs.ToErrno(err)
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return fs.ToErrno(n.disk.Remove(n.where(), name))
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return fs.ToErrno(n.disk.Remove(n.where(), name))
}

func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok || flags != 0 {
		return syscall.ENOTSUP
	}
	return fs.ToErrno(n.disk.Rename(n.where(), name, to.where(), newName))
}

// Setattr changes sizes through the disk.
func (n *node) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		f, close, err := n.opened(h)
		if err != nil {
			return fs.ToErrno(err)
		}
		defer close()
		if err := n.disk.Truncate(f, int64(size)); err != nil {
			return fs.ToErrno(err)
		}
		in.Valid &^= fuse.FATTR_SIZE
	}
	if own, ok := h.(*handle); ok {
		return own.Getattr(ctx, out) // times and modes of an open file are not kept
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

func (n *node) opened(h fs.FileHandle) (*os.File, func(), error) {
	if own, ok := h.(*handle); ok {
		return own.file, func() {}, nil
	}
	f, err := os.OpenFile(n.where(), os.O_RDWR, 0)
	return f, func() { f.Close() }, err
}

// Hard and symbolic links and special files have no place in the model.
func (n *node) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (n *node) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (n *node) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	stream, failed := fs.NewLoopbackDirStream(n.where())
	if failed != 0 {
		return nil, 0, failed
	}
	return &dirHandle{stream.(directory), n}, 0, 0
}

type directory interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

// dirHandle is an open directory.
type dirHandle struct {
	directory
	node *node
}

func (h *dirHandle) Fsyncdir(context.Context, uint32) syscall.Errno {
	return fs.ToErrno(h.node.disk.SyncDir(h.node.where()))
}

// handle is an open file.
type handle struct {
	file *os.File
	disk *Disk
}

func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultFd(h.file.Fd(), off, len(dest)), 0
}

func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	n, err := h.disk.Write(h.file, data, off)
	return uint32(n), fs.ToErrno(err)
}

func (h *handle) Fsync(context.Context, uint32) syscall.Errno {
	return fs.ToErrno(h.disk.Sync(h.file))
}

func (h *handle) Flush(context.Context) syscall.Errno { return 0 }

func (h *handle) Release(context.Context) syscall.Errno { return fs.ToErrno(h.file.Close()) }

func (h *handle) Getattr(_ context.Context, out *fuse.AttrOut) syscall.Errno {
	st, err := stat(h.file)
	if err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}
