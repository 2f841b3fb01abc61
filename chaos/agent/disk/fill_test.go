//go:build linux

package disk

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"raftlab/harness/diskfault"
	"raftlab/internal/needs"
)

func TestATmpfsIsFilledToTheLastByteAndEmptiedAgain(t *testing.T) {
	back := t.TempDir()
	needs.Machine(t, unix.Mount("tmpfs", back, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { must(t, unix.Unmount(back, unix.MNT_DETACH)) })
	d, err := Open(back)
	must(t, err)
	f := d.create(t, "log")
	d.write(t, f, "text", 0)
	must(t, d.Set(diskfault.Faults{Filled: true}))
	if room := d.Counters().Room; room != 0 {
		t.Errorf("%d bytes are left", room)
	}
	d.write(t, f, "more in the page that is there", 4)
	if _, err := d.Write(f, bytes.Repeat([]byte("y"), 8192), 8192); err != syscall.ENOSPC && !strings.Contains(err.Error(), "no space") {
		t.Errorf("a write without room: %v", err)
	}
	if c := d.Counters(); c.Refused != 1 {
		t.Errorf("%+v", c)
	}
	if again, err := Open(back); err != nil || again.Counters().Room == 0 { // as after a kill
		t.Errorf("its ballast outlives a disk: %v", err)
	}
	must(t, d.Set(diskfault.Faults{Filled: true}))
	must(t, d.Save()) // there is room for what it counted
	must(t, d.Set(diskfault.Faults{}))
	d.write(t, f, strings.Repeat("y", 8192), 8192)
}

func TestOnlyATmpfsIsFilled(t *testing.T) {
	d := open(t)
	var below unix.Statfs_t
	must(t, unix.Statfs(d.back, &below))
	if below.Type == unix.TMPFS_MAGIC {
		t.Skip("the directory for temporary files is a tmpfs: filling it would disturb others")
	}
	if err := d.Set(diskfault.Faults{Filled: true}); err == nil || !strings.Contains(err.Error(), "only a tmpfs") {
		t.Error(err)
	}
	if d.faults.Filled {
		t.Error("it thinks it is full")
	}
}
