//go:build linux

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"raftlab/harness/diskfault"
)

// Check returns nil if a disk can be put under a member here, else an error that wraps ErrUnsupported and says what lacks. It
// mounts one below dir, writes through it and takes it away again.
func Check(dir string) error {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return explain(err)
	}
	fuse.Close()
	back, mount := filepath.Join(dir, "back"), filepath.Join(dir, "mount")
	if err := errors.Join(os.MkdirAll(back, 0o755), os.MkdirAll(mount, 0o755)); err != nil {
		return fmt.Errorf("disk: check: %w", err)
	}
	d, err := Open(back)
	if err != nil {
		return fmt.Errorf("disk: check: %w", err)
	}
	server, err := d.mount(mount, false)
	if err != nil {
		return explain(err)
	}
	err = writeThrough(filepath.Join(mount, "file"))
	if unmounted := server.Unmount(); err != nil || unmounted != nil {
		return fmt.Errorf("disk: check: %w", errors.Join(err, unmounted))
	}
	if c := d.Counters(); c.Written == 0 || c.Syncs == 0 {
		return fmt.Errorf("disk: check: what was written did not go through the disk: %+v", c)
	}
	return nil
}

func writeThrough(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteString("through")
	return errors.Join(err, f.Sync(), f.Close())
}

// explain says what lacks where no disk can be mounted.
func explain(err error) error {
	lacks := "mount"
	switch _, missing := os.Stat("/dev/fuse"); {
	case errors.Is(missing, os.ErrNotExist):
		lacks = "there is no /dev/fuse (modprobe fuse; a container must be given the device)"
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		lacks = "it takes CAP_SYS_ADMIN, the device /dev/fuse, and a security profile that lets mount(2) be called"
	}
	return fmt.Errorf("%w: %s: %w", ErrUnsupported, lacks, err)
}

func exitOf(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUnsupported):
		return diskfault.ExitUnsupported
	}
	return 1
}
