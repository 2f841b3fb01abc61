package main

import (
	"errors"
	"fmt"
	"slices"
)

// row is one kind of damage, and what a reopen may do about it.
type row struct {
	damage string
	right  []kind
	// variants make all the ways in which this damage is done; the worst of what a reopen does stands in the table.
	variants func(s store, b *bases) ([]variant, error)
}

// variant is the files before a reopen, and what they must still hold.
type variant struct {
	files func() (image, error)
	acked []entry
	began []entry // of a batch that was never acknowledged: any part of it may be there
}

// errOneFile: the damage needs several files of a log, and this store has one at a time.
var errOneFile = errors.New("one file at a time")

// Synced bytes are not there any more: a store may refuse, and must not answer as if they had never been.
var damagedRight = []kind{refused, kept}

var rows = []row{
	{"one bit flipped in an entry's data", damagedRight, onOne(flipPayload)},
	{"one bit flipped in a record's header (each in turn)", damagedRight, onOne(flipHeader)},
	{"a record's length zeroed", damagedRight, onOne(zeroLength)},
	{"a sector of 512 bytes zeroed in the middle", damagedRight, onOne(zeroSector)},
	{"one bit flipped in the last record", damagedRight, onOne(flipLast)},
	{"the file cut off in the middle", damagedRight, onOne(cutFile)},
	{"the newest file missing", damagedRight, onMany(missing(-1))},
	{"a file in the middle missing", damagedRight, onMany(missing(1))},
	{"the oldest file missing", damagedRight, onMany(missing(0))},
	{"a full file as it was when half full", damagedRight, onMany(stale(1))},
	{"a full file in the place of the next one", damagedRight, onMany(duplicated)},
	{"last write torn between sectors", []kind{kept}, torn(tornBytes, atSector)},
	{"a short last write cut off half-way", []kind{kept}, torn(oneBytes, halfWay)},
	{"last write torn inside a sector", []kind{kept}, torn(tornBytes, insideSector)},
	{"last write torn, only its first sector missing", []kind{kept}, torn(tornBytes, firstSector)},
	{"last write torn; after a reopen a shorter one, torn too", []kind{kept}, tornTwice},
	// No log can tell: README.md says so. It stands here so that nobody takes the table for more than it is.
	{"the newest file as it was when half full", []kind{lost}, onMany(stale(-1))},
}

// change makes damaged files out of whole ones.
type change func(image) image

func onOne(damage func(s store, files image, all []entry) ([]change, error)) func(store, *bases) ([]variant, error) {
	return func(s store, b *bases) ([]variant, error) {
		one, err := b.one(s)
		if err != nil {
			return nil, err
		}
		changes, err := damage(s, one.files, one.acked)
		return one.each(changes), err
	}
}

func onMany(damage func(s store, many *base) (change, error)) func(store, *bases) ([]variant, error) {
	return func(s store, b *bases) ([]variant, error) {
		many, err := b.many(s)
		if err != nil {
			return nil, err
		}
		c, err := damage(s, many)
		return many.each([]change{c}), err
	}
}

func (b *base) each(changes []change) []variant {
	var all []variant
	for _, c := range changes {
		all = append(all, variant{files: func() (image, error) { return c(b.files), nil }, acked: b.acked})
	}
	return all
}

// edit changes a copy of one file.
func edit(name string, do func([]byte) []byte) change {
	return func(m image) image { return m.with(name, do(slices.Clone(m[name]))) }
}

func flip(name string, at int, mask byte) change {
	return edit(name, func(b []byte) []byte { b[at] ^= mask; return b })
}

// middle finds an entry around the middle of the log whose data lies in one piece.
func middle(s store, files image, all []entry) (name string, at, size int, err error) {
	for _, e := range all[len(all)/2:] {
		if name, at, ok := files.find(s, e.data); ok {
			return name, at, len(e.data), nil
		}
	}
	return "", 0, 0, errors.New("compare: no entry's data is in one piece")
}

func flipPayload(s store, files image, all []entry) ([]change, error) {
	name, at, size, err := middle(s, files, all)
	return []change{flip(name, at+size/2, 4)}, err
}

func flipHeader(s store, files image, all []entry) ([]change, error) {
	name, at, _, err := middle(s, files, all)
	if err != nil {
		return nil, err
	}
	f, err := s.frame(files[name], at)
	var changes []change
	for byteAt := f.from; byteAt < f.to; byteAt++ {
		for bit := range 8 {
			changes = append(changes, flip(name, byteAt, 1<<bit))
		}
	}
	return changes, err
}

func zeroLength(s store, files image, all []entry) ([]change, error) {
	name, at, _, err := middle(s, files, all)
	if err != nil {
		return nil, err
	}
	f, err := s.frame(files[name], at)
	return []change{edit(name, func(b []byte) []byte { clear(b[f.lengthFrom:f.lengthTo]); return b })}, err
}

func zeroSector(s store, files image, all []entry) ([]change, error) {
	name, at, size, err := middle(s, files, all)
	from := (at + size/2) / sector * sector
	return []change{edit(name, func(b []byte) []byte { clear(b[from : from+sector]); return b })}, err
}

func flipLast(s store, files image, all []entry) ([]change, error) {
	last := all[len(all)-1].data
	name, at, ok := files.find(s, last)
	if !ok {
		return nil, errors.New("compare: the last entry's data is not in one piece")
	}
	return []change{flip(name, at+len(last)/2, 4)}, nil
}

func cutFile(s store, files image, all []entry) ([]change, error) {
	name, at, size, err := middle(s, files, all)
	return []change{edit(name, func(b []byte) []byte { return b[:at+size/2] })}, err
}

// file picks a log file by its place, from the newest where that is negative.
func (b *base) file(s store, place int) (string, error) {
	names := b.files.logs(s)
	if place < 0 {
		place += len(names)
	} else if len(names) < 3 {
		return "", errOneFile
	}
	return names[place], nil
}

func missing(place int) func(store, *base) (change, error) {
	return func(s store, many *base) (change, error) {
		name, err := many.file(s, place)
		return func(m image) image { return m.with(name, nil) }, err
	}
}

// stale puts a file back as it was while it was being written.
func stale(place int) func(store, *base) (change, error) {
	return func(s store, many *base) (change, error) {
		name, err := many.file(s, place)
		if err != nil {
			return nil, err
		}
		for _, earlier := range many.earlier {
			if old := earlier[name]; old != nil {
				return func(m image) image { return m.with(name, old) }, nil
			}
		}
		return nil, fmt.Errorf("compare: %s was never seen half full", name)
	}
}

func duplicated(s store, many *base) (change, error) {
	from, err := many.file(s, 0)
	if err != nil {
		return nil, err
	}
	to, err := many.file(s, 1)
	return func(m image) image { return m.with(to, m[from]) }, err
}
