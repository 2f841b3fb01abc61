//go:build linux

package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/harness/diskfault"
)

// These tests use the disk without a mount: what FUSE adds is the way there.

func open(t *testing.T) *Disk {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Disk) create(t *testing.T, name string) *os.File {
	t.Helper()
	var f *os.File
	must(t, d.Made(d.Files(), name, func() (err error) {
		f, err = os.Create(filepath.Join(d.Files(), name))
		return err
	}))
	t.Cleanup(func() { f.Close() })
	return f
}

// awaitHeld returns when so many fsyncs are held.
func (d *Disk) awaitHeld(t *testing.T, n uint64) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); d.Counters().HeldNow < n; <-time.After(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("want %d fsyncs held: %+v", n, d.Counters())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *Disk) write(t *testing.T, f *os.File, text string, off int64) {
	t.Helper()
	if n, err := d.Write(f, []byte(text), off); err != nil || n != len(text) {
		t.Fatalf("wrote %d: %v", n, err)
	}
}

func (d *Disk) expect(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(d.Files(), name))
	if err != nil || string(got) != want {
		t.Fatalf("%s holds %.80q (%v), want %.80q", name, got, err, want)
	}
}

func TestAPowerCutTakesWhatWasNotSyncedAndNothingElse(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	d.write(t, f, "durable", 0)
	must(t, d.Sync(f))
	must(t, d.SyncDir(d.Files()))
	d.write(t, f, "DURABLE, and more"+strings.Repeat("x", 2000), 0)
	must(t, d.Truncate(f, 3))
	d.create(t, "never named")
	must(t, d.Rename(d.Files(), "log", d.Files(), "renamed"))
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	d.expect(t, "log", "durable")
	if names, _ := os.ReadDir(d.Files()); len(names) != 1 {
		t.Errorf("there are %v", names)
	}
	if c := d.Counters(); c.Lost == 0 || c.LostSec == 0 || c.LostNames != 2 || c.Cuts != 1 || c.KeptSec != 0 {
		t.Errorf("%+v", c)
	}
}

func TestTheEndOfAProcessLosesNothing(t *testing.T) {
	d := open(t)
	d.write(t, d.create(t, "log"), "written", 0)
	must(t, d.Cut(diskfault.PowerCut{Keep: "all"}))
	d.expect(t, "log", "written")
}

func TestARemovedFileComesBackUnlessItsDirectoryWasSynced(t *testing.T) {
	for _, synced := range []bool{false, true} {
		d := open(t)
		f, g := d.create(t, "old"), d.create(t, "replaced")
		d.write(t, f, "old", 0)
		d.write(t, g, "replaced", 0)
		must(t, d.Sync(f))
		must(t, d.Sync(g))
		must(t, d.SyncDir(d.Files()))
		must(t, d.Rename(d.Files(), "old", d.Files(), "replaced"))
		if synced {
			must(t, d.SyncDir(d.Files()))
		}
		must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
		if synced {
			d.expect(t, "replaced", "old")
		} else {
			d.expect(t, "replaced", "replaced")
			d.expect(t, "old", "old")
		}
	}
}

// Some sectors of one write arrive and some do not, and each is whole.
func TestATornWriteKeepsWholeSectors(t *testing.T) {
	met := map[bool]int{}
	for seed := range uint64(30) {
		d := open(t)
		f := d.create(t, "log")
		d.write(t, f, strings.Repeat("a", 8*SectorSize), 0)
		must(t, d.Sync(f))
		must(t, d.SyncDir(d.Files()))
		d.write(t, f, strings.Repeat("b", 6*SectorSize), SectorSize)
		must(t, d.Cut(diskfault.PowerCut{Keep: "some", Seed: seed}))
		data, err := os.ReadFile(filepath.Join(d.Files(), "log"))
		must(t, err)
		for s := range 8 {
			sector := data[s*SectorSize : (s+1)*SectorSize]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], SectorSize)) {
				t.Fatalf("seed %d: sector %d is torn in itself", seed, s)
			}
			if s >= 1 && s < 7 {
				met[sector[0] == 'b']++
			}
		}
		if c := d.Counters(); c.KeptSec == 0 || c.LostSec == 0 || c.KeptSec+c.LostSec != 6 {
			t.Fatalf("seed %d: %+v", seed, c)
		}
	}
	if met[true] == 0 || met[false] == 0 {
		t.Fatal(met)
	}
}

