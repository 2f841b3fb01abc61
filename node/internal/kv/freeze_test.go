package kv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"raftlab/raft"
)

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func snapshot(t failer, f *state) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.write(&b); err != nil {
		t.Fatalf("write: %v", err)
	}
	return b.Bytes()
}

// restored is a new store with the state.
func restored(t failer, f *state) *Store {
	t.Helper()
	s := New()
	if err := s.Restore(bytes.NewReader(snapshot(t, f))); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if s.Hash() != f.hash() || s.Applied() != f.at.Index {
		t.Fatalf("restored has hash %x at %d, want %x at %d", s.Hash(), s.Applied(), f.hash(), f.at.Index)
	}
	return s
}

// entry draws any entry of a log: commands of all kinds, other types, and bytes that are no command.
func entry(t *rapid.T, index raft.Index) raft.Entry {
	e := raft.Entry{Term: 1 + raft.Term(index)/10, Index: index}
	if kind := rapid.IntRange(0, 9).Draw(t, "kind"); kind == 0 {
		e.Type = rapid.SampledFrom([]raft.EntryType{raft.EntryNoop, raft.EntryConfiguration}).Draw(t, "type")
		return e
	} else if kind == 1 {
		e.Data = rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "noise")
		return e
	}
	c := Command{Op: rapid.SampledFrom([]Op{Put, Put, Delete}).Draw(t, "op"), Key: rapid.StringMatching("[a-d]{1,2}").Draw(t, "key")}
	if c.Op == Put {
		c.Value = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")
		c.ContentType = rapid.SampledFrom([]string{"", "text/plain", "application/x-other"}).Draw(t, "content type")
	}
	switch rapid.IntRange(0, 5).Draw(t, "condition") {
	case 0:
		c.IfMatch = raft.Index(rapid.Uint64Range(1, uint64(index)).Draw(t, "if-match"))
	case 1:
		c.IfExists = true
	case 2:
		c.IfNoneMatch = true
	}
	c.IdempotencyKey = rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "idempotency key")
	e.Data = encodeRapid(t, c)
	return e
}

// A restored store is the frozen one in every way: the same hash at the same index, the same bytes when it is
// frozen again, and the same answers and hash for whatever the log brings next.
func TestRestoredStoreGoesOnEqually(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		original := New()
		at := raft.Index(rapid.IntRange(0, 40).Draw(t, "frozen at"))
		for i := range at {
			original.Apply(entry(t, i+1))
		}
		frozen := original.freeze()
		hash := original.Hash()
		before := snapshot(t, frozen)
		later := rapid.IntRange(0, 20).Draw(t, "later")
		var entries []raft.Entry
		var results []any
		for i := range later {
			entries = append(entries, entry(t, at+raft.Index(i)+1))
			results = append(results, original.Apply(entries[i]))
		}
		if !bytes.Equal(snapshot(t, frozen), before) || frozen.hash() != hash || frozen.at.Index != at {
			t.Fatal("the frozen store has changed")
		}
		copied := restored(t, frozen)
		if !bytes.Equal(snapshot(t, copied.freeze()), before) {
			t.Fatal("frozen again, it has other bytes")
		}
		for i, e := range entries {
			if got := copied.Apply(e); fmt.Sprint(got) != fmt.Sprint(results[i]) {
				t.Fatalf("entry %d: %+v, the original said %+v", e.Index, got, results[i])
			}
		}
		if copied.Hash() != original.Hash() || !bytes.Equal(snapshot(t, copied.freeze()), snapshot(t, original.freeze())) {
			t.Fatal("after the same entries the restored store differs")
		}
	})
}

// small is a store with something of everything.
func small(t testing.TB) *Store {
	s := New()
	apply(t, s, Command{Op: Put, Key: "a", Value: []byte("1"), ContentType: "text/plain"})
	apply(t, s, once("x", put("b/c", "")))
	apply(t, s, once("y", Command{Op: Put, Key: "b/c", Value: []byte("2"), IfNoneMatch: true}))
	apply(t, s, put("gone", "3"))
	apply(t, s, once("z", Command{Op: Delete, Key: "gone"}))
	return s
}

