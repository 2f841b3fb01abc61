package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

const dir = "/member/snapshots"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(index raft.Index) raft.Snapshot {
	return raft.Snapshot{Index: index, Term: 3, ConfigurationIndex: index / 2, Configuration: raft.Configuration{Members: []raft.Member{
		{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:2", Learner: true}}}}
}

// state is what a snapshot holds: some chunks, and one that is not full.
func state(index raft.Index, size int) []byte {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(index)})
	_, _ = rng.Read(b)
	return b
}

func open(t testing.TB, fsys vfs.FS) *Store {
	t.Helper()
	st, err := Open(fsys, dir)
	must(t, err)
	return st
}

func save(st *Store, s raft.Snapshot, data []byte) error {
	w, err := st.Create(s)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

func load(st *Store, s raft.Snapshot) ([]byte, error) {
	r, err := st.Read(s)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func raw(t testing.TB, st *Store, s raft.Snapshot) []byte {
	t.Helper()
	r, size, err := st.Raw(s)
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	if int64(len(b)) != size {
		t.Fatalf("%d bytes, said %d", len(b), size)
	}
	return b
}

func files(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	return names
}

// On the real file system: what is written is read, here and by another member.
func TestWhatIsCommittedIsReadAndSent(t *testing.T) {
	here, there := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "there")
	for _, size := range []int{0, 1, maxChunk - 1, maxChunk, maxChunk + 1, 3*maxChunk + 7, syncEvery + 100} {
		st, err := Open(vfs.OS{}, here)
		must(t, err)
		s, data := at(raft.Index(size+1)), state(1, size)
		must(t, save(st, s, data))
		must(t, st.Verify(s))
		st, err = Open(vfs.OS{}, here)
		must(t, err)
		found, ok := st.Latest()
		got, err := load(st, found)
		if !ok || !same(found, s) || err != nil || !bytes.Equal(got, data) {
			t.Fatalf("size %d: %v %v, %d bytes", size, found, err, len(got))
		}
		other, err := Open(vfs.OS{}, there)
		must(t, err)
		file, n, err := st.Raw(found)
		must(t, err)
		must(t, other.Receive(io.LimitReader(file, n), found, nil))
		must(t, file.Close())
		if got, err := load(other, found); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("size %d, received: %v, %d bytes", size, err, len(got))
		}
	}
	names, err := vfs.OS{}.List(there)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
}

// A crash at every step, while a snapshot is written and the next one received: what was committed is
// there, and whole; what is there is one of those that were made.
func TestCrashAtEveryStepKeepsWhatWasCommitted(t *testing.T) {
	states := map[raft.Index][]byte{}
	for i := range raft.Index(6) {
		states[10*(i+1)] = state(i, int(i)*1000+maxChunk*int(i%2))
	}
	source := open(t, vfs.NewMem())
	var streams [][]byte
	for _, i := range []raft.Index{20, 40, 60} {
		must(t, save(source, at(i), states[i]))
		streams = append(streams, raw(t, source, at(i)))
	}
	seen := map[string]int{}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		disk := vfs.NewMem()
		committed := raft.Index(0)
		look := func() {
			after := disk.CrashClone(rng)
			st := open(t, after)
			found, ok := st.Latest()
			seen[fmt.Sprint(committed, found.Index)]++
			if found.Index < committed || ok != (found.Index > 0) {
				t.Fatalf("seed %d: committed %d, found %d", seed, committed, found.Index)
			}
			if !ok {
				return
			}
			if got, err := load(st, found); err != nil || !bytes.Equal(got, states[found.Index]) || !same(found, at(found.Index)) {
				t.Fatalf("seed %d: snapshot %d: %v", seed, found.Index, err)
			}
			if slices.ContainsFunc(files(t, after), func(n string) bool { return strings.HasSuffix(n, tempSuffix) }) {
				t.Fatal("something unfinished is left:", files(t, after))
			}
		}
		st := open(t, vfs.Hook{FS: disk, Before: func(vfs.Op, string) error { look(); return nil }})
		for i := range 3 {
			one, two := raft.Index(20*i+10), raft.Index(20*i+20)
			must(t, save(st, at(one), states[one]))
			committed = one
			look()
			must(t, st.Receive(bytes.NewReader(streams[i]), at(two), nil))
			committed = two
			look()
		}
		if n := files(t, disk); len(n) != 1 {
			t.Fatal(n)
		}
	}
	if seen["0 10"] == 0 || seen["0 0"] == 0 || seen["10 20"] == 0 {
		t.Fatal("the crashes did not meet both sides of a commit:", seen)
	}
}

// Every step fails once: the error comes out, and the store goes on with what it had.
func TestAFailedStepLeavesTheSnapshotBefore(t *testing.T) {
	eio := errors.New("input/output error")
	data := state(1, 2*maxChunk+5)
	for step := 0; ; step++ {
		disk := vfs.NewMem()
		left := -1
		st := open(t, vfs.Hook{FS: disk, Before: func(op vfs.Op, _ string) error {
			if left >= 0 {
				left--
			}
			if left == 0 {
				left = -1
				if op == vfs.OpWrite {
					return &vfs.ShortWrite{N: 7, Err: eio}
				}
				return eio
			}
			return nil
		}})
		must(t, save(st, at(1), state(1, 10)))
		left = step + 1
		err := save(st, at(2), data)
		if left > 0 {
			if err != nil || step < 8 {
				t.Fatal(step, err)
			}
			return // beyond the last step
		}
		latest, _ := st.Latest()
		if err == nil { // the removal of the older failed: it costs room only
			if latest.Index != 2 || len(files(t, disk)) != 2 {
				t.Fatal(step, latest, files(t, disk))
			}
		} else if !errors.Is(err, eio) || latest.Index != 1 {
			t.Fatal(step, err, latest)
		}
		must(t, st.Verify(latest))
		must(t, save(st, at(3), data))
		must(t, st.Verify(at(3)))
	}
}

func TestAReaderKeepsItsSnapshot(t *testing.T) {
	fsys := vfs.NewMem()
	st := open(t, fsys)
	must(t, save(st, at(1), state(1, 3*maxChunk)))
	r, err := st.Read(at(1))
	must(t, err)
	sent, _, err := st.Raw(at(1))
	must(t, err)
	must(t, save(st, at(2), nil))
	if n := files(t, fsys); len(n) != 2 {
		t.Fatal("removed while it is read:", n)
	}
	must(t, sent.Close())
	must(t, sent.Close()) // twice is once
	if n := files(t, fsys); len(n) != 2 {
		t.Fatal("removed while it is read:", n)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, state(1, 3*maxChunk)) {
		t.Fatal(err)
	}
	must(t, r.Close())
	if n := files(t, fsys); len(n) != 1 {
		t.Fatal("left behind:", n)
	}
	if _, err := st.Read(at(1)); !errors.Is(err, ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAnOlderSnapshotIsRefused(t *testing.T) {
	fsys := vfs.NewMem()
	st := open(t, fsys)
	old, err := st.Create(at(5))
	must(t, err)
	must(t, save(st, at(9), []byte("newer")))
	must(t, save(st, at(9), []byte("again"))) // the same place: the same state, made twice
	if err := old.Commit(); !errors.Is(err, ErrOlder) {
		t.Fatal(err)
	}
	if _, err := st.Create(at(8)); !errors.Is(err, ErrOlder) {
		t.Fatal(err)
	}
	if err := st.Receive(strings.NewReader(""), at(8), nil); !errors.Is(err, ErrOlder) {
		t.Fatal(err)
	}
	if got, err := load(st, at(9)); err != nil || string(got) != "again" || len(files(t, fsys)) != 1 {
		t.Fatal(string(got), err, files(t, fsys))
	}
	if _, err := old.Write([]byte("late")); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := old.Commit(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	fsys := vfs.NewMem()
	st := open(t, fsys)
	w, err := st.Create(at(1))
	must(t, err)
	_, err = w.Write(state(1, 2*maxChunk))
	must(t, err)
	w.Abort()
	w.Abort()
	if _, ok := st.Latest(); ok || len(files(t, fsys)) != 0 {
		t.Fatal(files(t, fsys))
	}
	if _, err := st.Create(raft.Snapshot{}); err == nil {
		t.Fatal("a snapshot of nothing was begun")
	}
}

// Snapshots are taken, sent, received and read by different goroutines.
func TestManyUseTheStoreAtOnce(t *testing.T) {
	st := open(t, vfs.NewMem())
	must(t, save(st, at(1), state(1, 1000)))
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 30 {
				s := at(raft.Index(2 + g + 4*i))
				if err := save(st, s, state(s.Index, 1000)); err != nil && !errors.Is(err, ErrOlder) {
					t.Error(err)
				}
				latest, _ := st.Latest()
				got, err := load(st, latest)
				if errors.Is(err, ErrNotExist) {
					continue // another was quicker
				}
				if err != nil || !bytes.Equal(got, state(latest.Index, 1000)) {
					t.Error(latest.Index, err)
				}
			}
		})
	}
	all.Wait()
}
