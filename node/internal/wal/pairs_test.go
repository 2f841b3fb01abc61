package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

var allPairs = flag.Bool("all-pairs", false, "pairs of faults with every bit of every byte flipped, and over two files (minutes)")

// mini makes a log of a few hundred bytes: a page, and so a sector, has 64.
var mini = options{segment: 1 << 20, chunk: 384, page: 64}

// Every pair of two faults on a tiny log, against a model that knows what each byte is for: a start goes on exactly
// when nothing that was durable is gone, or nothing is left that could say so; then nothing else is missing.
//
// A fault is one of: the file cut at a byte; a sector torn at a byte (what follows in it is zero); a byte zeroed; a
// bit of a byte flipped. All pairs of these at all bytes are made, the one at the lower byte first, because in the
// other order the second undoes the first or neither minds. By default one bit is flipped in each byte; -all-pairs
// flips each of the eight, and makes the pairs over two files too, of which one in 11 is made otherwise.
func TestEveryPairOfFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(*testing.T) *tinyLog
		every int // pair is made without -all-pairs
	}{
		{"synced", func(t *testing.T) *tinyLog { return writeTiny(t, mini, true) }, 1},
		{"last batch not synced", func(t *testing.T) *tinyLog { return writeTiny(t, mini, false) }, 1},
		{"two files", func(t *testing.T) *tinyLog {
			return writeTiny(t, options{segment: 200, chunk: 384, page: 64}, true)
		}, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := c.write(t)
			every := c.every
			if *allPairs {
				every = 1
			}
			l.pairs(t, every)
		})
	}
}

func (l *tinyLog) pairs(t *testing.T, every int) {
	faults := l.faults()
	files := make([][]byte, len(l.files))
	met := map[string]int{}
	n := 0
	for i, one := range faults {
		for _, two := range faults[i:] {
			if n++; n%every != 0 {
				continue
			}
			for k := range files {
				files[k] = append(files[k][:0], l.files[k]...)
			}
			one.do(files)
			two.do(files)
			got, err := read(files)
			want := l.model(files)
			if wrong := want.differs(got, err); wrong != "" {
				t.Fatalf("%v, %v: %s", one, two, wrong)
			}
			met[want.says]++
		}
	}
	t.Logf("%d faults; of their pairs %v", len(faults), met)
	for _, outcome := range []string{"refused", "whole", "cut"} {
		if met[outcome] == 0 {
			t.Errorf("no pair was to be %s", outcome)
		}
	}
}

// fault is one place gone bad.
type fault struct {
	kind     string
	file, at int
	bit      int
}

func (f fault) String() string {
	return fmt.Sprintf("%s at byte %d of file %d (bit %d)", f.kind, f.at, f.file+1, f.bit)
}

func (f fault) do(files [][]byte) {
	b := files[f.file]
	if f.at >= len(b) { // cut off already
		return
	}
	switch f.kind {
	case "cut":
		files[f.file] = b[:f.at]
	case "tear":
		clear(b[f.at:min(f.at/int(mini.page)*int(mini.page)+int(mini.page), len(b))])
	case "zero":
		b[f.at] = 0
	default:
		b[f.at] ^= 1 << f.bit
	}
}

