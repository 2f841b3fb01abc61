package wal

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// verified is what Verify says; it must not change a byte.
func verified(t *testing.T, fsys vfs.FS) (string, error) {
	t.Helper()
	before := snapshot(t, fsys)
	var out bytes.Buffer
	err := Verify(fsys, dir, &out)
	for name, data := range snapshot(t, fsys) {
		if !bytes.Equal(before[name], data) {
			t.Fatal("changed", name)
		}
	}
	return out.String(), err
}

func TestVerifySaysWhatOpenWouldFind(t *testing.T) {
	disk, _ := laterStory(t, tiny)
	said, err := verified(t, disk.with(t, "", nil))
	if err != nil || !strings.Contains(said, "to 27, of terms 4 to 6") || !strings.Contains(said, "term 6, vote n2") || strings.Contains(said, "in use") {
		t.Fatal(said, err)
	}

	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	said, err = verified(t, fsys)
	if err != nil || !strings.Contains(said, "in use") || !strings.Contains(said, "none; the next is 1") {
		t.Fatal(said, err)
	}
	must(t, l.Append(nil, entries(1, 1, "torn")))
	must(t, l.write())
	_, err = l.file.WriteAt([]byte{0xff}, l.end-1)
	must(t, err)
	must(t, l.lock.Close())
	if said, err = verified(t, fsys); err != nil || !strings.Contains(said, "unfinished") {
		t.Fatal(said, err)
	}

	for name := range disk {
		data := bytes.Clone(disk[name])
		data[20] ^= 1
		if _, err := verified(t, disk.with(t, name, data)); !errors.Is(err, ErrCorrupt) {
			t.Fatal(name, err)
		}
	}
	if _, err := verified(t, disk.without(100).with(t, "", nil)); !errors.Is(err, ErrNotExist) {
		t.Fatal(err)
	}
	if err := Verify(vfs.NewMem(), dir, &bytes.Buffer{}); !errors.Is(err, ErrNotExist) {
		t.Fatal(err)
	}
}

// Beside a member that writes, rotates and drops as fast as it can: no false alarm.
func TestVerifyBesideARunningMember(t *testing.T) {
	where := filepath.Join(t.TempDir(), "log")
	l, err := create(vfs.OS{}, where, self, options{segment: 20_000, chunk: 8192, page: 4096})
	must(t, err)
	stop := make(chan struct{})
	var written atomic.Uint64
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := raft.Index(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			written.Store(uint64(i))
			err := errors.Join(l.Append(nil, entries(1, i, strings.Repeat("v", int(i)%900))), l.Sync())
			if i%50 == 0 {
				err = errors.Join(err, l.DropPrefix(i-20))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for written.Load() < 500 && !t.Failed() {
		var out bytes.Buffer
		if err := Verify(vfs.OS{}, where, &out); err != nil || !strings.Contains(out.String(), "in use") {
			t.Error(err, out.String())
			break
		}
		must(t, Dump(vfs.OS{}, where, &out))
	}
	close(stop)
	writing.Wait()
	must(t, l.Close())
}

// tornFS is a file system on which the first reads of a file see a later write without an earlier one.
type tornFS struct {
	vfs.FS
	reads *int
	at    int64
}

type tornFile struct {
	vfs.File
	at int64
}

func (f tornFS) Open(name string) (vfs.File, error) {
	file, err := f.FS.Open(name)
	if *f.reads--; err != nil || *f.reads < 0 {
		return file, err
	}
	return tornFile{file, f.at}, nil
}

func (f tornFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	clear(b[f.at-off : f.at-off+8])
	return n, err
}

func TestVerifyReadsAgainWhatAMemberMayBeWriting(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	at := l.end
	for i := range 3 {
		must(t, l.Append(nil, entries(1, raft.Index(i+1), "x")))
		must(t, l.Sync())
	}
	for _, c := range []struct {
		reads int
		inUse bool
		want  error
	}{{1, true, nil}, {3, true, nil}, {1000, true, ErrCorrupt}, {1, false, ErrCorrupt}, {0, false, nil}} {
		if !c.inUse {
			_ = l.lock.Close()
		}
		if err := Verify(tornFS{fsys, &c.reads, at}, dir, &bytes.Buffer{}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
