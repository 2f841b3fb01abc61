package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// disk is what the files of a log hold, by name.
type disk map[string][]byte

func snapshot(t testing.TB, fsys vfs.FS) disk {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	d := disk{}
	for _, name := range names {
		if name != lockName {
			d[name], err = readSegment(fsys, filepath.Join(dir, name))
			must(t, err)
		}
	}
	return d
}

// with returns a new file system that holds d, with one file replaced; nil removes it.
func (d disk) with(t testing.TB, name string, data []byte) *vfs.Mem {
	t.Helper()
	fsys := vfs.NewMem()
	must(t, fsys.MkdirAll(dir))
	for n, b := range d {
		if n == name {
			b = data
		}
		if b == nil {
			continue
		}
		f, err := fsys.Create(filepath.Join(dir, n))
		must(t, err)
		_, err = f.WriteAt(b, 0)
		must(t, err)
		must(t, f.Sync())
	}
	must(t, fsys.SyncDir(dir))
	return fsys
}

// damages are the ways in which one place of a file goes bad.
func damages(data []byte, at int) map[string][]byte {
	all := map[string][]byte{"cut": bytes.Clone(data[:at])}
	change := func(name string, from, to int, f func(byte) byte) {
		b := bytes.Clone(data)
		for i := from; i < min(to, len(b)); i++ {
			b[i] = f(b[i])
		}
		all[name] = b
	}
	change("flip one bit", at, at+1, func(b byte) byte { return b ^ 1<<(at%8) })
	change("flip all bits", at, at+1, func(b byte) byte { return ^b })
	change("zero a byte", at, at+1, func(byte) byte { return 0 })
	change("zero 8 bytes", at, at+8, func(byte) byte { return 0 })
	if at%vfs.SectorSize == 0 {
		change("zero a sector", at, at+vfs.SectorSize, func(byte) byte { return 0 })
		change("zero a page", at/4096*4096, at/4096*4096+4096, func(byte) byte { return 0 })
	}
	return all
}

// story writes a log with every kind of record, each batch synced, and returns what it must hold.
func story(t testing.TB, o options) (disk, Recovered) {
	t.Helper()
	fsys := vfs.NewMem()
	id := self
	id.Cluster = 0
	l, err := create(fsys, dir, id, o)
	must(t, err)
	sync := func(hs *raft.HardState, es []raft.Entry) {
		t.Helper()
		must(t, l.Append(hs, es))
		must(t, l.Sync())
	}
	sync(&raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "", "alpha", "beta"))
	must(t, l.SetCluster(9))
	sync(nil, entries(1, 4, "gamma", strings.Repeat("large ", 150)))
	sync(&raft.HardState{Term: 2, Vote: 3}, nil)
	sync(nil, entries(2, 3, "beta of term 2", "delta"))
	sync(&raft.HardState{Term: 4}, entries(3, 5, "", "epsilon", "zeta", "eta"))
	must(t, l.lock.Close()) // killed, not closed
	want := Recovered{Identity: self, HardState: raft.HardState{Term: 4},
		Entries: append(append(entries(1, 1, "", "alpha"), entries(2, 3, "beta of term 2", "delta")...), entries(3, 5, "", "epsilon", "zeta", "eta")...)}
	return snapshot(t, fsys), want
}

// The table of research: measured on four respected stores, each of which got at least one row wrong.
func TestDamageToSyncedBytesIsNeverLossAndNeverWrongBytes(t *testing.T) {
	for name, o := range map[string]options{"one file": small, "many files": tiny} {
		t.Run(name, func(t *testing.T) {
			disk, want := story(t, o)
			refused, opened := 0, 0
			for file, data := range disk {
				for at := range data {
					if o == tiny && at%5 != 0 {
						continue
					}
					for what, damaged := range damages(data, at) {
						if bytes.Equal(damaged, data) {
							continue
						}
						fsys := disk.with(t, file, damaged)
						_, got, err := openLog(fsys, dir, o)
						if err != nil {
							refused++
							checkRefusal(t, fmt.Sprint(what, " at ", at, " of ", file), err, fsys, disk, file, damaged)
							continue
						}
						opened++
						got.Torn = 0
						if !equal(want, got) {
							t.Fatalf("%s at %d of %s: opened without an error: %s", what, at, file, cmp.Diff(want, got))
						}
					}
				}
			}
			t.Logf("%d refused, %d harmless", refused, opened)
			if refused < 1000 || opened < 1000 {
				t.Fatal("the damage did not hit both records and free bytes")
			}
		})
	}
}

