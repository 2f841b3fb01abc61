package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"raftlab/raft"
)

func drawMessage(t *rapid.T) raft.Message {
	word := func(name string) uint64 {
		return rapid.OneOf(rapid.Uint64Range(0, 9), rapid.Uint64()).Draw(t, name)
	}
	m := raft.Message{
		Type:    rapid.SampledFrom(messageTypes()).Draw(t, "type"),
		Cluster: raft.ClusterID(word("cluster")), From: raft.ID(word("from")), To: raft.ID(word("to")), Term: raft.Term(word("term")),
		Index: raft.Index(word("index")), LogTerm: raft.Term(word("logterm")), Commit: raft.Index(word("commit")),
		Hint: raft.Index(word("hint")), HintTerm: raft.Term(word("hintterm")), Round: word("round"), Context: word("context"),
		Reject: rapid.Bool().Draw(t, "reject"), Transfer: rapid.Bool().Draw(t, "transfer"),
	}
	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		e := raft.Entry{Term: raft.Term(word("entry term")), Index: raft.Index(word("entry index")),
			Type: raft.EntryType(rapid.IntRange(0, int(raft.EntryConfiguration)).Draw(t, "entry type"))}
		if data := rapid.SliceOf(rapid.Byte()).Draw(t, "data"); len(data) > 0 {
			e.Data = data
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}

func messageTypes() (types []raft.MessageType) {
	for i := range 256 {
		if t := raft.MessageType(i); t.Valid() {
			types = append(types, t)
		}
	}
	return types
}

func TestEveryMessageComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b, err := AppendBinary([]byte("before"), &m)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		if len(b) != Size(&m) {
			t.Fatalf("size %d, said %d", len(b), Size(&m))
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		clear(b) // the message must not live in the buffer
		if !reflect.DeepEqual(m, got) {
			t.Fatal(cmp.Diff(m, got))
		}
	})
}

// A new field of raft.Message that is not encoded would be lost without a word.
func TestEveryFieldOfAMessageIsEncoded(t *testing.T) {
	m := raft.Message{Type: raft.MsgAppend, Cluster: 1, From: 2, To: 3, Term: 4, Index: 5, LogTerm: 6, Commit: 7,
		Entries: []raft.Entry{{Term: 8, Index: 9, Type: raft.EntryNoop, Data: []byte("d")}},
		Hint:    10, HintTerm: 11, Round: 12, Context: 13, Reject: true, Transfer: true}
	b, err := AppendBinary(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "01050300" + "0000000000000001" + "0000000000000002" + "0000000000000003" + "0000000000000004" +
		"0000000000000005" + "0000000000000006" + "0000000000000007" + "000000000000000a" + "000000000000000b" +
		"000000000000000c" + "000000000000000d" + "00000001" + "0000000000000008" + "0000000000000009" + "01" + "00000001" + "64"
	if got := hex.EncodeToString(b); got != golden {
		t.Fatalf("version %d has changed its layout; take the next number\n got %s\nwant %s", Version, got, golden)
	}
	got, err := Decode(b)
	if diff := cmp.Diff(m, got); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
}

func TestDecodeRefusesWhatNoMemberWrites(t *testing.T) {
	good, err := AppendBinary(nil, &raft.Message{Type: raft.MsgAppend, Entries: []raft.Entry{{Data: []byte("data")}}})
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": change(0, 2), "type zero": change(1, 0), "an unknown type": change(1, 200),
		"an unknown flag": change(2, 4), "a reserved byte": change(3, 1), "a huge count": change(92, 0xff),
		"a count too low": change(95, 0), "a count too high": change(95, 2), "an unknown entry type": change(headSize+16, 9),
		"a huge entry": change(headSize+17, 0xff), "a shorter entry": change(headSize+20, 3), "a longer entry": change(headSize+20, 5),
		"a trailing byte": append(bytes.Clone(good), 0),
	} {
		if _, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestAClaimedCountCostsNoMemory(t *testing.T) {
	b, err := AppendBinary(nil, &raft.Message{Type: raft.MsgAppend})
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(b[92:], math.MaxUint32)
	frame := binary.BigEndian.AppendUint32(nil, MaxFrame) // and a frame that claims 8 MiB, then ends
	frame = append(frame, 0, 0, 0, 0, 1, 2, 3)
	if n := testing.AllocsPerRun(10, func() { _, _ = Decode(b) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
	r := NewReader(bytes.NewReader(frame))
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) || cap(r.buf) > 128<<10 {
		t.Errorf("%v with a buffer of %d", err, cap(r.buf))
	}
}

func TestFramesOfAllSizesComeThroughAnyReader(t *testing.T) {
	var stream []byte
	var want []raft.Message
	for i, size := range []int{0, 1, 70_000, 200, 3 << 20, 5, 64 << 10} {
		m := raft.Message{Type: raft.MsgAppend, Term: raft.Term(i), Entries: []raft.Entry{{Data: bytes.Repeat([]byte{byte(i + 1)}, size)}}}
		if size == 0 {
			m.Entries = nil
		}
		var err error
		if stream, err = AppendFrame(AppendKeepAlive(stream), &m); err != nil {
			t.Fatal(err)
		}
		want = append(want, m)
	}
	for name, source := range map[string]io.Reader{"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)),
		"buffered": bufio.NewReaderSize(bytes.NewReader(stream), 16)} {
		r := NewReader(source)
		var got []raft.Message
		for {
			m, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(name, err)
				}
				break
			}
			got = append(got, m)
		}
		// Compared at the end: an early message must not change when later frames use the buffer.
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%s: other messages came out than went in", name)
		}
	}
}

