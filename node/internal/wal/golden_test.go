package wal

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// golden is a log (its checksums computed by another program) of one batch, byte for byte: what is on the disks of members that exist. If this
// test fails, old logs can no longer be read: change the version in magic, and read both.
const golden = `
0000004e 01 00 00 00 0000000000005a18 00000000 00000000 0000000000000000 0000000000000000
  7261667477616c01 0000000000000001 00002000 00000000
  0000000000000007 0000000000000009 0000000000005a17 0000000000000000 0000000000000000
  3132372e302e302e313a38303030 000000000000 CRC0
00000008 03 01 00 00 0000000000005a18 CRC0 00000080 0000000000000002 0000000000000000
  0000000000000007 00000000 CRC1
00000003 02 00 01 00 0000000000005a18 CRC1 00000080 0000000000000002 0000000000000001
  616263 00 CRC2
`

func TestTheFormatIsWhatItWas(t *testing.T) {
	fsys := vfs.NewMem()
	l, err := create(fsys, dir, self, small)
	must(t, err)
	must(t, l.Append(&raft.HardState{Term: 2, Vote: 7}, []raft.Entry{{Term: 2, Index: 1, Type: raft.EntryNoop, Data: []byte("abc")}}))
	must(t, l.Sync())
	data, err := readSegment(fsys, filepath.Join(dir, segmentName(1)))
	must(t, err)

	text := strings.NewReplacer("CRC0", "4ef1d4ae", "CRC1", "6a46dc43", "CRC2", "f6b42dff").Replace(golden)
	want, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	must(t, err)
	if got := data[:len(want)]; !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}
	if rest := data[len(want):int(defaults.page)]; len(bytes.TrimLeft(rest, "\x00")) > 0 {
		t.Error("bytes behind the log")
	}
	if mark, _, ok := parse(data[int(defaults.page):]); !ok || mark.kind != recordMark || int(mark.synced) != len(want) || mark.index != 1 {
		t.Errorf("mark %+v", mark)
	}
	if len(data) != 8192 {
		t.Errorf("%d bytes", len(data))
	}
}