// The format on disk: a change of it is a new version, which reads this one.
func TestSnapshotBytes(t *testing.T) {
	const want = "726166746c6b7601" + "0000000000000005" + "0000000000000001" + "933f43d06d325cd2" + "0000000000000002" + "00000003" +
		"0001" + "61" + "0a" + "746578742f706c61696e" + "0000000000000001" + "00000001" + "31" +
		"0003" + "622f63" + "00" + "0000000000000002" + "00000000" +
		"0000000000000002" + "0000000000000001" + "01" + "0000000000000002" + "549b21de5a420b804e173a94c635b0c1" + "01" + "78" +
		"0000000000000003" + "0000000000000001" + "02" + "0000000000000002" + "53dd1aebec7332cbaa58a319a2e32fb4" + "01" + "79" +
		"0000000000000005" + "0000000000000001" + "03" + "0000000000000000" + "9c3ecbce6f82fc7519d7379f9535c534" + "01" + "7a" +
		"9343bf7d93699a77" + "7f57aa51"
	if got := hex.EncodeToString(snapshot(t, small(t).freeze())); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

func TestEveryDamageIsFoundAndChangesNothing(t *testing.T) {
	good := snapshot(t, small(t).freeze())
	s := New()
	apply(t, s, once("mine", put("mine", "v")))
	hash := s.Hash()
	refused := func(what string, b []byte) {
		t.Helper()
		err := s.Restore(bytes.NewReader(b))
		if err == nil {
			t.Fatalf("%s: restored", what)
		}
		if item, ok, _ := s.Get("mine"); !ok || string(item.Value) != "v" || s.Hash() != hash || s.Applied() != 1 {
			t.Fatalf("%s: the store has changed", what)
		}
	}
	for i := range good {
		refused(fmt.Sprintf("cut to %d bytes", i), good[:i])
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, i), b)
		}
	}
	refused("a byte too many", append(bytes.Clone(good), 0))
	refused("twice", append(bytes.Clone(good), good...))
	if err := s.Restore(bytes.NewReader(good)); err != nil {
		t.Fatalf("the good one, after all these: %v", err)
	}
	if _, ok, at := s.Get("mine"); ok || at.Index != 5 {
		t.Errorf("restored beside the old state, at %v", at)
	}
}

// seal gives bytes a checksum that is right.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli))
}

// Bytes with a right checksum that no store can have written: the decoder judges them by itself.
func TestImpossibleStatesAreRefused(t *testing.T) {
	write := func(change func(*state)) []byte {
		f := small(t).freeze()
		change(f)
		return snapshot(t, f)
	}
	head := func(at int, value ...byte) []byte {
		b := snapshot(t, small(t).freeze())
		copy(b[at:], value)
		return seal(b[:len(b)-4])
	}
	item := func(key string, i Item) func(*state) {
		return func(s *state) { s.items.Set(key, &i) }
	}
	remember := func(n session) func(*state) {
		return func(s *state) { s.sessions.byIndex.Set(n.first.Index, &n) }
	}
	const firstItem = snapshotHeadBytes
	two := New()
	apply(t, two, put("key1", "v"))
	apply(t, two, put("key2", "v"))
	twice := snapshot(t, two.freeze())
	twice = seal(bytes.Replace(twice[:len(twice)-4], []byte("key2"), []byte("key1"), 1))
	for name, c := range map[string]struct {
		bytes []byte
		says  string
	}{
		"items unlike the hash":      {write(item("new", Item{ModIndex: 4})), "computed"},
		"sums unlike the hash":       {write(func(s *state) { s.itemsSum++ }), "computed"},
		"long key":                   {write(item(strings.Repeat("k", 513), Item{ModIndex: 4})), "has 513 bytes"},
		"no key":                     {write(item("", Item{ModIndex: 4})), "has 0 bytes"},
		"long value":                 {write(item("k", Item{Value: make([]byte, ValueBytesMax+1), ModIndex: 4})), "has 1048577 bytes"},
		"written at 0":               {write(item("k", Item{})), "was written at 0"},
		"written later":              {write(item("k", Item{ModIndex: 6})), "was written at 6"},
		"keys out of order":          {head(firstItem+2, 'z'), "stands behind"},
		"one key twice":              {twice, "stands behind"},
		"session of 0":               {write(remember(session{key: "k"})), "session of entry 0"},
		"session later":              {write(remember(session{key: "k", first: Result{Index: 6}})), "session of entry 6"},
		"session of a later write":   {write(remember(session{key: "k", first: Result{Index: 4, Current: 5}})), "current index 5"},
		"session without a key":      {write(remember(session{first: Result{Index: 4}})), "has 0 bytes"},
		"session with a long key":    {write(remember(session{key: strings.Repeat("k", 129), first: Result{Index: 4}})), "has 129 bytes"},
		"two sessions for a key":     {write(remember(session{key: "x", first: Result{Index: 4}})), "two sessions"},
		"too many sessions":          {head(snapshotHeadBytes-4, 0, 0, 0x27, 0x11), "10001 sessions"},
		"more items than there are":  {head(snapshotHeadBytes-12, 0xff, 0xff, 0xff, 0xff), ""},
		"fewer items than there are": {head(snapshotHeadBytes-12, 0, 0, 0, 0, 0, 0, 0, 1), ""},
		"no magic":                   {head(0, 'R'), "does not begin"},
	} {
		s := New()
		err := s.Restore(bytes.NewReader(c.bytes))
		if !errors.Is(err, ErrDamagedSnapshot) || !strings.Contains(err.Error(), c.says) || s.Applied() != 0 {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if err := New().Restore(bytes.NewReader(head(7, 2))); err == nil || errors.Is(err, ErrDamagedSnapshot) || !strings.Contains(err.Error(), "newer raftd") {
		t.Errorf("version of tomorrow: %v", err)
	}
}

func TestRestoreDoesNotGoBack(t *testing.T) {
	s := small(t)
	old := s.freeze()
	apply(t, s, put("a", "new"))
	hash := s.Hash()
	if err := s.Restore(bytes.NewReader(snapshot(t, old))); err == nil || s.Hash() != hash {
		t.Errorf("an older state was restored: %v", err)
	}
}

func TestErrorsOfReaderAndWriterArePassedOn(t *testing.T) {
	mine := errors.New("mine")
	f := small(t).freeze()
	good := snapshot(t, f)
	for n := range len(good) + 1 {
		broken := io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(mine))
		if err := New().Restore(broken); !errors.Is(err, mine) || errors.Is(err, ErrDamagedSnapshot) {
			t.Fatalf("reader that breaks after %d bytes: %v", n, err)
		}
	}
	if err := New().Restore(iotest.OneByteReader(bytes.NewReader(good))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
	for _, n := range []int64{0, 1, int64(len(good)) - 1} {
		w := &fullWriter{room: n, err: mine}
		if err := f.write(w); !errors.Is(err, mine) {
			t.Errorf("writer with room for %d: %v", n, err)
		}
	}
}

type fullWriter struct {
	room int64
	err  error
}

func (w *fullWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= w.room {
		w.room -= int64(len(b))
		return len(b), nil
	}
	n := w.room
	w.room = 0
	return int(n), w.err
}

// A few bytes that claim to be much cost no memory.
func TestClaimsCostNoMemory(t *testing.T) {
	b := snapshot(t, New().freeze())[:snapshotHeadBytes]
	for i := snapshotHeadBytes - 12; i < snapshotHeadBytes-4; i++ {
		b[i] = 0xff // items
	}
	copy(b[8:], []byte{0xff, 0xff}) // index
	b = append(b, 0, 1, 'k', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x10, 0, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := New().Restore(bytes.NewReader(b)); !errors.Is(err, ErrDamagedSnapshot) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes of memory for %d bytes of snapshot", used, len(b))
	}
}

// Writes go on while a snapshot is written. The race detector watches.
func TestSnapshotIsWrittenBesideApply(t *testing.T) {
	s := New()
	for i := range 500 {
		apply(t, s, once(fmt.Sprint(i), put(fmt.Sprintf("key-%d", i), "v")))
	}
	f, hash := s.freeze(), s.Hash()
	later := s.Freeze()
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 5 {
				if restored(t, f).Hash() != hash {
					t.Error("another state than was frozen")
				}
			}
		})
	}
	for i := range 2000 {
		c := put(fmt.Sprintf("key-%d", rand.IntN(600)), "w")
		if i%3 == 0 {
			c = Command{Op: Delete, Key: c.Key}
		}
		apply(t, s, once(fmt.Sprint("later ", i), c))
	}
	writers.Wait()
	var b bytes.Buffer
	if err := later(&b); err != nil || !bytes.Equal(b.Bytes(), snapshot(t, f)) {
		t.Errorf("what Freeze returned writes another state than it froze: %v", err)
	}
}

