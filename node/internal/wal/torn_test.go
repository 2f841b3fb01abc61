package wal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// A write that was never synced: every mixture of its old and new sectors, then every byte cut off or
// flipped. A start is never refused, and all or nothing of the batch is there.
func TestATornTailNeverStopsAStart(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	must(t, l.Append(&raft.HardState{Term: 1, Vote: 7}, entries(1, 1, "synced", "synced too")))
	must(t, l.Sync())
	before := snapshot(t, fsys)
	must(t, l.Append(&raft.HardState{Term: 2}, entries(2, 2, strings.Repeat("torn", 100), strings.Repeat("two", 200), "x", strings.Repeat("y", 900))))
	must(t, l.Append(nil, entries(2, 6, "in a second batch")))
	must(t, l.write())
	file := segmentName(1)
	old, new := before[file], snapshot(t, fsys)[file]

	check := func(what string, data []byte) {
		t.Helper()
		fsys := before.with(t, file, data)
		l, got, err := openLog(fsys, dir, small)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(got.Entries); n != 2 && n != 5 && n != 6 || (n == 2) != (got.HardState.Term == 1) || got.Entries[0].Term != 1 {
			t.Fatalf("%s: %+v", what, got)
		}
		// Go on behind the cut, be killed, come back: nothing of the torn bytes returns.
		es := entries(5, raft.Index(len(got.Entries)+1), "after")
		must(t, l.Append(nil, es))
		must(t, l.Sync())
		must(t, l.lock.Close())
		_, again, err := openLog(fsys, dir, small)
		if err != nil || again.Torn != 0 {
			t.Fatalf("%s: second start: torn %d, %v", what, again.Torn, err)
		}
		if diff := cmp.Diff(append(got.Entries, es...), again.Entries); diff != "" {
			t.Fatalf("%s: second start: %s", what, diff)
		}
	}
	var changed []int
	for s := 0; s < len(new); s += vfs.SectorSize {
		if !bytes.Equal(old[s:s+vfs.SectorSize], new[s:s+vfs.SectorSize]) {
			changed = append(changed, s)
		}
	}
	if len(changed) < 5 {
		t.Fatalf("only sectors %v differ", changed)
	}
	for mask := range 1 << len(changed) {
		data := bytes.Clone(old)
		for i, s := range changed {
			if mask>>i&1 == 1 {
				copy(data[s:s+vfs.SectorSize], new[s:])
			}
		}
		check(fmt.Sprintf("sectors %b", mask), data)
	}
	for at := int(l.synced); at < len(new); at++ {
		if at > int(l.end)+64 && at < 4096-64 || at > 4096+64 {
			continue
		}
		data := bytes.Clone(new)
		clear(data[at:])
		check(fmt.Sprint("zero from ", at), data)
		data = bytes.Clone(new)
		data[at] ^= 0x10
		check(fmt.Sprint("flip at ", at), data)
	}
}

// A value that imitates a record must not count as one when the scan looks behind a torn write.
func TestAStoredValueCannotPassForARecord(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	fake := record{kind: recordMark, segment: segmentID(0, 1), synced: 4000} // the salt is not known
	value, _ := fake.append(nil)
	must(t, l.Append(nil, entries(1, 1, strings.Repeat(string(value), 20))))
	must(t, l.write())
	disk := snapshot(t, fsys)
	data := disk[segmentName(1)]
	data[l.synced] ^= 1
	_, r, err := openLog(disk.with(t, segmentName(1), data), dir, small)
	if err != nil || r.Torn == 0 || len(r.Entries) != 0 {
		t.Fatal(r, err)
	}
}
