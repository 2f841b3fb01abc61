package wal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// laterStory is that of a member which has been cut, restarted by a snapshot and has dropped a prefix.
func laterStory(t testing.TB, o options) (disk, Recovered) {
	t.Helper()
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, o)
	must(t, err)
	sync := func(hs *raft.HardState, es []raft.Entry) {
		t.Helper()
		must(t, l.Append(hs, es))
		must(t, l.Sync())
	}
	sync(&raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "", "alpha", strings.Repeat("large ", 100)))
	sync(nil, entries(1, 4, "beta", "gamma"))
	must(t, l.Restart(Position{Index: 3, Term: 2})) // lower than the last entry, which was of a dead leader
	sync(&raft.HardState{Term: 3}, entries(3, 4, "beta of term 3", strings.Repeat("LARGE ", 100)))
	sync(nil, entries(3, 6, "delta"))
	must(t, l.Restart(Position{Index: 20, Term: 4}))
	must(t, l.Sync())
	for i := range 6 {
		sync(nil, entries(4, raft.Index(21+i), strings.Repeat(string(rune('a'+i)), 150)))
	}
	sync(nil, entries(5, 25, "epsilon", "zeta"))
	must(t, l.DropPrefix(23))
	sync(&raft.HardState{Term: 6, Vote: 2}, entries(6, 27, "eta"))
	must(t, l.lock.Close())
	want := Recovered{Identity: self, HardState: raft.HardState{Term: 6, Vote: 2}, Base: Position{20, 4}}
	for i := range 4 {
		want.Entries = append(want.Entries, entries(4, raft.Index(21+i), strings.Repeat(string(rune('a'+i)), 150))...)
	}
	want.Entries = append(want.Entries, append(entries(5, 25, "epsilon", "zeta"), entries(6, 27, "eta")...)...)
	return snapshot(t, fsys), want.from(l.base.Index, 23)
}

func TestALogThatWasRestartedAndShortenedIsReadAgain(t *testing.T) {
	for _, o := range []options{small, tiny} {
		disk, want := laterStory(t, o)
		_, got, err := openLog(disk.with(t, "", nil), dir, o)
		if err != nil || !equal(want, got) {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
		if dropped := disk[segmentName(1)] == nil; dropped != (o == tiny) || dropped && (want.Base.Index < 21 || len(disk) > 4) {
			t.Fatalf("files %d, base %+v", len(disk), want.Base)
		}
	}
}

func TestDamageToARestartedLogIsNeverLoss(t *testing.T) {
	for name, o := range map[string]options{"one file": small, "many files": tiny} {
		t.Run(name, func(t *testing.T) {
			disk, want := laterStory(t, o)
			refused := 0
			for file, data := range disk {
				for at := 0; at < len(data); at += 3 {
					for what, damaged := range damages(data, at) {
						fsys := disk.with(t, file, damaged)
						_, got, err := openLog(fsys, dir, o)
						got.Torn = 0
						switch {
						case errors.Is(err, ErrCorrupt):
							refused++
						case err != nil || !equal(want, got):
							t.Fatalf("%s at %d of %s: %v %s", what, at, file, err, cmp.Diff(want, got))
						}
					}
				}
			}
			if refused < 1000 {
				t.Fatal("only", refused)
			}
		})
	}
}

// A file that was dropped is told from one that was lost.
func TestALostFileOfAShortenedLogIsDamage(t *testing.T) {
	disk, want := laterStory(t, tiny)
	for file := range disk {
		_, _, err := openLog(disk.with(t, file, nil), dir, tiny)
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Fatalf("without %s: %v", file, err)
		}
		if c.First <= want.Base.Index {
			t.Errorf("without %s: entry %d is named, which was dropped: %v", file, c.First, err)
		}
	}
}

// The newest files alone, as if the oldest had been dropped: without the record of it they are lost.
func TestFilesMissingAtTheBeginningAreDamage(t *testing.T) {
	disk, _ := story(t, tiny)
	for n := 1; n < len(disk); n++ {
		d := disk.without(n)
		_, _, err := openLog(d.with(t, "", nil), dir, tiny)
		var c *CorruptError
		if !errors.As(err, &c) || c.First != 1 {
			t.Errorf("without the first %d: %v", n, err)
		}
	}
}

