package kvdtest

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
)

// DiskWorld is a world whose members' disks can be broken.
type DiskWorld interface {
	World
	harness.Disker
}

// Disks checks what a world promises whose members were started on disks that can be broken: that a disk does to its member
// what it is told, that its counters show it, that it can be undone, and that the member does not notice otherwise. start
// makes a cluster of kvd, which syncs each write before it answers, and ends where its disk refuses one.
func Disks(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	t.Run("a power cut takes what was not synced and nothing else", func(t *testing.T) { cutPower(t, start) })
	t.Run("a kill loses nothing and signals reach the member", func(t *testing.T) { killAboveDisk(t, start) })
	t.Run("a hung fsync comes back when it is over", func(t *testing.T) { hang(t, start) })
	t.Run("ENOSPC and EIO reach the member and are counted", func(t *testing.T) { refuse(t, start) })
	t.Run("a bit flips at rest and is named", func(t *testing.T) { flip(t, start) })
}

func counters(t *testing.T, c DiskWorld, node string) harness.DiskCounters {
	t.Helper()
	read, err := c.DiskCounters(t.Context(), node)
	do(t, err)
	return read
}

// put must succeed.
func put(t *testing.T, c DiskWorld, value string) {
	t.Helper()
	if code, body := Call(t, c, "n1", "PUT", "/k", value, answers); code != 200 {
		t.Fatalf("put %.20q: %d %s", value, code, body)
	}
}

// holds starts n1 again and reads what it has.
func holds(t *testing.T, c DiskWorld, system *System, want string) {
	t.Helper()
	do(t, c.Start(t.Context(), "n1"))
	do(t, harness.AwaitReady(Deadline(t, 10*time.Second), c, system))
	if code, body := Call(t, c, "n1", "GET", "/k", "", answers); code != 200 || body != want {
		t.Fatalf("n1 has %d %.80q, want %q", code, body, want)
	}
}

// ends waits until n1 has, and returns its exit code.
func ends(t *testing.T, c DiskWorld) int {
	t.Helper()
	for deadline := time.Now().Add(answers); ; <-time.After(5 * time.Millisecond) {
		if p := probe(t, c, "n1"); p.State == harness.Exited {
			return p.Exit
		}
		if time.Now().After(deadline) {
			t.Fatal("n1 does not end")
		}
	}
}

func cutPower(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	c, system := start(t, 2)
	do(t, c.Disks())
	put(t, c, "durable")
	do(t, c.SetDisk(t.Context(), "n1", harness.Disk{SyncHang: true}))
	if code, body := Call(t, c, "n1", "PUT", "/k", "never synced", silent); code != -1 {
		t.Fatalf("put on a hung disk: %d %s", code, body)
	}
	before := counters(t, c, "n1")
	if before.Unsynced == 0 || before.HeldNow != 1 || before.Lost != 0 {
		t.Fatalf("before the cut: %+v", before)
	}
	do(t, c.CutPower(t.Context(), []string{"n1"}, harness.PowerCut{Keep: "none"}))
	if exit := ends(t, c); exit != 128+int(syscall.SIGKILL) {
		t.Fatalf("n1 ended with %d", exit)
	}
	for range 2 { // from what was saved, and then from a disk that was mounted again
		if c := counters(t, c, "n1"); c.Cuts != 1 || c.Lost == 0 || c.LostSec == 0 || c.KeptSec != 0 {
			t.Fatalf("after the cut: %+v", c)
		}
		if probe(t, c, "n1").State == harness.Exited {
			holds(t, c, system, "durable")
		}
	}
	put(t, c, "again")
	if err := c.CutPower(t.Context(), []string{"n1"}, harness.PowerCut{Keep: "nothing"}); err == nil || !strings.Contains(err.Error(), "none, some and all") {
		t.Errorf("a cut that nobody knows: %v", err)
	}
}

