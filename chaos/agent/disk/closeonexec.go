//go:build linux

package disk

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// closeOnExec keeps /dev/fuse from the program. go-fuse opens it for a direct mount without that flag, and a program that
// holds it open itself keeps the connection alive: when the layer is killed, the kernel would wait for an answer for ever, and
// the program could not even die.
func closeOnExec() error {
	const dir = "/proc/self/fd"
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		to, err := os.Readlink(filepath.Join(dir, f.Name()))
		if fd, bad := strconv.Atoi(f.Name()); err == nil && bad == nil && to == "/dev/fuse" {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}