func (d disk) without(first int) disk {
	rest := disk{}
	for name, data := range d {
		if segmentNumber(name) > uint64(first) {
			rest[name] = data
		}
	}
	return rest
}

// Every state that an interrupted DropPrefix can leave: the next Open goes on with it.
func TestOpenFinishesADrop(t *testing.T) {
	mem := vfs.NewMem()
	crash := -1
	fsys := vfs.Hook{FS: mem, Before: func(op vfs.Op, _ string) error {
		if op == vfs.OpRemove {
			if crash == 0 {
				return vfs.ErrCrashed
			}
			crash--
		}
		return nil
	}}
	l, err := create(fsys, dir, self, tiny)
	must(t, err)
	for i := range 12 {
		must(t, l.Append(nil, entries(1, raft.Index(i+1), strings.Repeat("x", 500))))
		must(t, l.Sync())
	}
	crash = 2
	if err := l.DropPrefix(9); !errors.Is(err, vfs.ErrCrashed) {
		t.Fatal(err)
	}
	base := l.Base()
	before := len(snapshot(t, mem))
	crash = -1
	must(t, l.lock.Close())
	l, r := reopen(t, fsys, tiny)
	if r.Base != base || base.Index < 6 || len(r.Entries) != 12-int(base.Index) || r.Entries[0].Index != base.Index+1 {
		t.Fatalf("base %+v, want %+v", r.Base, base)
	}
	if now := len(snapshot(t, mem)); now >= before {
		t.Fatalf("%d files, then %d", before, now)
	}
	// A failed removal leaves the log usable, and the next drop removes the rest.
	crash = 0
	if err := l.DropPrefix(11); !errors.Is(err, vfs.ErrCrashed) {
		t.Fatal(err)
	}
	crash = -1
	must(t, l.Append(nil, entries(1, 13, "goes on")))
	must(t, l.DropPrefix(11))
	must(t, l.Close())
	if names := snapshot(t, mem); len(names) > 2 {
		t.Fatal(len(names), "files")
	}
	_, r = reopen(t, fsys, tiny)
	if r.Base != l.Base() || string(r.Entries[len(r.Entries)-1].Data) != "goes on" {
		t.Fatal(r)
	}
}

