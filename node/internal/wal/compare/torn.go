package main

import (
	"errors"
	"fmt"
)

// torn appends one batch to a short log, and lets a part of what it wrote reach the disk.
func torn(size int, tear func(before, after image, s store) (image, error)) func(store, *bases) ([]variant, error) {
	return func(s store, b *bases) ([]variant, error) {
		short, err := b.short(s)
		if err != nil {
			return nil, err
		}
		batch := entries(tornBefore, 1, size, "torn")
		after, err := b.began(s, short.files, batch)
		if err != nil {
			return nil, err
		}
		files, err := tear(short.files, after, s)
		return []variant{{func() (image, error) { return files, nil }, short.acked, batch}}, err
	}
}

// tornTwice: a batch of three entries is torn, the log is opened and goes on, and the batch that takes its place is
// shorter, ends where an entry of the first ended, and is torn too.
func tornTwice(s store, b *bases) ([]variant, error) {
	short, err := b.short(s)
	if err != nil {
		return nil, err
	}
	first := entries(tornBefore, 3, tornBytes, "torn")
	after, err := b.began(s, short.files, first)
	if err != nil {
		return nil, err
	}
	once, err := insideLost(short.files, after, s)
	if err != nil {
		return nil, err
	}
	second := entries(tornBefore, 1, tornBytes-8, "again")
	files := func() (image, error) {
		before, after, err := b.reopenAndBegin(s, once, second)
		if err != nil {
			return nil, err
		}
		return insideLost(before, after, s)
	}
	return []variant{{files, short.acked, second}}, nil
}

// began returns the files as they are when a batch was handed to the disk.
func (b *bases) began(s store, files image, batch []entry) (image, error) {
	_, after, err := b.reopenAndBegin(s, files, batch)
	return after, err
}

// refusal is a reopen that failed where the damage is not complete yet.
type refusal struct{ error }

func (b *bases) reopenAndBegin(s store, files image, batch []entry) (before, after image, err error) {
	dir, err := files.lay(b.root)
	if err != nil {
		return nil, nil, err
	}
	l, _, err := s.open(dir)
	if err != nil {
		return nil, nil, refusal{err}
	}
	defer l.close()
	if before, err = look(dir); err != nil {
		return nil, nil, err
	}
	if err := l.begin(batch); err != nil {
		return nil, nil, fmt.Errorf("%s: begin: %w", s.name(), err)
	}
	after, err = look(dir)
	return before, after, err
}

// written finds the log file that changed, and the bytes from the first to the last that did.
func written(before, after image, s store) (name string, from, to int, err error) {
	for _, n := range after.logs(s) {
		old, now := before[n], after[n]
		first, last := -1, -1
		for i := range now {
			if i >= len(old) && now[i] != 0 || i < len(old) && now[i] != old[i] {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first >= 0 && last-first >= oneBytes {
			return n, first, last + 1, nil
		}
	}
	return "", 0, 0, errors.New("compare: no log file has changed")
}

// mixed is the file after a write, but for the bytes from one offset to another, which are as they were before it.
func mixed(before, after image, name string, from, to int) image {
	old, now := before[name], append([]byte{}, after[name]...)
	for i := from; i < min(to, len(now)); i++ {
		now[i] = 0
		if i < len(old) {
			now[i] = old[i]
		}
	}
	if to >= len(now) && len(now) > len(old) {
		now = now[:max(from, len(old))] // a file that had grown ends where the write ended
	}
	return after.with(name, now)
}

func halfWay(before, after image, s store) (image, error) {
	name, from, to, err := written(before, after, s)
	if err != nil {
		return nil, err
	}
	return mixed(before, after, name, (from+to)/2, len(after[name])), nil
}

func atSector(before, after image, s store) (image, error) {
	name, from, to, err := written(before, after, s)
	if err != nil {
		return nil, err
	}
	return mixed(before, after, name, (from+to)/2/sector*sector, len(after[name])), nil
}

func insideSector(before, after image, s store) (image, error) {
	name, from, to, err := written(before, after, s)
	if err != nil {
		return nil, err
	}
	return mixed(before, after, name, (from+to)/2/sector*sector+sector/3, len(after[name])), nil
}

func firstSector(before, after image, s store) (image, error) {
	name, from, _, err := written(before, after, s)
	if err != nil {
		return nil, err
	}
	return mixed(before, after, name, from, (from/sector+1)*sector), nil
}

// insideLost loses the first whole sector of a write, which holds nothing but an entry's data.
func insideLost(before, after image, s store) (image, error) {
	name, from, _, err := written(before, after, s)
	if err != nil {
		return nil, err
	}
	lost := (from/sector + 1) * sector
	return mixed(before, after, name, lost, lost+sector), nil
}