func checkRefusal(t *testing.T, what string, err error, fsys vfs.FS, disk disk, file string, damaged []byte) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "join again") {
		t.Fatalf("%s: %v", what, err)
	}
	after := snapshot(t, fsys)
	for n, b := range disk {
		if n == file {
			b = damaged
		}
		if !bytes.Equal(after[n], b) {
			t.Fatalf("%s: a refused log was changed in %s", what, n)
		}
	}
}

// A refusal is only of use if it names the right entries: one record is hit, that record is named.
func TestCorruptionNamesTheExactEntries(t *testing.T) {
	disk, _ := story(t, small)
	file := segmentName(1)
	data := disk[file]
	seen := raft.Index(0)
	for at := 0; at < len(data); {
		r, size, ok := parse(data[at:])
		if !ok || r.kind == recordMark {
			break
		}
		damaged := bytes.Clone(data)
		damaged[at+20] ^= 4
		_, _, err := openLog(disk.with(t, file, damaged), dir, small)
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Fatalf("%v record at %d: %v", r.kind, at, err)
		}
		if r.kind == recordEntry {
			want := raft.Index(r.index)
			if c.First > want || c.Last < want || c.Rest || c.Offset != int64(at) {
				t.Errorf("entry %d at %d: named %d to %d at %d", want, at, c.First, c.Last, c.Offset)
			}
			if next, _, _ := parse(data[at+size:]); next.kind == recordEntry && c.First != c.Last {
				t.Errorf("entry %d before another entry: named %d to %d", want, c.First, c.Last)
			}
			seen = raft.Index(r.index)
		}
		at += size
	}
	if seen != 8 {
		t.Fatalf("met %d entries", seen)
	}
}

