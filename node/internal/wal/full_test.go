package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// Every step fails once, in every way: the log either says ErrFull, has nothing of the batch on disk,
// and goes on; or it takes no more calls, and the next Open finds all that was synced.
func TestEveryStepFailsOnceInEveryWay(t *testing.T) {
	eio := errors.New("input/output error")
	short := func(n int, err error) error { return &vfs.ShortWrite{N: n, Err: err} }
	wentOn, poisoned, unharmed := 0, 0, 0
	for name, fault := range map[string]error{
		"full": syscall.ENOSPC, "full after 1": short(1, syscall.ENOSPC), "full after 600": short(600, syscall.ENOSPC),
		"full after all": short(1<<30, syscall.ENOSPC), "quota": short(60, syscall.EDQUOT),
		"EIO": eio, "EIO after 1": short(1, eio), "EIO after 600": short(600, eio), "EIO after all": short(1<<30, eio),
	} {
		for _, o := range []options{small, tiny} {
			for step := 1; ; step++ {
				outcome := failOnce(t, fmt.Sprintf("%s at step %d, options %+v", name, step, o), fault, step, o)
				switch outcome {
				case "went on":
					wentOn++
				case "poisoned":
					poisoned++
				case "unharmed":
					unharmed++
				}
				if outcome == "no such step" {
					break
				}
			}
		}
	}
	t.Logf("%d went on after ErrFull, %d took no more calls, %d unharmed", wentOn, poisoned, unharmed)
	if wentOn < 20 || poisoned < 20 || unharmed < 5 {
		t.Fatal("not all outcomes were met")
	}
}

func failOnce(t *testing.T, what string, fault error, step int, o options) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, uint64(o.segment)))
	disk, left := vfs.NewMem(), 0
	fsys := vfs.Hook{FS: disk, Before: func(vfs.Op, string) error {
		if left > 0 {
			if left--; left == 0 {
				return fault
			}
		}
		return nil
	}}
	l, err := create(fsys, dir, self, o)
	must(t, err)
	m := &model{states: []Recovered{{Identity: self}}}
	left = step
	outcome := "unharmed"
	for range 25 {
		err := m.step(rng, l)
		if err == nil {
			continue
		}
		if l.failure != nil {
			outcome = "poisoned"
			break
		}
		if !errors.Is(err, ErrFull) { // a file that could not be removed: no harm to the log
			if !m.dropping {
				t.Fatalf("%s: %v", what, err)
			}
			m.synced = len(m.states) - 1
			continue
		}
		outcome = "went on"
		// Nothing of the batch is there, whatever comes.
		exact := &model{states: m.states[m.synced:], floor: m.floor, drop: m.drop}
		if !m.dropping { // which syncs twice
			exact.states = exact.states[:1]
		}
		for range 10 {
			if _, got, err := openLog(disk.CrashClone(rng), dir, o); err != nil || exact.find(got) < 0 || got.Torn != 0 {
				t.Fatalf("%s: after ErrFull: torn %d, %v", what, got.Torn, err)
			}
		}
		must(t, l.Sync())
		m.synced = len(m.states) - 1
	}
	if left > 0 {
		return "no such step"
	}
	if l.failure != nil { // the last step came behind a batch that was durable
		outcome = "poisoned"
	}
	m.end(t, what, l, outcome)
	if rng.IntN(2) == 0 {
		disk.Crash(rng)
	}
	if _, got, err := openLog(disk, dir, o); err != nil || m.find(got) < 0 {
		t.Fatalf("%s: opened: %v %.200v", what, err, got)
	}
	return outcome
}

// end syncs a log that goes on, checks that a failed one takes no call, and kills both.
func (m *model) end(t *testing.T, what string, l *Log, outcome string) {
	t.Helper()
	if outcome != "poisoned" {
		err := l.Sync()
		if err == nil && l.failure == nil {
			m.synced = len(m.states) - 1
		}
		must(t, errors.Join(err, l.lock.Close()))
	} else {
		for _, err := range []error{l.Append(nil, entries(99, l.last.Index+1, "x")), l.Sync()} {
			if err == nil {
				t.Fatalf("%s: a failed log took a call", what)
			}
		}
		must(t, l.lock.Close())
	}
}

// fullFS is a disk that may have no room: files cannot grow, names cannot be made.
type fullFS struct {
	vfs.FS
	full *bool
}

type fullFile struct {
	vfs.File
	full *bool
}

func (f fullFS) Create(name string) (vfs.File, error) {
	if *f.full {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name)
	return fullFile{file, f.full}, err
}

func (f fullFS) OpenWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenWrite(name)
	return fullFile{file, f.full}, err
}

func (f fullFile) WriteAt(b []byte, off int64) (int, error) {
	size, err := f.Size()
	if room := max(size-off, 0); err == nil && *f.full && int64(len(b)) > room {
		n, err := f.File.WriteAt(b[:room], off)
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.WriteAt(b, off)
}

// A disk that is full for a while, and then is not: no call is refused for ever, and all that was
// appended is there in the end.
func TestTheLogOutlivesAFullDisk(t *testing.T) {
	for seed := range uint64(40) {
		for _, o := range []options{small, tiny} {
			rng := rand.New(rand.NewPCG(seed, 7))
			disk, isFull, refused := vfs.NewMem(), false, 0
			l, err := create(fullFS{disk, &isFull}, dir, self, o)
			must(t, err)
			m := &model{states: []Recovered{{Identity: self}}}
			for i := range 60 {
				isFull = i%20 >= 10
				if err := m.step(rng, l); errors.Is(err, ErrFull) && isFull {
					refused++
				} else if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if _, got, err := openLog(disk.CrashClone(rng), dir, o); err != nil || m.find(got) < 0 {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			isFull = false
			must(t, l.Append(nil, entries(99, l.last.Index+1, strings.Repeat("room again ", 1000))))
			must(t, l.Close())
			if _, got, err := openLog(disk, dir, o); err != nil || len(got.Entries) == 0 || got.Entries[len(got.Entries)-1].Term != 99 || got.Torn != 0 {
				t.Fatalf("seed %d: %v, torn %d, %d entries after %v, %.200v", seed, err, got.Torn, len(got.Entries), got.Base, m.now())
			}
			if o == small && seed == 0 && refused == 0 {
				t.Log("never refused")
			}
		}
	}
}

// Without room for a new file the old one grows, and the rotation is made up for later.
func TestARotationWaitsForRoom(t *testing.T) {
	disk, isFull := vfs.NewMem(), false
	l, err := create(fullFS{disk, &isFull}, dir, self, tiny)
	must(t, err)
	must(t, l.Append(nil, entries(1, 1, "has room")))
	must(t, l.Sync())
	isFull = true
	for i := range 5 {
		must(t, l.Append(nil, entries(1, raft.Index(i+2), strings.Repeat("x", 500))))
		must(t, l.Sync())
	}
	if n := len(snapshot(t, disk)); n != 1 || l.synced < 2000 {
		t.Fatal(n, l.synced)
	}
	isFull = false
	must(t, l.Append(nil, entries(1, 7, "y")))
	must(t, l.Sync())
	if n := len(snapshot(t, disk)); n != 2 {
		t.Fatal(n)
	}
	must(t, l.Close())
	if _, r := reopen(t, disk, tiny); len(r.Entries) != 7 {
		t.Fatal(r)
	}
}
