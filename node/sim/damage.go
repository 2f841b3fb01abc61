package sim

import (
	"strings"
	"time"

	"raftlab/node/internal/wal"
)

// What N of a full disk has.
const (
	copies = 1 << iota // to overwrite takes room, too
	names              // a new file has room for its name, and for nothing that is written into it
)

// diskFault makes a disk slow, full or wrong.
func (w *world) diskFault(f Fault, m *member) bool {
	fs := m.fs
	switch f.Kind {
	case SlowSync:
		m.slowSync = time.Duration(f.N) * time.Millisecond
		w.later(f.For, func() { m.slowSync = 0 })
	case StuckSync:
		m.stuckTill = w.now + f.For
	case Full:
		fs.full, fs.copies, fs.names = true, f.N&copies != 0, f.N&names != 0
		w.later(f.For, func() { fs.full = false })
	case SyncFails:
		fs.failing = true
	case Flip:
		// A disk that had no room for the log's mark is a limit that wal names: nothing says that the last batch was synced.
		if m.lost || m.fs.short || !w.mayLose(m) {
			return false
		}
		w.crash(m, false) // with a power cut, damage to the last batch would look like a torn write: a limit that wal names
		m.lost = w.flip(m, f.N)
		w.restartAfter(m, f.For)
		return m.lost
	case LoseLog:
		return w.loseLog(f, m)
	}
	return true
}

// loseLog is a directory that was restored in part: there are snapshots, and no log. Its member must not start, since it has
// forgotten whom it voted for.
func (w *world) loseLog(f Fault, m *member) bool {
	snapshots, err := m.fs.List(dataDir + "/" + wal.SnapshotDir)
	names, err2 := m.fs.List(dataDir)
	if err != nil || err2 != nil || len(snapshots) == 0 || m.lost || !w.mayLose(m) {
		return false
	}
	w.crash(m, false)
	for _, name := range names {
		if strings.HasSuffix(name, ".wal") && m.fs.Mem.Remove(dataDir+"/"+name) != nil {
			return false
		}
	}
	m.lost, m.logLost, m.shadow.known = true, true, false
	w.restartAfter(m, f.For)
	return m.fs.Mem.SyncDir(dataDir) == nil
}

// headBytes are the first of a file, which say what it is.
const headBytes = 64

// flip changes one bit of a file, of those that hold something; where, says Flip.
func (w *world) flip(m *member, where uint64) bool {
	rng := w.chance.faults
	var files []string
	for _, dir := range []string{dataDir, dataDir + "/snapshots"} {
		names, err := m.fs.List(dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".wal") || strings.HasSuffix(name, ".snap") {
				files = append(files, dir+"/"+name)
			}
		}
	}
	if len(files) == 0 {
		return false
	}
	f, err := m.fs.Mem.OpenWrite(files[rng.IntN(len(files))])
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil || size == 0 {
		return false
	}
	if where == 1 {
		size = min(size, headBytes)
	}
	for range 200 {
		at := rng.Int64N(size)
		var b [4]byte
		if n, _ := f.ReadAt(b[:], at); n == 0 || (where == 2) != (b[0] == 0) || b == [4]byte{} {
			continue
		}
		b[0] ^= 1 << rng.IntN(8)
		_, err := f.WriteAt(b[:1], at)
		return err == nil && f.Sync() == nil
	}
	return false
}
