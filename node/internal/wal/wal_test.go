package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

const dir = "/member/log"

var (
	self = Identity{ID: 7, Cluster: 9, Address: "127.0.0.1:8000", Salt: 0x5a17}
	// small makes a file of two pages: one of records, one for the mark.
	small = options{segment: 1 << 20, chunk: 8192, page: 4096}
	// tiny rotates all the time.
	tiny = options{segment: 600, chunk: 4096, page: 4096}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entries(term raft.Term, first raft.Index, data ...string) []raft.Entry {
	var es []raft.Entry
	for i, d := range data {
		e := raft.Entry{Term: term, Index: first + raft.Index(i)}
		if d == "" {
			e.Type = raft.EntryNoop
		} else {
			e.Data = []byte(d)
		}
		es = append(es, e)
	}
	return es
}

func reopen(t testing.TB, fsys vfs.FS, o options) (*Log, Recovered) {
	t.Helper()
	l, r, err := openLog(fsys, dir, o)
	must(t, err)
	return l, r
}

func TestEverythingSyncedIsThereAfterReopening(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, Identity{ID: 7, Address: "a:1", Salt: 1}, small)
	must(t, err)
	must(t, l.Append(&raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "", "x", "y")))
	must(t, l.SetCluster(99))
	must(t, l.Sync())
	must(t, l.Append(nil, entries(2, 3, "z", strings.Repeat("long", 5000))))
	must(t, l.Append(&raft.HardState{Term: 3}, nil))
	must(t, l.Sync())
	must(t, l.Close())

	l, got := reopen(t, fsys, small)
	want := Recovered{
		Identity:  Identity{ID: 7, Cluster: 99, Address: "a:1", Salt: 1},
		HardState: raft.HardState{Term: 3},
		Entries:   append(entries(1, 1, "", "x"), entries(2, 3, "z", strings.Repeat("long", 5000))...),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if l.Last() != (Position{4, 2}) {
		t.Fatalf("last %+v", l.Last())
	}
	must(t, l.Close())
	if err := l.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	if err := l.Append(nil, nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
}

// Without Close, the process is killed: the page cache has what was written, synced or not.
func TestAKilledProcessLosesNothingThatItWrote(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	for i := range 200 { // over several pages, so that every place of the mark is met
		must(t, l.Append(nil, entries(1, raft.Index(i+1), strings.Repeat("v", i))))
		must(t, l.Sync())
		must(t, l.lock.Close())
		var r Recovered
		l, r = reopen(t, fsys, small)
		if len(r.Entries) != i+1 || r.Torn != 0 {
			t.Fatalf("after %d entries: recovered %d, torn %d", i+1, len(r.Entries), r.Torn)
		}
	}
}

func TestTheLogRotatesAndIsReadAcrossItsFiles(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, tiny)
	must(t, err)
	var want []raft.Entry
	for i := range 100 {
		first := raft.Index(len(want) + 1)
		if i%7 == 6 { // cut a suffix that reaches into an older file
			first -= 5
			want = want[:first-1]
		}
		es := entries(raft.Term(i+1), first, fmt.Sprint("value ", i), "", "third")
		want = append(want, es...)
		must(t, l.Append(&raft.HardState{Term: raft.Term(i + 1), Vote: 3}, es))
		must(t, l.Sync())
	}
	must(t, l.Close())
	names, err := fsys.List(dir)
	must(t, err)
	if len(names) < 20 {
		t.Fatalf("only %v", names)
	}
	_, r := reopen(t, fsys, tiny)
	if diff := cmp.Diff(want, r.Entries); diff != "" || r.HardState != (raft.HardState{Term: 100, Vote: 3}) {
		t.Fatal(r.HardState, diff)
	}
}