// Whatever the bytes are, the decoder returns, and what it accepts has no other encoding. Half of the runs get
// a checksum and a hash that are right, or nothing but noise would ever be tried.
func FuzzRestore(f *testing.F) {
	f.Add(snapshot(f, New().freeze()), false)
	good := snapshot(f, small(f).freeze())
	f.Add(good, false)
	f.Add(good[:len(good)-12], true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			r := &snapshotReader{from: bufio.NewReader(bytes.NewReader(b))}
			decoded, err := r.state()
			if err != nil {
				return
			}
			b = binary.BigEndian.AppendUint64(bytes.Clone(b[:r.offset]), decoded.hash())
			b = seal(b)
		}
		s := New()
		err := s.Restore(bytes.NewReader(b))
		if mend && err != nil {
			t.Fatalf("decoded, and then not: %v", err)
		}
		if err == nil && !bytes.Equal(snapshot(t, s.freeze()), b) {
			t.Fatalf("%x is read as a state that is written otherwise", b)
		}
	})
}

func BenchmarkFreeze(b *testing.B) {
	s, _ := benchmarkStore(b, 100_000)
	for b.Loop() {
		s.freeze()
	}
}

func BenchmarkWriteSnapshot(b *testing.B) {
	s, _ := benchmarkStore(b, 100_000)
	f := s.freeze()
	b.SetBytes(int64(len(snapshot(b, f))))
	for b.Loop() {
		f.write(io.Discard)
	}
}

func BenchmarkRestore(b *testing.B) {
	s, _ := benchmarkStore(b, 100_000)
	data := snapshot(b, s.freeze())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := New().Restore(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
