//go:build linux

package disk

import (
	"testing"
	"time"

	"raftlab/harness/diskfault"
)

// What a kernel has written back is durable without an fsync; what came later is not, and an fsync of it never comes back.
func TestAStalledDiskLosesWhatCameAfterItWroteBack(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	d.write(t, f, "old", 0)
	must(t, d.Stall(true))
	for _, sync := range []func() error{func() error { return d.Sync(f) }, func() error { return d.SyncDir(d.Files()) }} {
		done := make(chan error, 1)
		go func() { done <- sync() }()
		select { // it has nothing to write
		case err := <-done:
			must(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("an fsync with nothing to write does not come back")
		}
	}
	d.write(t, f, "new", 0)
	d.create(t, "never named")
	done := make(chan error, 2)
	go func() { done <- d.Sync(f) }()
	go func() { done <- d.SyncDir(d.Files()) }()
	d.awaitHeld(t, 2)
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a held fsync succeeded when the power went")
		}
	}
	d.expect(t, "log", "old")
	if c := d.Counters(); c.WrittenBack != 1 || c.LostSec != 1 || c.LostNames != 1 {
		t.Errorf("%+v", c)
	}
}

func TestWithoutWritingBackAStalledDiskLosesAllThatWasNotSynced(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	must(t, d.SyncDir(d.Files()))
	d.write(t, f, "old", 0)
	must(t, d.Stall(false))
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	d.expect(t, "log", "")
}

// What an fsync could not write no kernel writes back.
func TestWritingBackDoesNotMendAFailedSync(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	must(t, d.SyncDir(d.Files()))
	d.write(t, f, "text", 0)
	must(t, d.Set(diskfault.Faults{SyncError: "EIO"}))
	if err := d.Sync(f); err == nil {
		t.Fatal("it succeeded")
	}
	must(t, d.Stall(true))
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	if c := d.Counters(); c.WrittenBack != 0 || c.LostSec != 1 {
		t.Errorf("%+v", c)
	}
}

func TestAUserIsFoundAsTheEngineFindsOne(t *testing.T) {
	for text, want := range map[string][2]int{"65532:65533": {65532, 65533}, "65532": {65532, 0}, "root": {0, 0}, "0:7": {0, 7}} {
		if uid, gid, err := identify(text); err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q is %d:%d, %v", text, uid, gid, err)
		}
	}
	for _, unknown := range []string{"nobody-knows-her", "0:nor-them"} {
		if _, _, err := identify(unknown); err == nil {
			t.Errorf("%q was found", unknown)
		}
	}
}

// Slow is what comes before a cut that tears: an fsync takes longer, and what is written meanwhile is dirty together.
func TestASlowDiskGathersWhatIsWrittenMeanwhile(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	must(t, d.SyncDir(d.Files()))
	d.Slow(time.Hour)
	done := make(chan error, 1)
	d.write(t, f, "first", 0)
	go func() { done <- d.Sync(f) }()
	d.awaitHeld(t, 1)
	d.write(t, f, "second", SectorSize)
	d.write(t, f, "third", 2*SectorSize)
	d.Slow(0)
	must(t, d.Stall(true))
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	<-done
	if c := d.Counters(); c.WrittenBack != 3 {
		t.Errorf("%+v", c)
	}
}