func TestAMissingFileIsDamage(t *testing.T) {
	disk, _ := story(t, tiny)
	for file := range disk {
		_, _, err := openLog(disk.with(t, file, nil), dir, tiny)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

// A rotation makes the seal durable before the new file takes entries, so even a power cut right after
// the next Sync leaves the trace that a lost file would need.
func TestAMissingFileIsDamageAfterAPowerCutToo(t *testing.T) {
	for seed := range uint64(30) {
		fsys := vfs.NewMem()
		l, err := create(fsys, dir, self, tiny)
		must(t, err)
		must(t, l.Append(nil, entries(1, 1, strings.Repeat("x", 700))))
		must(t, l.Sync())
		must(t, l.Append(nil, entries(1, 2, "in the second file")))
		must(t, l.Sync())
		fsys.Crash(rand.New(rand.NewPCG(seed, 0)))
		must(t, fsys.Remove(filepath.Join(dir, segmentName(2))))
		if _, _, err := openLog(fsys, dir, tiny); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// A crash between the new file and the old one's seal: the next start seals it.
func TestOpenFinishesARotation(t *testing.T) {
	disk, want := story(t, tiny)
	last := uint64(len(disk))
	old := bytes.Clone(disk[segmentName(last-1)])
	head, _, _, err := readHead("", disk[segmentName(last)], 0)
	must(t, err)
	clear(old[head.prevEnd:])
	fsys := disk.with(t, segmentName(last-1), old)
	_, got, err := openLog(fsys, dir, tiny)
	if err != nil || !equal(want, got) {
		t.Fatal(got, err)
	}
	fsys.Crash(rand.New(rand.NewPCG(1, 1)))
	must(t, fsys.Remove(filepath.Join(dir, segmentName(last))))
	if _, _, err := openLog(fsys, dir, tiny); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("the last file was lost: %v", err)
	}
}

// A crash in the middle of a rotation leaves a file without a name, which must not be in the way.
func TestOpenRemovesAnUnfinishedSegment(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, tiny)
	must(t, err)
	must(t, l.Close())
	f, err := fsys.Create(filepath.Join(dir, "0000000000000002.wal.tmp"))
	must(t, err)
	_, err = f.WriteAt([]byte("half a segment"), 0)
	must(t, err)
	l, _ = reopen(t, fsys, tiny)
	must(t, l.Append(nil, entries(1, 1, strings.Repeat("rotate", 200))))
	must(t, l.Sync())
	must(t, l.Close())
	if _, ok := snapshot(t, fsys)[segmentName(2)]; !ok {
		t.Fatal("no rotation")
	}
}

// After an fsync that failed the kernel may hold the bytes as clean pages: a later fsync succeeds and
// writes nothing. So what no record proves to be durable is written again before it is synced.
func TestOpenWritesAgainWhatWasNeverProvenDurable(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	must(t, l.Append(nil, entries(1, 1, "proven")))
	must(t, l.Sync())
	proven := l.synced
	must(t, l.Append(nil, entries(1, 2, "written, never synced")))
	must(t, l.write())
	end := l.end
	must(t, l.lock.Close())
	watched := &watchedFS{FS: fsys}
	_, r, err := openLog(watched, dir, small)
	if err != nil || len(r.Entries) != 2 {
		t.Fatal(r, err)
	}
	if want := [2]int64{proven, end}; len(watched.writes) == 0 || watched.writes[0] != want {
		t.Fatalf("wrote %v, want first %v", watched.writes, want)
	}
}

// watchedFS notes the ranges that are written.
type watchedFS struct {
	vfs.FS
	writes [][2]int64
}

type watchedFile struct {
	vfs.File
	fs *watchedFS
}

func (w *watchedFS) OpenWrite(name string) (vfs.File, error) {
	f, err := w.FS.OpenWrite(name)
	return watchedFile{f, w}, err
}

func (f watchedFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.writes = append(f.fs.writes, [2]int64{off, off + int64(len(b))})
	return f.File.WriteAt(b, off)
}

// A record that is whole but from another history: a disk that lost one write and kept the next, or
// bytes that an earlier life of the file left. Only the chain can tell.
func TestAWholeRecordOfAnotherHistoryIsDamage(t *testing.T) {
	history := func(second string) ([]byte, disk, int64) {
		fsys := vfs.NewMem()
		l, err := create(fsys, dir, self, small)
		must(t, err)
		must(t, l.Append(nil, entries(1, 1, "first", second)))
		must(t, l.Sync())
		at := l.end
		must(t, l.Append(nil, entries(1, 3, "third")))
		must(t, l.Sync())
		d := snapshot(t, fsys)
		return d[segmentName(1)], d, at
	}
	one, disk, at := history("this")
	two, _, _ := history("that")
	spliced := append(bytes.Clone(one[:at]), two[at:]...)
	_, r, err := openLog(disk.with(t, segmentName(1), spliced), dir, small)
	var c *CorruptError
	if !errors.As(err, &c) || c.Offset != at {
		t.Fatal(r, err)
	}
}

func TestFilesOfAnotherLogAreNotMixedIn(t *testing.T) {
	disk, _ := story(t, tiny)
	other := vfs.NewMem()
	l, err := create(other, dir, Identity{ID: 8, Address: "b:1", Salt: 77}, tiny)
	must(t, err)
	for i := range 3 {
		must(t, l.Append(nil, entries(1, raft.Index(i+1), strings.Repeat("x", 700))))
		must(t, l.Sync())
	}
	_, _, err = openLog(disk.with(t, segmentName(2), snapshot(t, other)[segmentName(2)]), dir, tiny)
	if err == nil {
		t.Fatal("opened")
	}
}

func FuzzOpen(f *testing.F) {
	disk, _ := story(f, small)
	f.Add(disk[segmentName(1)])
	f.Add(disk[segmentName(1)][:300])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := disk.with(t, segmentName(1), append([]byte{}, data...))
		l, r, err := openLog(fsys, dir, small)
		if err != nil {
			return
		}
		// What was accepted can be appended to and read again.
		must(t, l.Append(nil, entries(9, r.last()+1, "more")))
		must(t, l.Close())
		if _, again, err := openLog(fsys, dir, small); err != nil || len(again.Entries) != len(r.Entries)+1 {
			t.Fatal(err)
		}
	})
}

// Records with right checksums and any content, as another program or a bug of ours could write them.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x01\x01\x03abc\x04\x01\x00\x00\x00\x00\x02\x00\x00\x01\x02\x01z"))
	f.Add([]byte("\x03\x00\x00\x00\x07\x08voterno1\x05\x00\x00\x00\x00\x08cluster9\x07\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, script []byte) {
		fsys := vfs.NewMem()
		l, err := create(fsys, dir, self, small)
		must(t, err)
		for len(script) >= 6 {
			payload := script[6:min(len(script), 6+int(script[5])%32)]
			l.add(record{kind: recordType(script[0] % 10), more: script[1]&1 == 1, entry: script[2] % 5,
				index: uint64(script[3] % 16), term: uint64(script[4]), payload: payload})
			script = script[6+len(payload):]
		}
		must(t, l.write())
		must(t, l.lock.Close())
		l, r, err := openLog(fsys, dir, small)
		if err != nil {
			return
		}
		for i, e := range r.Entries {
			if e.Index != r.Base.Index+raft.Index(i+1) {
				t.Fatalf("entry %d at place %d", e.Index, i)
			}
		}
		must(t, l.Append(nil, entries(9, r.last()+1, "more")))
		must(t, l.Close())
		if _, again, err := openLog(fsys, dir, small); err != nil || len(again.Entries) != len(r.Entries)+1 {
			t.Fatal(err)
		}
	})
}
