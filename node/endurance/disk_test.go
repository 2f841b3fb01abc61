//go:build linux

package endurance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/internal/needs"
)

// Another program fills the disk of one member, then that of the leader. Each is a small tmpfs of its own, so that the
// disk is truly full. The others go on, nothing acknowledged is lost, and who had no room recovers when there is some.
func TestAFullDiskStopsNobodyElse(t *testing.T) {
	if world := os.Getenv("RAFTLAB_WORLD"); world != "" && world != "process" {
		t.Skip("disks are filled in the process world: run it without RAFTLAB_WORLD")
	}
	dir := t.TempDir()
	disks := map[string]string{}
	for _, node := range []string{"n1", "n2", "n3"} {
		disks[node] = filepath.Join(dir, node, "data")
		mount(t, disks[node])
	}
	w := start(t, demand{nodes: 3, clients: 8, rate: 400, dir: dir})
	w.served(50)
	leader, _, err := harness.AwaitLeader(within(t, 10*time.Second), w, w.system)
	w.must(err)
	var follower string
	for _, node := range harness.Names(w) {
		if node != leader {
			follower = node
		}
	}
	w.fill(follower, disks[follower])
	w.fill(leader, disks[leader])
	w.settle()
}

// fill takes all room from a member until clients were served without it, and gives it back.
func (w *world) fill(node, disk string) {
	w.t.Helper()
	began := time.Now()
	written := exhaust(w.t, filepath.Join(disk, "ballast"))
	before := w.status(node).Applied
	// The log has room of its own, in blocks that it took before: it is used up first.
	w.eventually(30*time.Second, func() (bool, string) {
		w.put("big", make([]byte, 512<<10))
		failed := w.metric(node, "raft_disk_failed")
		return failed == 1, fmt.Sprintf("%s does not say that its disk is full", node)
	})
	w.served(100)
	leader, _, err := harness.AwaitLeader(within(w.t, 10*time.Second), w, w.system)
	w.must(err)
	w.t.Logf("%s had no room (%d KiB taken) from entry %d on; %s leads, clients were served after %v", node, written>>10, before, leader, time.Since(began).Round(time.Millisecond))
	w.must(os.Remove(filepath.Join(disk, "ballast")))
	began = time.Now()
	w.eventually(20*time.Second, func() (bool, string) {
		return w.metric(node, "raft_disk_failed") == 0, node + " has room, and says still that it has none"
	})
	target := w.status(leader).Applied
	w.eventually(20*time.Second, func() (bool, string) {
		now := w.status(node).Applied
		return now >= target, fmt.Sprintf("%s has applied %d of %d", node, now, target)
	})
	w.t.Logf("%s was level again %v after it had room", node, time.Since(began).Round(time.Millisecond))
	w.served(50)
}

const diskBytes = 64 << 20

// mount needs root.
func mount(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", diskBytes)); err != nil {
		needs.Machine(t, fmt.Errorf("a small disk cannot be mounted (%w): run it as root, with CAP_SYS_ADMIN", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// exhaust writes until nothing more fits.
func exhaust(t *testing.T, path string) (written int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		n, err := f.Write(make([]byte, size))
		written += int64(n)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	return written
}