func TestAppendRefusesAHoleAndChangesNothing(t *testing.T) {
	l, err := create(vfs.NewMem(), dir, self, small)
	must(t, err)
	must(t, l.Append(nil, entries(1, 1, "a")))
	for _, es := range [][]raft.Entry{
		entries(1, 3, "hole"), entries(1, 0, "zero"),
		{{Index: 2, Term: 1}, {Index: 4, Term: 1}},
		{{Index: 2, Term: 1, Type: 99}},
	} {
		before := l.prev
		if err := l.Append(&raft.HardState{Term: 9}, es); err == nil || l.prev != before || l.state.Term == 9 {
			t.Fatalf("%v: err %v", es, err)
		}
	}
	must(t, l.Append(nil, entries(1, 2, "b")))
	must(t, l.Sync())
}

// A first member's cluster id and its first entry come together, or it would start again as a member of
// a cluster that has no members.
func TestTheClusterIsOneBatchWithWhatFollows(t *testing.T) {
	seen := map[bool]int{}
	for seed := range uint64(200) {
		fsys := vfs.NewMem()
		l, err := create(fsys, dir, Identity{ID: 7, Address: "a:1", Salt: 1}, small)
		must(t, err)
		must(t, l.SetCluster(9))
		must(t, l.Append(&raft.HardState{Term: 1}, entries(1, 1, strings.Repeat("configuration", 100))))
		must(t, l.write()) // no sync
		fsys.Crash(rand.New(rand.NewPCG(seed, 0)))
		_, r := reopen(t, fsys, small)
		joined := r.Identity.Cluster != 0
		if joined != (len(r.Entries) == 1) || joined != (r.HardState.Term == 1) {
			t.Fatalf("seed %d: %+v", seed, r)
		}
		seen[joined]++
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Fatal(seen)
	}
	l, err := create(vfs.NewMem(), dir, self, small)
	must(t, err)
	if err := l.SetCluster(10); !errors.Is(err, ErrOtherMember) {
		t.Fatal(err)
	}
}

func TestAFailedWriteOrSyncPoisonsTheLog(t *testing.T) {
	eio := errors.New("input/output error")
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir, vfs.OpCreate} {
		t.Run(string(op), func(t *testing.T) {
			mem, armed := vfs.NewMem(), false
			fsys := vfs.Hook{FS: mem, Before: func(o vfs.Op, _ string) error {
				if armed && o == op {
					armed = false // the disk would work again: the log must not try
					return eio
				}
				return nil
			}}
			l, err := create(fsys, dir, self, tiny)
			must(t, err)
			must(t, l.Append(nil, entries(1, 1, "durable")))
			must(t, l.Sync())
			armed = true
			must(t, l.Append(nil, entries(1, 2, strings.Repeat("rotate", 200))))
			first := l.Sync()
			rotation := op != vfs.OpWrite && op != vfs.OpSync
			if rotation != (first == nil) { // the batch was durable before the rotation failed
				t.Fatalf("sync: %v", first)
			}
			for _, err := range []error{l.Append(nil, entries(1, 3, "x")), l.Sync(), l.SetCluster(9), l.Close()} {
				if !errors.Is(err, eio) {
					t.Fatalf("a later call returned %v", err)
				}
			}
			_, r := reopen(t, mem, tiny)
			if n := len(r.Entries); n == 0 || rotation && n != 2 {
				t.Fatalf("recovered %d entries", n)
			}
		})
	}
}

