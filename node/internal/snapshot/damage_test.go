package snapshot

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// small is the file of a snapshot of two chunks.
func small(t testing.TB) (*vfs.Mem, []byte) {
	t.Helper()
	fsys := vfs.NewMem()
	st := open(t, fsys)
	w, err := st.Create(at(7))
	must(t, err)
	for _, part := range []string{"first chunk", "second chunk, of another length"} {
		_, err = w.Write([]byte(part))
		must(t, err)
		must(t, w.flush())
	}
	must(t, w.Commit())
	return fsys, raw(t, st, at(7))
}

func damages(data []byte, at int) map[string][]byte {
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(data)) }
	return map[string][]byte{
		"cut":      bytes.Clone(data[:at]),
		"flip":     change(func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b }),
		"flip all": change(func(b []byte) []byte { b[at] = ^b[at]; return b }),
		"zero":     change(func(b []byte) []byte { b[at] = 0; return b }),
		"zero 8":   change(func(b []byte) []byte { clear(b[at:min(at+8, len(b))]); return b }),
		"remove":   change(func(b []byte) []byte { return append(b[:at], b[at+1:]...) }),
		"insert":   change(func(b []byte) []byte { return append(b[:at:at], append([]byte{0}, data[at:]...)...) }),
		"double":   change(func(b []byte) []byte { return append(b, b[at:]...) }),
	}
}

// Damage at every byte, on the disk and on the way: an error, which says what to do, and never a wrong
// byte before it. The file is left as it is.
func TestDamageAtEveryByteIsFound(t *testing.T) {
	_, data := small(t)
	want := "first chunksecond chunk, of another length"
	for at8 := range data {
		for what, damaged := range damages(data, at8) {
			if bytes.Equal(damaged, data) {
				continue
			}
			fsys := vfs.NewMem()
			must(t, fsys.MkdirAll(dir))
			f, err := fsys.Create(filepath.Join(dir, name(at(7))))
			must(t, err)
			_, err = f.WriteAt(damaged, 0)
			must(t, err)
			st, err := Open(fsys, dir)
			if err == nil {
				var got []byte
				got, err = load(st, at(7))
				if !strings.HasPrefix(want, string(got)) {
					t.Fatalf("%s at %d: read %q", what, at8, got)
				}
				if verified := st.Verify(at(7)); verified == nil {
					t.Fatalf("%s at %d: verified", what, at8)
				}
				if err := save(st, at(9), nil); err != nil {
					t.Fatal(err)
				}
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "join again") || !strings.Contains(err.Error(), "at byte") {
				t.Fatalf("%s at %d: %v", what, at8, err)
			}

			other := open(t, vfs.NewMem())
			if err := other.Receive(bytes.NewReader(damaged), at(7), nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "nothing was kept") {
				t.Fatalf("%s at %d, received: %v", what, at8, err)
			}
			if _, ok := other.Latest(); ok || len(files(t, other.fs)) != 0 {
				t.Fatalf("%s at %d: kept %v", what, at8, files(t, other.fs))
			}
		}
	}
}

// Every chunk has a right checksum, but stands in another place, or is missing, or comes twice.
func TestAChunkBelongsToItsPlace(t *testing.T) {
	st := open(t, vfs.NewMem())
	w, err := st.Create(at(7))
	must(t, err)
	for _, part := range []string{"one", "two", "six"} {
		_, err = w.Write([]byte(part))
		must(t, err)
		must(t, w.flush())
	}
	must(t, w.Commit())
	data := raw(t, st, at(7))
	const size = chunkHead + 3
	first := len(data) - footerSize - 3*size
	chunk := func(n int) []byte { return data[first+n*size : first+(n+1)*size] }
	for _, order := range [][]int{{0, 2, 1}, {1, 0, 2}, {0, 0, 1, 2}, {0, 1}, {0, 1, 1}, {2, 1, 0}} {
		changed := bytes.Clone(data[:first])
		for _, n := range order {
			changed = append(changed, chunk(n)...)
		}
		changed = append(changed, data[len(data)-footerSize:]...)
		if err := open(t, vfs.NewMem()).Receive(bytes.NewReader(changed), at(7), nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("chunks %v: %v", order, err)
		}
	}
}

