package wal

import (
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

func TestALogMayBeOpenedWithOtherSizes(t *testing.T) {
	m := vfs.NewMem()
	l, err := CreateSized(m, "/w", Identity{ID: 1, Address: "a", Salt: 5}, Sizes{Segment: 6000, Chunk: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i := range raft.Index(200) {
		if err := l.Append(&raft.HardState{Term: 1}, []raft.Entry{{Term: 1, Index: i + 1, Data: make([]byte, 100)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := m.List("/w")
	if err != nil || len(names) < 4 {
		t.Fatalf("%v, %v: 200 entries of 100 bytes do not fit in three files of 6000", names, err)
	}
	for _, s := range []Sizes{{}, {Segment: 1 << 20}, {Segment: 6000, Chunk: 8192}} {
		l, found, err := OpenSized(m, "/w", s)
		if err != nil || len(found.Entries) != 200 {
			t.Fatalf("%+v: %d entries, %v", s, len(found.Entries), err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
