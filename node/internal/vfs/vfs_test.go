package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys FS, name string, content string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	return f
}

func content(t testing.TB, fsys FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	size, err := f.Size()
	must(t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	must(t, err)
	return string(b)
}

// The same calls on both file systems: what the log may rely on in one, it finds in the other.
func TestOSAndMemAgree(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS{}, "mem": NewMem(), "hook": Hook{NewMem(), func(Op, string) error { return nil }}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			must(t, fsys.MkdirAll(dir))
			must(t, fsys.MkdirAll(dir))
			one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")

			if _, err := fsys.Open(one); !errors.Is(err, fs.ErrNotExist) {
				t.Error("open nothing:", err)
			}
			f := create(t, fsys, one, "hello")
			if _, err := fsys.Create(one); !errors.Is(err, fs.ErrExist) {
				t.Error("create twice:", err)
			}
			_, err := f.WriteAt([]byte("!"), 7) // a hole reads as zeros
			must(t, err)
			must(t, f.Sync())
			if got := content(t, fsys, one); got != "hello\x00\x00!" {
				t.Errorf("%q", got)
			}
			must(t, f.Truncate(4))
			must(t, f.Truncate(6))
			if got := content(t, fsys, one); got != "hell\x00\x00" {
				t.Errorf("%q", got)
			}
			b := make([]byte, 9)
			if n, err := f.ReadAt(b, 2); n != 4 || !errors.Is(err, io.EOF) {
				t.Error("short read:", n, err)
			}
			must(t, f.Close())
			if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrClosed) {
				t.Error("write after close:", err)
			}
			readOnly, err := fsys.Open(one)
			must(t, err)
			if _, err := readOnly.WriteAt([]byte("x"), 0); err == nil {
				t.Error("wrote to a file opened to read")
			}
			must(t, readOnly.Close())

			agreeOnNames(t, fsys, dir, one, two)
		})
	}
}

func agreeOnNames(t *testing.T, fsys FS, dir, one, two string) {
	t.Helper()
	must(t, create(t, fsys, two, "two").Close())
	must(t, fsys.Rename(one, two))
	must(t, fsys.SyncDir(dir))
	names, err := fsys.List(dir)
	if err != nil || !slices.Equal(names, []string{"two"}) || content(t, fsys, two) != "hell\x00\x00" {
		t.Error(names, err)
	}
	if names, err := fsys.List(filepath.Dir(dir)); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Error(names, err)
	}
	if err := fsys.MkdirAll(filepath.Join(two, "below")); err == nil {
		t.Error("made a directory below a file")
	}
	lock, err := fsys.Lock(filepath.Join(dir, "lock"))
	must(t, err)
	if _, err := fsys.Lock(filepath.Join(dir, "lock")); !errors.Is(err, ErrLocked) {
		t.Error("locked twice:", err)
	}
	if in, err := fsys.Locked(filepath.Join(dir, "lock")); err != nil || !in {
		t.Error("locked:", in, err)
	}
	must(t, lock.Close())
	for _, free := range []string{"lock", "no such lock"} {
		if in, err := fsys.Locked(filepath.Join(dir, free)); err != nil || in {
			t.Error(free, in, err)
		}
	}
	lock, err = fsys.Lock(filepath.Join(dir, "lock"))
	must(t, err)
	must(t, lock.Close())
	must(t, fsys.Remove(two))
	if err := fsys.Remove(two); !errors.Is(err, fs.ErrNotExist) {
		t.Error("remove nothing:", err)
	}
	if _, err := fsys.List(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("list nothing:", err)
	}
	if err := fsys.SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("sync nothing:", err)
	}
}

// Every sector after a crash is one that was synced or written since; every synced byte that was not
// written again is there.
func TestACrashKeepsSyncedBytesAndWholeSectors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMem()
		f, err := m.Create("/f")
		if err != nil {
			t.Fatal(err)
		}
		_ = m.SyncDir("/")
		var now, synced []byte
		versions := map[int][][]byte{} // of each sector since the last sync, padded with zeros
		sector := func(b []byte, s int) []byte {
			out := make([]byte, SectorSize)
			if s*SectorSize < len(b) {
				copy(out, b[s*SectorSize:])
			}
			return out
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
				synced, versions = bytes.Clone(now), map[int][][]byte{}
			default:
				at, n := rapid.IntRange(0, 3000).Draw(t, "at"), rapid.IntRange(1, 1500).Draw(t, "n")
				if _, err := f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, n), int64(at)); err != nil {
					t.Fatal(err)
				}
				if at+n > len(now) {
					now = append(now, make([]byte, at+n-len(now))...)
				}
				copy(now[at:], bytes.Repeat([]byte{byte(i + 1)}, n))
				for s := range 12 {
					versions[s] = append(versions[s], sector(now, s))
				}
			}
		}
		m.Crash(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrCrashed) {
			t.Fatal("an old file is still open:", err)
		}
		g, err := m.Open("/f")
		if err != nil {
			t.Fatal(err)
		}
		size, _ := g.Size()
		if size < int64(len(synced)) || size > int64(len(now)) {
			t.Fatalf("size %d, synced %d, written %d", size, len(synced), len(now))
		}
		got := make([]byte, size)
		if _, err := g.ReadAt(got, 0); err != nil && size > 0 {
			t.Fatal(err)
		}
		for s := range 12 {
			if at := s * SectorSize; at < len(got) && !bytes.Equal(sector(got, s), sector(synced, s)) &&
				!slices.ContainsFunc(versions[s], func(v []byte) bool { return bytes.Equal(sector(got, s), v) }) {
				t.Fatalf("sector %d was never written so", s)
			}
		}
	})
}