func TestADirectoryThatCannotBeOursIsRefusedWithAReason(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, name) }
	must(t, os.WriteFile(path("file"), nil, 0o644))
	must(t, os.Mkdir(path("foreign"), 0o755))
	must(t, os.WriteFile(path("foreign/notes.txt"), []byte("mine"), 0o644))
	must(t, os.Mkdir(path("empty"), 0o755))
	open, err := Create(vfs.OS{}, path("open"), self)
	must(t, err)
	defer func() { must(t, open.Close()) }()
	full, err := Create(vfs.OS{}, path("full"), self)
	must(t, err)
	must(t, full.Close())

	readOnly := vfs.Hook{FS: vfs.OS{}, Before: func(op vfs.Op, name string) error {
		return &os.PathError{Op: string(op), Path: name, Err: os.ErrPermission}
	}}
	for _, c := range []struct {
		what string
		err  func() error
		is   error
		says string
	}{
		{"open nothing", func() error { _, _, err := Open(vfs.OS{}, path("none")); return err }, ErrNotExist, "none"},
		{"open empty", func() error { _, _, err := Open(vfs.OS{}, path("empty")); return err }, ErrNotExist, "empty"},
		{"open foreign", func() error { _, _, err := Open(vfs.OS{}, path("foreign")); return err }, ErrForeign, "notes.txt"},
		{"open file", func() error { _, _, err := Open(vfs.OS{}, path("file")); return err }, nil, "not a directory"},
		{"open locked", func() error { _, _, err := Open(vfs.OS{}, path("open")); return err }, ErrLocked, "another process"},
		{"open read-only", func() error { _, _, err := Open(readOnly, path("full")); return err }, os.ErrPermission, "not writable"},
		{"create on a log", func() error { _, err := Create(vfs.OS{}, path("full"), self); return err }, ErrExist, "full"},
		{"create on foreign", func() error { _, err := Create(vfs.OS{}, path("foreign"), self); return err }, ErrForeign, "notes.txt"},
		{"create on file", func() error { _, err := Create(vfs.OS{}, path("file"), self); return err }, nil, "not a directory"},
		{"create read-only", func() error { _, err := Create(readOnly, path("empty"), self); return err }, os.ErrPermission, "permission"},
		{"create nobody", func() error { _, err := Create(vfs.OS{}, path("x"), Identity{}); return err }, nil, "needs an id"},
		{"other address", func() error { return self.Expect("127.0.0.1:8001", 0) }, ErrOtherMember, "127.0.0.1:8000"},
		{"other cluster", func() error { return self.Expect(self.Address, 8) }, ErrOtherMember, "cluster 0000000000000009"},
	} {
		err := c.err()
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	must(t, self.Expect(self.Address, self.Cluster))
	if b, err := os.ReadFile(path("foreign/notes.txt")); err != nil || string(b) != "mine" {
		t.Fatal("a foreign file was touched")
	}
	if names, err := (vfs.OS{}).List(path("foreign")); err != nil || len(names) != 1 {
		t.Fatal("something was added to a foreign directory:", names, err)
	}
}

func TestTheLockEndsWithTheLog(t *testing.T) {
	where := filepath.Join(t.TempDir(), "log")
	l, err := Create(vfs.OS{}, where, self)
	must(t, err)
	must(t, l.Append(nil, entries(1, 1, "on a real disk")))
	must(t, l.Close())
	l, r, err := Open(vfs.OS{}, where)
	must(t, err)
	if len(r.Entries) != 1 || string(r.Entries[0].Data) != "on a real disk" {
		t.Fatal(r)
	}
	must(t, l.Close())
}

func TestDumpPrintsEveryRecordBehindDamageToo(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	must(t, l.Append(&raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "first", "second")))
	must(t, l.Close())
	f, err := fsys.OpenWrite(filepath.Join(dir, segmentName(1)))
	must(t, err)
	_, err = f.WriteAt([]byte{0xff}, 150) // in the state record
	must(t, err)
	var out bytes.Buffer
	must(t, Dump(fsys, dir, &out))
	for _, want := range []string{"segment", "? ", "entry    term 1 index 1", "NOT-CHAINED", "entry    term 1 index 2", "mark"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func BenchmarkAppendSync(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dx300B", n), func(b *testing.B) {
			l, err := Create(vfs.OS{}, filepath.Join(b.TempDir(), "log"), self)
			must(b, err)
			batch := make([]raft.Entry, n)
			data := bytes.Repeat([]byte("x"), 300)
			b.SetBytes(int64(300 * n))
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch {
					batch[i] = raft.Entry{Term: 1, Index: l.Last().Index + raft.Index(i) + 1, Data: data}
				}
				must(b, l.Append(nil, batch))
				must(b, l.Sync())
			}
			must(b, l.Close())
		})
	}
}