func TestADamagedFrameIsNotDelivered(t *testing.T) {
	m := raft.Message{Type: raft.MsgAppend, Entries: []raft.Entry{{Data: []byte("payload")}}}
	frame, err := AppendFrame(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	for at := range frame {
		for bit := range 8 {
			b := bytes.Clone(frame)
			b[at] ^= 1 << bit
			if got, err := NewReader(bytes.NewReader(b)).Next(); err == nil {
				t.Fatalf("bit %d of byte %d: read %+v", bit, at, got)
			}
		}
	}
	if _, err := NewReader(bytes.NewReader(frame[:len(frame)-1])).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("cut frame: %v", err)
	}
}

// An echo frame is passed over by messages, comes with its number, and is damage where nobody asked for it.
func TestEchoFramesComeWithTheirNumber(t *testing.T) {
	m := raft.Message{Type: raft.MsgVote, Term: 7}
	var stream []byte
	for _, number := range []uint16{0, 1, 0xfffe, 0xffff} {
		stream = AppendEcho(AppendKeepAlive(stream), number)
	}
	stream, err := AppendFrame(stream, &m)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint16
	r := NewReader(bytes.NewReader(stream))
	r.Echo = func(number uint16) { got = append(got, number) }
	if after, err := r.Next(); err != nil || after.Term != 7 || !reflect.DeepEqual(got, []uint16{0, 1, 0xfffe, 0xffff}) {
		t.Fatalf("echoes %v, then %+v, %v", got, after, err)
	}
	if _, err := NewReader(bytes.NewReader(stream)).Next(); !errors.Is(err, ErrChecksum) {
		t.Errorf("an echo that nobody asked for: %v", err)
	}
	frame := AppendEcho(nil, 0x1234)
	for at := range frame {
		for bit := range 8 {
			b := bytes.Clone(frame)
			b[at] ^= 1 << bit
			r := NewReader(bytes.NewReader(b))
			r.Echo = func(number uint16) { t.Errorf("bit %d of byte %d: echo %#x", bit, at, number) }
			if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) && at >= 4 {
				t.Errorf("bit %d of byte %d: %v", bit, at, err)
			}
		}
	}
}

func TestAMessageBeyondTheLimitIsRefusedWhole(t *testing.T) {
	m := raft.Message{Type: raft.MsgAppend, Entries: []raft.Entry{{Data: make([]byte, MaxFrame)}}}
	b, err := AppendFrame([]byte("kept"), &m)
	if !errors.Is(err, ErrTooLarge) || string(b) != "kept" {
		t.Fatalf("%q %v", b, err)
	}
	if b, err = AppendFrame(b, &raft.Message{}); err == nil || string(b) != "kept" {
		t.Fatalf("type zero: %q %v", b, err)
	}
	head := binary.BigEndian.AppendUint32(nil, MaxFrame+1)
	if _, err := NewReader(bytes.NewReader(append(head, 0, 0, 0, 0))).Next(); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestEncodingIntoRoomAllocatesNothing(t *testing.T) {
	m := raft.Message{Type: raft.MsgAppend, Entries: []raft.Entry{{Data: []byte("payload")}, {}}}
	room := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := AppendFrame(room, &m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []raft.Message{
		{Type: raft.MsgVote, Term: 3, Transfer: true},
		{Type: raft.MsgAppend, Entries: []raft.Entry{{Data: []byte("x")}, {Type: raft.EntryConfiguration}}},
	} {
		b, err := AppendBinary(nil, &m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := AppendBinary(nil, &m); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes, and encodes as %x: %v", b, again, err)
		}
	})
}

func FuzzReader(f *testing.F) {
	frame, err := AppendFrame(AppendKeepAlive(nil), &raft.Message{Type: raft.MsgVote})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8 { // give the fuzzer a valid checksum, which it cannot find
			binary.BigEndian.PutUint32(b, uint32(len(b)-8))
			binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
		}
		r := NewReader(bytes.NewReader(b))
		for {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	m := raft.Message{Type: raft.MsgAppend, Entries: make([]raft.Entry, 64)}
	for i := range m.Entries {
		m.Entries[i].Data = make([]byte, 300)
	}
	frame, err := AppendFrame(nil, &m)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(frame)))
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if frame, err = AppendFrame(frame[:0], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(frame[frameHead:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