// faults lists those that change something, by file and byte.
func (l *tinyLog) faults() []fault {
	var all []fault
	for k, data := range l.files {
		for at := range data {
			list := []fault{{kind: "cut", file: k, at: at}, {kind: "tear", file: k, at: at}, {kind: "zero", file: k, at: at}}
			for bit := range 8 {
				if *allPairs || bit == at*5%8 {
					list = append(list, fault{"flip", k, at, bit})
				}
			}
			for _, f := range list {
				files := make([][]byte, len(l.files))
				files[k] = bytes.Clone(data)
				if f.do(files); !bytes.Equal(files[k], data) {
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// tinyLog is an undamaged log and what its bytes are for.
type tinyLog struct {
	files [][]byte
	spans [][]span // of each file: its records in order, the mark last if there is one
	// states are what the log holds after each whole batch, by the file and the offset at which the batch ends.
	states map[[2]int]Recovered
}

// span is one record.
type span struct {
	from, to int
	record
}

// writeTiny writes two batches: a state with an entry, and an entry. If synced is not set, the second batch was
// written and never made durable, and so never acknowledged.
func writeTiny(t *testing.T, o options, synced bool) *tinyLog {
	t.Helper()
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, Identity{ID: 7, Cluster: 9, Address: "a", Salt: 0x5a17}, o)
	must(t, err)
	tiny := &tinyLog{states: map[[2]int]Recovered{}}
	holds := Recovered{Identity: l.Identity()}
	note := func() { tiny.states[[2]int{int(l.head.number) - 1, int(l.end)}] = holds }
	note()
	holds.HardState, holds.Entries = raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "a")
	must(t, l.Append(&holds.HardState, holds.Entries))
	must(t, l.Sync())
	note()
	holds.Entries = entries(1, 1, "a", "bc")
	must(t, l.Append(nil, holds.Entries[1:]))
	if must(t, l.write()); synced {
		must(t, l.file.Sync())
		l.synced = l.end
		must(t, l.writeMark())
	}
	note()
	must(t, l.lock.Close())
	disk := snapshot(t, fsys)
	for number := 1; number <= len(disk); number++ {
		data := disk[segmentName(uint64(number))]
		tiny.files = append(tiny.files, data)
		tiny.spans = append(tiny.spans, records(data))
	}
	return tiny
}

// records are those of an undamaged file, wherever they stand.
func records(data []byte) []span {
	var all []span
	for at := 0; at < len(data); {
		r, size, ok := parse(data[at:])
		if !ok {
			at += recordAlign
			continue
		}
		all = append(all, span{at, at + size, r})
		at += size
	}
	return all
}

// expectation is what a start must do with damaged files.
type expectation struct {
	says  string // whole, cut, refused
	holds Recovered
	torn  bool       // bytes of an unfinished batch are left, and must be reported
	entry raft.Index // that a refusal must name; zero: none in particular
}

// model says what must come of it. It compares with the undamaged files and asks the reader nothing.
func (l *tinyLog) model(files [][]byte) expectation {
	last := len(files) - 1
	for k, data := range files {
		whole := 0 // the log's last whole batch in this file ends here
		for _, s := range l.spans[k] {
			hit := s.to > len(data) || !bytes.Equal(data[s.from:s.to], l.files[k][s.from:s.to])
			switch {
			case s.kind == recordMark || s.kind == recordSeal:
			case hit && (k < last || s.kind == recordSegment):
				// The next file vouches for all of this one, and a header was durable before its file had a name.
				return expectation{says: "refused", entry: s.entryIndex()}
			case hit:
				return l.tail(k, data, whole, s)
			case !s.more:
				whole = s.to
			}
		}
		if k == last && len(data) < len(l.files[k]) {
			return expectation{says: "refused"} // shorter than at its birth
		}
		if k == last {
			return expectation{says: "whole", holds: l.states[[2]int{k, whole}]}
		}
	}
	panic("no file")
}

// tail: the first record that is hit is in the last file. What is left and says that more was durable makes it damage.
func (l *tinyLog) tail(k int, data []byte, whole int, first span) expectation {
	refused := expectation{says: "refused", entry: first.entryIndex()}
	if len(data) < len(l.files[k]) {
		return refused
	}
	end := whole
	for _, s := range l.spans[k] {
		if s.from > first.from && bytes.Equal(data[s.from:s.to], l.files[k][s.from:s.to]) && int(s.synced) > whole {
			return refused
		}
		if s.kind != recordMark {
			end = s.to
		}
	}
	return expectation{says: "cut", holds: l.states[[2]int{k, whole}], torn: len(bytes.Trim(data[whole:end], "\x00")) > 0}
}

func (s span) entryIndex() raft.Index {
	if s.kind == recordEntry {
		return raft.Index(s.index)
	}
	return 0
}

// differs says in what a start did not do as expected.
func (want expectation) differs(got Recovered, err error) string {
	var corrupt *CorruptError
	switch {
	case want.says == "refused" && !errors.As(err, &corrupt):
		return fmt.Sprintf("opened, or refused without a reason: %+v, %v", got, err)
	case want.says == "refused":
		if i := want.entry; i != 0 && (i < corrupt.First || !corrupt.Rest && i > corrupt.Last) {
			return fmt.Sprintf("entry %d is damaged, and not named: %v", i, err)
		}
		return ""
	case err != nil:
		return fmt.Sprintf("%s: %v", want.says, err)
	case want.torn && got.Torn == 0:
		return "cut, and not a word of it"
	}
	if got.Torn = 0; !equal(want.holds, got) {
		return cmp.Diff(want.holds, got)
	}
	return ""
}

// read scans files in memory, as Open does before it changes anything.
func read(files [][]byte) (Recovered, error) {
	s := scan{page: mini.page}
	numbers := make([]uint64, len(files))
	for k := range files {
		numbers[k] = uint64(k) + 1
	}
	t, err := s.directory(inMemory{files: files}, "", numbers)
	if err != nil {
		return Recovered{}, err
	}
	return Recovered{Identity: s.identity, HardState: s.state, Base: s.base, Entries: s.entries, Torn: t.torn()}, nil
}

// inMemory is the reading half of a file system, over segments 1, 2, ... It is made for speed.
type inMemory struct {
	vfs.FS
	files [][]byte
}

type inMemoryFile struct {
	vfs.File
	data []byte
}

func (m inMemory) Open(name string) (vfs.File, error) {
	return inMemoryFile{data: m.files[segmentNumber(filepath.Base(name))-1]}, nil
}

func (f inMemoryFile) Size() (int64, error) { return int64(len(f.data)), nil }
func (f inMemoryFile) Close() error         { return nil }
func (f inMemoryFile) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, f.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// The model must be able to convict: a reader that cuts damage off as if it were torn (NATS #7549), and one that
// forgets a batch that is whole.
func TestTheModelOfPairsConvictsAReaderThatForgets(t *testing.T) {
	l := writeTiny(t, mini, true)
	files := [][]byte{slices.Clone(l.files[0])}
	files[0][l.spans[0][1].from] ^= 1 // in the first batch
	forgetful := Recovered{Identity: l.states[[2]int{0, l.spans[0][0].to}].Identity, Torn: 1}
	if l.model(files).differs(forgetful, nil) == "" {
		t.Error("damage cut off as torn was not found")
	}
	whole := l.model(l.files)
	short := whole.holds
	short.Entries = short.Entries[:1]
	if whole.says != "whole" || whole.differs(short, nil) == "" {
		t.Error("a lost batch was not found")
	}
	wrong := whole.holds
	wrong.Entries = slices.Clone(wrong.Entries)
	wrong.Entries[1].Data = []byte("bd")
	if whole.differs(wrong, nil) == "" {
		t.Error("wrong bytes were not found")
	}
	if whole.differs(Recovered{}, errors.New("refused")) == "" {
		t.Error("a needless refusal was not found")
	}
}