// What a crash may do, it does in some seed; what it must not do, in none.
func TestACrashTakesNamesThatWereNotSynced(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		m := NewMem()
		must(t, m.MkdirAll("/d"))
		for _, name := range []string{"/d/durable", "/d/old", "/d/removed"} {
			must(t, create(t, m, name, name).Sync())
		}
		must(t, m.SyncDir("/d"))
		must(t, create(t, m, "/d/created", "bytes").Sync())
		must(t, m.Rename("/d/old", "/d/new"))
		must(t, m.Remove("/d/removed"))
		m.Crash(rand.New(rand.NewPCG(seed, 1)))
		names, err := m.List("/d")
		must(t, err)
		seen[fmt.Sprint(names)] = true
		if !slices.Contains(names, "durable") || slices.Contains(names, "old") == slices.Contains(names, "new") {
			t.Fatalf("seed %d: %v", seed, names)
		}
		if slices.Contains(names, "created") && content(t, m, "/d/created") != "bytes" {
			t.Fatalf("seed %d: synced bytes are gone", seed)
		}
	}
	if len(seen) != 8 {
		t.Errorf("2 x 2 x 2 outcomes are possible, seen %v", seen)
	}
}

func TestCrashCloneLeavesTheOriginalRunning(t *testing.T) {
	m := NewMem()
	f := create(t, m, "/f", "one")
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	clone := m.CrashClone(rand.New(rand.NewPCG(1, 1)))
	_, err := f.WriteAt([]byte("two"), 0)
	must(t, err)
	if content(t, clone, "/f") != "one" || content(t, m, "/f") != "two" {
		t.Error("the clone shares bytes with the original")
	}
}

func TestALockDiesWithTheMachine(t *testing.T) {
	m := NewMem()
	old, err := m.Lock("/lock")
	must(t, err)
	m.Crash(rand.New(rand.NewPCG(1, 1)))
	held, err := m.Lock("/lock")
	must(t, err)
	if err := old.Close(); !errors.Is(err, ErrCrashed) {
		t.Error(err)
	}
	if _, err := m.Lock("/lock"); !errors.Is(err, ErrLocked) {
		t.Error("the old owner's Close gave the new owner's lock away:", err)
	}
	must(t, held.Close())
}

func TestAHookCutsAWriteShort(t *testing.T) {
	full := errors.New("disk is full")
	mem := NewMem()
	f, err := Hook{mem, func(op Op, _ string) error {
		if op == OpWrite {
			return &ShortWrite{N: 3, Err: full}
		}
		return nil
	}}.Create("/f")
	must(t, err)
	if n, err := f.WriteAt([]byte("hello"), 0); n != 3 || !errors.Is(err, full) || content(t, mem, "/f") != "hel" {
		t.Error(n, err, content(t, mem, "/f"))
	}
}

func TestAHookFailsEveryStep(t *testing.T) {
	full := errors.New("disk is full")
	var fail Op
	var saw []string
	h := Hook{NewMem(), func(op Op, name string) error {
		saw = append(saw, string(op)+" "+name)
		if op == fail {
			return full
		}
		return nil
	}}
	must(t, create(t, h, "/f", "").Close())
	f, err := h.OpenWrite("/f")
	must(t, err)
	for op, do := range map[Op]func() error{
		OpCreate: func() error { _, err := h.Create("/g"); return err }, OpRename: func() error { return h.Rename("/f", "/h") },
		OpRemove: func() error { return h.Remove("/f") }, OpMkdir: func() error { return h.MkdirAll("/d") },
		OpSyncDir: func() error { return h.SyncDir("/") }, OpLock: func() error { _, err := h.Lock("/l"); return err },
		OpWrite: func() error { _, err := f.WriteAt([]byte("x"), 0); return err }, OpSync: f.Sync,
		OpTruncate: func() error { return f.Truncate(9) },
	} {
		fail = op
		if err := do(); !errors.Is(err, full) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if names, err := h.List("/"); err != nil || !slices.Equal(names, []string{"f"}) || content(t, h, "/f") != "" {
		t.Error("a failed step was taken:", names, err)
	}
	if len(saw) < 10 {
		t.Error(saw)
	}
}

// After a kill the process is gone and the page cache is not: what was written can be read, and a power cut can still
// take it.
func TestAKillKeepsWhatWasWrittenAndAPowerCutMayTakeIt(t *testing.T) {
	lost := false
	for seed := range uint64(20) {
		m := NewMem()
		f := create(t, m, "/f", "one")
		must(t, f.Sync())
		must(t, m.SyncDir("/"))
		_, err := f.WriteAt([]byte("two"), 0)
		must(t, err)
		lock, err := m.Lock("/lock")
		must(t, err)
		m.Kill()
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrCrashed) {
			t.Fatal("an old file is still open:", err)
		}
		if err := lock.Close(); !errors.Is(err, ErrCrashed) {
			t.Fatal(err)
		}
		if content(t, m, "/f") != "two" {
			t.Fatal("the kill took what was written")
		}
		m.Crash(rand.New(rand.NewPCG(seed, 0)))
		lost = lost || content(t, m, "/f") == "one"
	}
	if !lost {
		t.Error("a power cut after the kill never took what was not synced")
	}
}
