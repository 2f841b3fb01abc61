package wal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// Every pair of two faults on a tiny log. One pair is beyond any log of this kind, and README.md says
// so: the last batch and the mark that vouches for it. Then it is cut, and Torn says that it was.
func TestEveryPairOfFaults(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, Identity{ID: 7, Cluster: 9, Address: "a:1", Salt: 1}, small)
	must(t, err)
	want := Recovered{Identity: l.Identity(), HardState: raft.HardState{Term: 1, Vote: 7}, Entries: entries(1, 1, "a", "bc")}
	must(t, l.Append(&want.HardState, want.Entries[:1]))
	must(t, l.Sync())
	lastBatch := l.end
	must(t, l.Append(nil, want.Entries[1:]))
	must(t, l.Sync())
	end := l.end
	must(t, l.lock.Close())
	data := snapshot(t, fsys)[segmentName(1)]
	before := want
	before.Entries = want.Entries[:1]

	var places []int
	for at := range data {
		if at < int(end)+16 && at%3 == 0 || at >= markAlign && at < markAlign+recordMin && at%3 == 0 {
			places = append(places, at)
		}
	}
	faults := []func(b []byte, at int){
		func(b []byte, at int) { b[at] ^= 0x11 },
		func(b []byte, at int) { b[at] = 0 },
		func(b []byte, at int) { clear(b[at/8*8 : at/8*8+8]) },
	}
	refused, cut, opened := 0, 0, 0
	for i, one := range places {
		for _, two := range places[i:] {
			for _, f := range faults {
				for _, g := range faults {
					damaged := bytes.Clone(data)
					f(damaged, one)
					g(damaged, two)
					if bytes.Equal(damaged, data) {
						continue
					}
					got, err := read(damaged)
					hitBoth := one >= int(lastBatch)/8*8 && one < int(end) && two >= markAlign
					switch {
					case errors.Is(err, ErrCorrupt):
						refused++
					case err != nil:
						t.Fatalf("faults at %d and %d: %v", one, two, err)
					case equal(want, withoutTorn(got)):
						opened++
					case hitBoth && got.Torn > 0 && equal(before, withoutTorn(got)):
						cut++
					default:
						t.Fatalf("faults at %d and %d: %s", one, two, cmp.Diff(want, got))
					}
				}
			}
		}
	}
	t.Logf("%d refused, %d harmless, %d cut", refused, opened, cut)
	if refused < 10_000 || cut == 0 || opened == 0 {
		t.Fatal("not all outcomes were met")
	}
}

// read scans one file in memory, as Open does before it changes anything.
func read(data []byte) (Recovered, error) {
	var s scan
	head, record, size, err := readHead(segmentName(1), data, 1)
	if err != nil {
		return Recovered{}, err
	}
	s.identity, s.kept, s.begins = head.identity, 1, begins{{number: 1}}
	t := tail{head: head, data: data, prev: record.crc, end: int64(size), stop: int64(size), proven: int64(size)}
	if err := s.records(segmentName(1), &t); err != nil {
		return Recovered{}, err
	}
	if err := s.judge(segmentName(1), &t); err != nil {
		return Recovered{}, err
	}
	return Recovered{Identity: s.identity, HardState: s.state, Base: s.base, Entries: s.entries, Torn: t.torn()}, nil
}

func withoutTorn(r Recovered) Recovered {
	r.Torn = 0
	return r
}
