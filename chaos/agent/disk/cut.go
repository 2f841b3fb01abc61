//go:build linux

package disk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"raftlab/harness/diskfault"
)

// Cut takes back what a power cut takes. The process must have ended, and the disk is of no use after it.
func (d *Disk) Cut(c diskfault.PowerCut) error {
	if !slices.Contains([]string{"none", "some", "all"}, c.Keep) {
		return fmt.Errorf("disk: keep %q is none of none, some and all", c.Keep)
	}
	d.release()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counters.Cuts++
	rng := rand.New(rand.NewPCG(c.Seed, 0))
	var err error
	if c.Keep != "all" {
		err = errors.Join(d.loseSectors(c.Keep == "some", rng), d.loseNames(c.Keep == "some", rng))
	}
	for range c.Flip {
		err = errors.Join(err, d.flip(c.In, rng))
	}
	return err
}

// unsynced is one sector whose fate is open.
type unsynced struct {
	ino uint64
	n   *inode
	at  int64
	// was are the contents to take back, newest first: of the writes after an fsync that was on its way, and of those before.
	was    [][]byte
	doomed bool
}

func (d *Disk) unsynced() []unsynced {
	var all []unsynced
	for _, ino := range slices.Sorted(maps.Keys(d.inodes)) {
		n := d.inodes[ino]
		sectors := map[int64]bool{}
		for _, m := range []map[int64]undo{n.dirty, n.syncing} {
			for s := range m {
				sectors[s] = true
			}
		}
		for _, s := range slices.Sorted(maps.Keys(sectors)) {
			u := unsynced{ino: ino, n: n, at: s}
			for _, m := range []map[int64]undo{n.dirty, n.syncing} {
				if old, known := m[s]; known {
					u.was, u.doomed = append(u.was, old.was), u.doomed || old.doomed
				}
			}
			all = append(all, u)
		}
	}
	return all
}

// loseSectors decides for each sector, and then mends the files.
func (d *Disk) loseSectors(some bool, rng *rand.Rand) error {
	all := d.unsynced()
	kept := map[uint64][]int64{}
	var lost []unsynced
	keep := survivors(some, len(all), rng)
	for i, u := range all {
		if keep(i) && !u.doomed {
			kept[u.ino] = append(kept[u.ino], u.at)
		} else {
			lost = append(lost, u)
		}
	}
	var err error
	for _, u := range lost {
		err = errors.Join(err, d.lose(u))
	}
	for ino, n := range d.inodes {
		err = errors.Join(err, d.resize(n, kept[ino]))
		d.counters.KeptSec += uint64(len(kept[ino]))
	}
	return err
}

// survivors draws which of n sectors outlive the cut.
func survivors(some bool, n int, rng *rand.Rand) func(i int) bool {
	if !some || n < 2 {
		return func(int) bool { return false }
	}
	draw := make([]bool, n)
	if count := 1 + rng.IntN(n-1); rng.IntN(2) == 0 {
		for i := range count { // the first ones, in the order of the file
			draw[i] = true
		}
	} else {
		for _, i := range rng.Perm(n)[:count] {
			draw[i] = true
		}
	}
	return func(i int) bool { return draw[i] }
}

// lose writes the durable content of a sector back.
func (d *Disk) lose(u unsynced) error {
	was := u.was[len(u.was)-1]
	now := make([]byte, SectorSize)
	k, err := u.n.file.ReadAt(now, u.at*SectorSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	d.counters.LostSec++
	for i := range SectorSize {
		before, present := i < len(was), i < k
		if before != present || before && was[i] != now[i] {
			d.counters.Lost++
		}
	}
	back := make([]byte, max(len(was), k)) // zeros where nothing was, until the file gets its size
	copy(back, was)
	_, err = u.n.file.WriteAt(back, u.at*SectorSize)
	return err
}

// resize gives a file the size that it has after the cut: the durable one, or what the kept sectors need.
func (d *Disk) resize(n *inode, kept []int64) error {
	st, err := stat(n.file)
	if err != nil {
		return err
	}
	size, wasCut := n.size, n.cut
	if n.syncing != nil {
		size, wasCut = n.sizeBefore, wasCut || n.cutBefore
	}
	if wasCut && len(kept) > 0 && st.Size < size {
		size = st.Size // the truncation reached the disk with them
	}
	for _, s := range kept {
		size = max(size, min((s+1)*SectorSize, st.Size))
	}
	return n.file.Truncate(size)
}

// loseNames takes the last changes of names back: a journal commits in order.
func (d *Disk) loseNames(some bool, rng *rand.Rand) error {
	keep := 0
	if some {
		keep = rng.IntN(len(d.names) + 1)
	}
	var err error
	for _, s := range slices.Backward(d.names[keep:]) {
		err = errors.Join(err, s.undo())
		d.counters.LostNames++
	}
	d.names = d.names[:keep]
	return err
}

// flip changes one bit of a byte that holds something.
func (d *Disk) flip(suffix string, rng *rand.Rand) error {
	type place struct {
		name string
		at   int64
	}
	var places []place
	err := filepath.WalkDir(d.Files(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.HasSuffix(path, suffix) {
			return err
		}
		data, err := os.ReadFile(path)
		for at, b := range data {
			if b != 0 {
				places = append(places, place{path, int64(at)})
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return fmt.Errorf("disk: no file %q holds anything to flip", "*"+suffix)
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.at, b.at)) })
	p := places[rng.IntN(len(places))]
	f, err := os.OpenFile(p.name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], p.at); err != nil {
		return err
	}
	bit := rng.IntN(8)
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(bytes.Clone(b[:]), p.at); err != nil {
		return err
	}
	name, err := filepath.Rel(d.Files(), p.name)
	d.counters.Flipped++
	d.counters.Flips = append(d.counters.Flips, diskfault.Flip{File: name, Offset: p.at, Bit: bit})
	return err
}
