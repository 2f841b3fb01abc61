package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// Sizes, the same for every store.
const (
	sector       = 512
	segmentBytes = 16 << 20 // ours has no other; of the others it is an option

	oneEntries, oneBytes   = 1000, 100        // fit one file
	manyEntries, manyBytes = 700, 64 << 10    // three files
	tornBefore, tornBytes  = 20, 4*sector + 7 // the write that is torn spans sectors
	earlierEvery           = 60               // entries between two looks at the files: several in each
)

// base is a log before damage: every entry was synced by itself and acknowledged, and its process was killed.
type base struct {
	files   image
	acked   []entry
	earlier []image // looks at the files while they were written, first look first: the log files alone
}

// bases are made once for each store.
type bases struct {
	root string // a directory that the caller removes
	made map[string]*base
}

func newBases(root string) *bases { return &bases{root, map[string]*base{}} }

func (b *bases) one(s store) (*base, error) { return b.of(s, "one", oneEntries, oneBytes) }

func (b *bases) many(s store) (*base, error) { return b.of(s, "many", manyEntries, manyBytes) }

func (b *bases) short(s store) (*base, error) { return b.of(s, "short", tornBefore, oneBytes) }

func (b *bases) of(s store, kind string, n, size int) (*base, error) {
	key := s.name() + " " + kind
	if b.made[key] != nil {
		return b.made[key], nil
	}
	dir, err := b.dir()
	if err != nil {
		return nil, err
	}
	l, err := s.create(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: create: %w", s.name(), err)
	}
	defer l.close()
	made := &base{acked: entries(0, n, size, "first")}
	seen := map[string]bool{}
	for i, e := range made.acked {
		if err := l.append([]entry{e}); err != nil {
			return nil, fmt.Errorf("%s: append: %w", s.name(), err)
		}
		if kind == "many" && i%earlierEvery == earlierEvery-1 {
			if err := made.lookAtNew(s, dir, seen); err != nil {
				return nil, err
			}
		}
	}
	made.files, err = look(dir)
	b.made[key] = made
	return made, err
}

func (b *bases) dir() (string, error) {
	parent, err := os.MkdirTemp(b.root, "base-")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, "log")
	return dir, os.Mkdir(dir, 0o755)
}

// lookAtNew keeps each log file as it is the second time that it is met: written in part.
func (b *base) lookAtNew(s store, dir string, seen map[string]bool) error {
	now, err := look(dir)
	if err != nil {
		return err
	}
	names := now.logs(s)
	newest := names[len(names)-1]
	if seen[newest] {
		return nil
	}
	seen[newest] = true
	b.earlier = append(b.earlier, image{newest: now[newest]})
	return nil
}