// Entries that a later leader replaced live in two files: the one that says so cannot be read without
// the one before it.
func TestAFileIsKeptForTheOneThatCutsIt(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, tiny)
	must(t, err)
	must(t, l.Append(nil, entries(1, 1, "a", "b", "c", strings.Repeat("void ", 200), "void")))
	must(t, l.Sync()) // the first file ends with entry 5
	must(t, l.Append(nil, entries(2, 4, "d", "e")))
	must(t, l.Sync())
	must(t, l.DropPrefix(5))
	if l.Base() != (Position{}) {
		t.Fatalf("base %+v", l.Base())
	}
	must(t, l.Append(nil, entries(2, 6, strings.Repeat("f", 700)))) // the second file ends with entry 6
	must(t, l.Sync())
	must(t, l.DropPrefix(6))
	if l.Base() != (Position{6, 2}) {
		t.Fatalf("base %+v", l.Base())
	}
	must(t, l.Close())
	if _, r := reopen(t, fsys, tiny); r.Base != (Position{6, 2}) || len(r.Entries) != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestRestartRefusesWhatTheLogHasLeftBehind(t *testing.T) {
	l, err := create(vfs.NewMem(), dir, self, small)
	must(t, err)
	must(t, l.Restart(Position{10, 2}))
	if err := l.Restart(Position{9, 2}); err == nil || !strings.Contains(err.Error(), "begins after entry 10") {
		t.Fatal(err)
	}
	for _, first := range []raft.Index{10, 12} {
		if err := l.Append(nil, entries(2, first, "x")); err == nil {
			t.Fatal("appended", first)
		}
	}
	must(t, l.Append(nil, entries(2, 11, "x")))
	must(t, l.Close())
	if err := l.Restart(Position{20, 2}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := l.DropPrefix(20); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// The log is what says who the member is and how it voted: snapshots without it are not a new member's.
func TestSnapshotsWithoutALogAreDamage(t *testing.T) {
	fsys := vfs.NewMem()
	must(t, fsys.MkdirAll(filepath.Join(dir, SnapshotDir)))
	l, err := create(fsys, dir, self, small) // an empty directory of snapshots is in nobody's way
	must(t, err)
	must(t, l.Close())
	f, err := fsys.Create(filepath.Join(dir, SnapshotDir, "one.snap"))
	must(t, err)
	must(t, f.Close())
	l, _ = reopen(t, fsys, small)
	must(t, l.Close())
	must(t, fsys.Remove(filepath.Join(dir, segmentName(1))))
	if _, _, err := openLog(fsys, dir, small); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := create(fsys, dir, self, small); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// testdata/golden-v1 was written by the first program that members ran, with small files: a member's
// directory of that time starts today, and goes on.
func TestADirectoryOfTheFirstVersionOpens(t *testing.T) {
	where := t.TempDir()
	must(t, os.CopyFS(where, os.DirFS(filepath.Join("testdata", "golden-v1"))))
	want := Recovered{Identity: Identity{ID: 0x1122334455667788, Cluster: 0xc0ffee, Address: "127.0.0.1:8001", Salt: 0x5a17}, HardState: raft.HardState{Term: 5}}
	want.Entries = append(want.Entries, raft.Entry{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: []byte("configuration")})
	want.Entries = append(want.Entries, entries(1, 2, "", "alpha", "beta", strings.Repeat("large ", 200))...)
	want.Entries = append(want.Entries, entries(2, 6, "gamma of term 2")...)
	for i := range 17 {
		want.Entries = append(want.Entries, entries(2, raft.Index(7+i), fmt.Sprint("entry ", 7+i))...)
	}
	want.Entries = append(want.Entries, entries(4, 24, "", "the last")...)
	l, got, err := Open(vfs.OS{}, where)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	must(t, l.Append(nil, entries(5, 26, "of today")))
	must(t, l.DropPrefix(25))
	if l.Base().Index == 0 {
		t.Fatal("no file was dropped")
	}
	must(t, l.Restart(Position{100, 6}))
	must(t, l.Append(nil, entries(6, 101, "after a snapshot")))
	must(t, l.Close())
	l, got, err = Open(vfs.OS{}, where)
	if err != nil || got.Base != (Position{100, 6}) || !bytes.Equal(got.Entries[0].Data, []byte("after a snapshot")) {
		t.Fatal(got, err)
	}
	must(t, l.Close())
}

// A file that was put back as it once was, or that stands in the place of another, is named as what it is.
func TestAFileFromAnotherTimeOrPlaceIsNamed(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, tiny)
	must(t, err)
	var early disk
	for i := range 9 {
		must(t, l.Append(nil, entries(1, raft.Index(i+1), strings.Repeat("x", 200))))
		must(t, l.Sync())
		if i == 2 {
			early = snapshot(t, fsys)
		}
	}
	must(t, l.lock.Close())
	now := snapshot(t, fsys)
	half := segmentName(2)
	if len(early) != 2 || len(now) < 4 {
		t.Fatalf("%d files, then %d", len(early), len(now))
	}
	third, _, _, err := readHead("", now[segmentName(3)], 0)
	must(t, err)
	var c *CorruptError
	_, _, err = openLog(now.with(t, half, early[half]), dir, tiny)
	if !errors.As(err, &c) || !strings.HasSuffix(c.File, half) || c.First != 4 || c.Last != third.last.Index || c.Rest {
		t.Errorf("half full: %v", err)
	}
	_, _, err = openLog(now.with(t, half, now[segmentName(1)]), dir, tiny)
	if !errors.As(err, &c) || !strings.HasSuffix(c.File, half) || !c.Rest || !strings.Contains(err.Error(), "file 1 of the same log") {
		t.Errorf("twice: %v", err)
	}
}