// After an fsync that failed, one that succeeds proves nothing (ATC'20); writing again does.
func TestAFailedSyncIsNotMendedByTheNextOne(t *testing.T) {
	for _, again := range []bool{false, true} {
		d := open(t)
		f := d.create(t, "log")
		must(t, d.SyncDir(d.Files()))
		d.write(t, f, "text", 0)
		must(t, d.Set(diskfault.Faults{SyncError: "EIO"}))
		if err := d.Sync(f); err != syscall.EIO {
			t.Fatal(err)
		}
		must(t, d.Set(diskfault.Faults{}))
		if again {
			d.write(t, f, "text", 0)
		}
		must(t, d.Sync(f))
		must(t, d.Cut(diskfault.PowerCut{Keep: "some"}))
		if data, err := os.ReadFile(filepath.Join(d.Files(), "log")); err != nil || strings.Contains(string(data), "text") != again {
			t.Fatalf("written again: %v; found %q, %v", again, data, err)
		}
	}
}

func TestAHungSyncEndsWithTheFaultAndADelayedOneLater(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	d.write(t, f, "text", 0)
	must(t, d.Set(diskfault.Faults{SyncHang: true}))
	done := make(chan error, 1)
	go func() { done <- d.Sync(f) }()
	d.awaitHeld(t, 1)
	select {
	case err := <-done:
		t.Fatalf("it came back: %v", err)
	default:
	}
	must(t, d.Set(diskfault.Faults{}))
	must(t, <-done)
	must(t, d.Set(diskfault.Faults{SyncDelay: 30 * time.Millisecond}))
	began := time.Now()
	must(t, d.Sync(f))
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if c := d.Counters(); c.Held != 2 || c.HeldNow != 0 || c.HeldMost < int64(30*time.Millisecond) {
		t.Errorf("%+v", c)
	}
}

// What was written while an fsync was on its way is not what it made durable.
func TestASyncCoversWhatWasWrittenBeforeIt(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	must(t, d.SyncDir(d.Files()))
	d.write(t, f, "one", 0)
	must(t, d.Set(diskfault.Faults{SyncHang: true}))
	done := make(chan error, 1)
	go func() { done <- d.Sync(f) }()
	d.awaitHeld(t, 1)
	d.write(t, f, "two", 0)
	must(t, d.Set(diskfault.Faults{}))
	must(t, <-done)
	must(t, d.Cut(diskfault.PowerCut{Keep: "none"}))
	d.expect(t, "log", "one")
}

func TestAFullDiskTakesOnlyWhatNeedsNoBlock(t *testing.T) {
	d := open(t)
	f := d.create(t, "log")
	d.write(t, f, strings.Repeat("x", 100)+strings.Repeat("\x00", 3*blockSize), 0)
	must(t, d.Set(diskfault.Faults{Full: true}))
	d.write(t, f, "in the block that is there", 200)
	d.write(t, f, strings.Repeat("\x00", blockSize), 2*blockSize)
	if n, err := d.Write(f, bytes.Repeat([]byte("y"), blockSize), blockSize-10); n != 10 || err != nil {
		t.Errorf("wrote %d: %v", n, err) // a short write, as a kernel does
	}
	if n, err := d.Write(f, []byte("y"), blockSize); n != 0 || err != syscall.ENOSPC {
		t.Errorf("wrote %d: %v", n, err)
	}
	if err := d.Made(d.Files(), "new", func() error { return nil }); err != syscall.ENOSPC {
		t.Error(err)
	}
	if c := d.Counters(); c.Refused != 3 {
		t.Errorf("%+v", c)
	}
	must(t, d.Set(diskfault.Faults{}))
	d.write(t, f, "y", blockSize)
}

func TestOneBitFlipsAndIsNamed(t *testing.T) {
	d := open(t)
	f := d.create(t, "a.wal")
	d.write(t, f, "text", 100)
	d.write(t, d.create(t, "other"), "text", 0)
	must(t, d.Cut(diskfault.PowerCut{Keep: "all", Seed: 5, Flip: 1, In: ".wal"}))
	c := d.Counters()
	if c.Flipped != 1 || len(c.Flips) != 1 || c.Flips[0].File != "a.wal" || c.Flips[0].Offset < 100 {
		t.Fatalf("%+v", c)
	}
	data, err := os.ReadFile(filepath.Join(d.Files(), "a.wal"))
	must(t, err)
	data[c.Flips[0].Offset] ^= 1 << c.Flips[0].Bit
	if string(data[100:]) != "text" {
		t.Errorf("%q", data)
	}
	must(t, d.Save())
	if saved, err := readCounters(d.back); err != nil || saved.Flipped != 1 {
		t.Error(saved, err)
	}
}