func killAboveDisk(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	c, system := start(t, 1)
	put(t, c, "v1")
	do(t, c.Kill(t.Context(), "n1", syscall.SIGKILL))
	if exit := ends(t, c); exit != 128+int(syscall.SIGKILL) {
		t.Errorf("SIGKILL: it ended with %d", exit)
	}
	holds(t, c, system, "v1")
	put(t, c, "v2")
	do(t, c.Kill(t.Context(), "n1", syscall.SIGTERM))
	if exit := ends(t, c); exit != 0 {
		t.Errorf("SIGTERM: it ended with %d, and kvd ends with 0", exit)
	}
	if saved := counters(t, c, "n1"); saved.Syncs == 0 {
		t.Errorf("after an orderly end: %+v", saved)
	}
	holds(t, c, system, "v2")
	do(t, c.Pause(t.Context(), "n1"))
	if code, body := Call(t, c, "n1", "GET", "/k", "", silent); code != -1 {
		t.Errorf("a paused member answered %d %s", code, body)
	}
	do(t, c.Resume(t.Context(), "n1"))
	put(t, c, "v3")
}

func hang(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	c, _ := start(t, 1)
	put(t, c, "v1")
	do(t, c.SetDisk(t.Context(), "n1", harness.Disk{SyncHang: true}))
	done := make(chan int, 1)
	go func() {
		code, _ := Call(t, c, "n1", "PUT", "/k", "v2", 2*answers)
		done <- code
	}()
	for deadline := time.Now().Add(answers); counters(t, c, "n1").HeldNow == 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no fsync is held")
		}
	}
	do(t, c.SetDisk(t.Context(), "n1", harness.Disk{}))
	if code := <-done; code != 200 {
		t.Fatalf("put: %d", code)
	}
	do(t, c.SetDisk(t.Context(), "n1", harness.Disk{SyncDelay: 100 * time.Millisecond}))
	began := time.Now()
	put(t, c, "v3")
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("a slow fsync took %v", took)
	}
	if c := counters(t, c, "n1"); c.Held != 2 || c.HeldNow != 0 || c.HeldMost < int64(100*time.Millisecond) {
		t.Errorf("%+v", c)
	}
}

func refuse(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	c, system := start(t, 1)
	put(t, c, "v1")
	for _, broken := range []struct {
		disk  harness.Disk
		value string
		count func(harness.DiskCounters) uint64
	}{
		{harness.Disk{Full: true}, strings.Repeat("x", 10_000), func(c harness.DiskCounters) uint64 { return c.Refused }},
		{harness.Disk{SyncError: "EIO"}, "v2", func(c harness.DiskCounters) uint64 { return c.Failed }},
		{harness.Disk{WriteError: "EIO"}, "v2", func(c harness.DiskCounters) uint64 { return c.Failed }},
	} {
		before := counters(t, c, "n1")
		do(t, c.SetDisk(t.Context(), "n1", broken.disk))
		if code, body := Call(t, c, "n1", "PUT", "/other", broken.value, answers); code == 200 {
			t.Fatalf("%+v: put: %d %s", broken.disk, code, body)
		}
		if exit := ends(t, c); exit != 1 {
			t.Fatalf("%+v: kvd ended with %d", broken.disk, exit)
		}
		if after := counters(t, c, "n1"); broken.count(after) == broken.count(before) {
			t.Errorf("%+v: nothing was counted: %+v", broken.disk, after)
		}
		holds(t, c, system, "v1")
	}
	if err := c.SetDisk(t.Context(), "n1", harness.Disk{SyncError: "EWHAT"}); err == nil || !strings.Contains(err.Error(), "EWHAT") {
		t.Errorf("an error that nobody knows: %v", err)
	}
}

func flip(t *testing.T, start func(t *testing.T, nodes int) (DiskWorld, *System)) {
	c, _ := start(t, 1)
	put(t, c, "v1")
	do(t, c.CutPower(t.Context(), []string{"n1"}, harness.PowerCut{Keep: "all", Flip: 1}))
	if c := counters(t, c, "n1"); c.Flipped != 1 || len(c.Flips) != 1 || c.Flips[0].File != "log" || c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}
