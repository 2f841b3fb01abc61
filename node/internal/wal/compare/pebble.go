package main

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// pebbled is Pebble as a log: the index is the key, and what a reopen returns was in its own write-ahead log.
type pebbled struct {
	format pebble.FormatMajorVersion
	says   string
}

type pebbleLog struct{ db *pebble.DB }

func (p pebbled) name() string {
	return fmt.Sprintf("Pebble %s, %s format", version("github.com/cockroachdb/pebble/v2"), p.says)
}

// logs is the newest alone: what the others held is in tables by now.
func (pebbled) logs(names []string) []string {
	names = withSuffix(names, ".log")
	return names[len(names)-1:]
}

func (p pebbled) start(dir string) (*pebble.DB, error) {
	return pebble.Open(dir, &pebble.Options{FormatMajorVersion: p.format, MemTableSize: segmentBytes, Logger: silent{}})
}

// create opens twice: the first log of a new Pebble is written without the offsets by which the newest format tells
// torn from damaged, and it would not be fair to measure that one.
func (p pebbled) create(dir string) (log, error) {
	db, err := p.start(dir)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	if db, err = p.start(dir); err != nil {
		return nil, err
	}
	return pebbleLog{db}, nil
}

func (p pebbled) open(dir string) (log, []entry, error) {
	db, err := p.start(dir)
	if err != nil {
		return nil, nil, err
	}
	read, err := readKeys(db)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return pebbleLog{db}, read, nil
}

func readKeys(db *pebble.DB) ([]entry, error) {
	all, err := db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	var read []entry
	for ok := all.First(); ok; ok = all.Next() {
		value, err := all.ValueAndErr()
		if err != nil {
			all.Close()
			return nil, err
		}
		if len(all.Key()) != 8 {
			all.Close()
			return nil, fmt.Errorf("compare: a key of %d bytes", len(all.Key()))
		}
		read = append(read, entry{binary.BigEndian.Uint64(all.Key()), append([]byte{}, value...)})
	}
	return read, all.Close()
}

func (l pebbleLog) append(batch []entry) error {
	b := l.db.NewBatch()
	for _, e := range batch {
		if err := b.Set(binary.BigEndian.AppendUint64(nil, e.index), e.data, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (l pebbleLog) begin(batch []entry) error { return l.append(batch) }
func (l pebbleLog) close()                    { _ = l.db.Close() }

// Blocks of 32 KiB hold chunks: checksum (4), length (2), type (1), and by the type a log number (4) and an offset (8).
func (pebbled) frame(file []byte, at int) (frame, error) {
	const block = 32 << 10
	for from := 0; from+7 <= len(file); {
		head := 0
		switch kind := file[from+6]; {
		case kind >= 1 && kind <= 4:
			head = 7
		case kind >= 5 && kind <= 8:
			head = 11
		case kind >= 9 && kind <= 12:
			head = 19
		default: // the rest of the block is empty
			from = (from/block + 1) * block
			continue
		}
		next := from + head + int(binary.LittleEndian.Uint16(file[from+4:]))
		if at < next {
			return frame{from, from + head, from + 4, from + 6}, nil
		}
		if from = next; block-from%block < 7 {
			from = (from/block + 1) * block
		}
	}
	return frame{}, fmt.Errorf("pebble: no chunk holds byte %d", at)
}

// silent drops what Pebble says. What is fatal to it is an error here.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("pebble ends the process: "+format, args...))
}