// What cannot be read is evidence: Open says so and removes nothing.
func TestAnUnreadableSnapshotIsKept(t *testing.T) {
	fsys, data := small(t)
	f, err := fsys.OpenWrite(filepath.Join(dir, name(at(7))))
	must(t, err)
	_, err = f.WriteAt([]byte{^data[20]}, 20)
	must(t, err)
	if _, err := Open(fsys, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name(at(7))) {
		t.Fatal(err)
	}
	f2, err := fsys.Create(filepath.Join(dir, name(at(9)))) // a newer one: readable, so the member starts
	must(t, err)
	newer := open(t, vfs.NewMem())
	must(t, save(newer, at(9), nil))
	_, err = f2.WriteAt(raw(t, newer, at(9)), 0)
	must(t, err)
	st := open(t, fsys)
	must(t, save(st, at(10), nil))
	if n := files(t, fsys); len(n) != 2 || n[0] != name(at(7)) || n[1] != name(at(10)) {
		t.Fatal("the damaged one must stay, the older whole one must go:", n)
	}
}

// A file under a name that is not its own, and a stream that is not what its message says.
func TestAnotherSnapshotIsNotTakenForTheOneThatIsMeant(t *testing.T) {
	fsys, data := small(t)
	must(t, fsys.Rename(filepath.Join(dir, name(at(7))), filepath.Join(dir, name(at(8)))))
	if _, err := Open(fsys, dir); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	for _, change := range []func(*raft.Snapshot){
		func(s *raft.Snapshot) { s.Index++ }, func(s *raft.Snapshot) { s.Term++ }, func(s *raft.Snapshot) { s.ConfigurationIndex++ },
		func(s *raft.Snapshot) { s.Configuration.Members = s.Configuration.Members[:1] },
	} {
		want := at(7)
		change(&want)
		st := open(t, vfs.NewMem())
		if err := st.Receive(bytes.NewReader(data), want, nil); !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if n := files(t, st.fs); len(n) != 0 {
			t.Fatal(n)
		}
	}
}

func TestFilesOfOthersAreLeftAlone(t *testing.T) {
	fsys := vfs.NewMem()
	must(t, fsys.MkdirAll(dir))
	for _, n := range []string{"notes.txt", "0000-1.snap", "x.tmp", "1-" + name(at(1)) + tempSuffix} {
		f, err := fsys.Create(filepath.Join(dir, n))
		must(t, err)
		must(t, f.Close())
	}
	st := open(t, fsys)
	if _, ok := st.Latest(); ok || len(files(t, fsys)) != 3 {
		t.Fatal(files(t, fsys))
	}
}

// brokenReader fails in the middle, as a connection does.
type brokenReader struct {
	r   io.Reader
	err error
}

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func TestABrokenConnectionIsNotDamage(t *testing.T) {
	_, data := small(t)
	cut := errors.New("connection reset")
	for n := range data {
		st := open(t, vfs.NewMem())
		err := st.Receive(brokenReader{bytes.NewReader(data[:n]), cut}, at(7), nil)
		if !errors.Is(err, cut) || errors.Is(err, ErrDamaged) || len(files(t, st.fs)) != 0 {
			t.Fatal(n, err)
		}
	}
}

// A gigabyte would be received in the memory of a chunk.
func TestReceiveNeedsNoMemoryForTheWhole(t *testing.T) {
	source, err := Open(vfs.OS{}, filepath.Join(t.TempDir(), "a"))
	must(t, err)
	w, err := source.Create(at(1))
	must(t, err)
	part := state(1, 1<<20)
	const parts = 48
	for range parts {
		_, err = w.Write(part)
		must(t, err)
	}
	must(t, w.Commit())
	st, err := Open(vfs.OS{}, filepath.Join(t.TempDir(), "b"))
	must(t, err)
	r, _, err := source.Raw(at(1))
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, st.Receive(r, at(1), nil))
	must(t, st.Verify(at(1)))
	runtime.ReadMemStats(&after)
	must(t, r.Close())
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes allocated to receive and verify %d MiB", got, parts)
	}
}

// Any bytes: an error or a snapshot, no panic; and what is received is what is read.
func FuzzReceive(f *testing.F) {
	_, data := small(f)
	f.Add(data)
	f.Add(data[:60])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		st := open(t, vfs.NewMem())
		d := decoder{r: bytes.NewReader(data)}
		want := at(7)
		if d.header() == nil {
			want = d.snapshot
		}
		if err := st.Receive(bytes.NewReader(data), want, nil); err != nil {
			if n := files(t, st.fs); len(n) != 0 {
				t.Fatal(n)
			}
			return
		}
		if !bytes.Equal(raw(t, st, want), data) {
			t.Fatal("other bytes were stored")
		}
		must(t, st.Verify(want))
	})
}
