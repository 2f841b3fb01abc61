package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"raftlab/raft"
)

// apply gives the store its next entry.
func apply(t testing.TB, s *Store, c Command) Result {
	t.Helper()
	return s.Apply(raft.Entry{Term: 1, Index: s.Applied() + 1, Data: encode(t, c)}).(Result)
}

func put(key, value string) Command { return Command{Op: Put, Key: key, Value: []byte(value)} }

func TestConditionsAreDecidedWhenApplied(t *testing.T) {
	with := func(c Command, change func(*Command)) Command { change(&c); return c }
	absent := func(c *Command) { c.IfNoneMatch = true }
	exists := func(c *Command) { c.IfExists = true }
	at := func(i raft.Index) func(*Command) { return func(c *Command) { c.IfMatch = i } }
	del := Command{Op: Delete, Key: "k"}

	s := New()
	for i, step := range []struct {
		command                Command
		done, existed, present bool
		current                raft.Index
	}{
		{command: with(put("k", "a"), exists)},                                                       // 1: nothing there
		{command: with(put("k", "a"), at(1))},                                                        // 2
		{command: with(put("k", "a"), absent), done: true, present: true, current: 3},                // 3: created
		{command: with(put("k", "b"), absent), existed: true, present: true, current: 3},             // 4: there already
		{command: with(put("k", "b"), at(2)), existed: true, present: true, current: 3},              // 5: another version
		{command: with(put("k", "b"), at(3)), done: true, existed: true, present: true, current: 6},  // 6
		{command: with(put("k", "c"), exists), done: true, existed: true, present: true, current: 7}, // 7
		{command: with(del, at(6)), existed: true, present: true, current: 7},                        // 8: too old
		{command: with(del, at(7)), done: true, existed: true},                                       // 9
		{command: del, done: true},                                                                         // 10: deleting nothing is done
		{command: with(del, exists)},                                                                       // 11
		{command: put("k", "d"), done: true, present: true, current: 12},                                   // 12: never an old index
		{command: with(put("k", "e"), at(7)), existed: true, present: true, current: 12},                   // 13: of the life before
		{command: with(put("other", "e"), absent), done: true, present: true, current: 14, existed: false}, // 14
	} {
		got := apply(t, s, step.command)
		want := Result{Index: raft.Index(i + 1), Term: 1, Done: step.done, Existed: step.existed, Current: step.current}
		if got != want {
			t.Errorf("step %d: %+v\n got %+v\nwant %+v", i+1, step.command, got, want)
		}
		item, present, position := s.Get(step.command.Key)
		if present != step.present || item.ModIndex != step.current || position.Index != raft.Index(i+1) {
			t.Errorf("step %d: then Get gives %+v %v at %v", i+1, item, present, position)
		}
	}
}

func TestMalformedCommandChangesNothingAndCounts(t *testing.T) {
	a, b := New(), New()
	for _, s := range []*Store{a, b} {
		apply(t, s, put("k", "v"))
		result := s.Apply(raft.Entry{Term: 1, Index: 2, Data: []byte{1, 77, 0, 0, 1, 'k', 0, 0, 0, 0, 0}}).(Result)
		if !errors.Is(result.Err, ErrMalformed) || result.Done || result.ConditionFailed() || result.Index != 2 {
			t.Fatalf("unknown op: %+v", result)
		}
		if item, ok, at := s.Get("k"); !ok || string(item.Value) != "v" || at.Index != 2 {
			t.Fatalf("after it: %+v %v at %v", item, ok, at)
		}
	}
	if a.Hash() != b.Hash() {
		t.Error("two members disagree about a malformed command")
	}
}

func TestEveryEntryTypeAdvancesIndexAndHash(t *testing.T) {
	s := New()
	seen := map[uint64]bool{s.Hash(): true}
	for i, kind := range []raft.EntryType{raft.EntryNoop, raft.EntryConfiguration, raft.EntryCommand, 99} {
		data := []byte{}
		if kind == raft.EntryCommand {
			data = encode(t, put("k", "v"))
		}
		s.Apply(raft.Entry{Term: 3, Index: raft.Index(i + 1), Type: kind, Data: data})
		hash, index := s.HashAt()
		if index != raft.Index(i+1) || seen[hash] {
			t.Errorf("after %v: index %d, hash %x", kind, index, hash)
		}
		seen[hash] = true
	}
	if s.Len() != 1 {
		t.Errorf("%d keys, want 1", s.Len())
	}
}

func TestApplyOutOfOrderPanics(t *testing.T) {
	for _, index := range []raft.Index{0, 1, 3} {
		s := New()
		apply(t, s, put("k", "v"))
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("entry %d after entry 1 was taken", index)
				}
			}()
			s.Apply(raft.Entry{Term: 1, Index: index, Type: raft.EntryNoop})
		}()
	}
}

// Each change of one thing in a log changes the hash; a copy of the log does not.
func TestHashTellsLogsApart(t *testing.T) {
	log := func() []raft.Entry {
		return []raft.Entry{
			{Term: 1, Index: 1, Type: raft.EntryNoop},
			{Term: 1, Index: 2, Data: encode(t, put("a", "1"))},
			{Term: 2, Index: 3, Data: encode(t, put("b", "2"))},
		}
	}
	hash := func(log []raft.Entry) uint64 {
		s := New()
		for _, e := range log {
			s.Apply(e)
		}
		return s.Hash()
	}
	want := hash(log())
	if hash(log()) != want {
		t.Fatal("the same log has two hashes")
	}
	for name, change := range map[string]func([]raft.Entry){
		"term":  func(l []raft.Entry) { l[2].Term = 1 },
		"type":  func(l []raft.Entry) { l[0].Type = raft.EntryConfiguration },
		"value": func(l []raft.Entry) { l[1].Data = encode(t, put("a", "2")) },
		"key":   func(l []raft.Entry) { l[1].Data = encode(t, put("c", "1")) },
		"order": func(l []raft.Entry) { l[1].Data, l[2].Data = l[2].Data, l[1].Data },
	} {
		changed := log()
		change(changed)
		if hash(changed) == want {
			t.Errorf("another %s, the same hash", name)
		}
	}
}

// A member that decided a condition otherwise has another hash, although the entries are the same.
func TestHashCoversTheEffect(t *testing.T) {
	e := raft.Entry{Term: 1, Index: 1, Data: encode(t, put("a", "1"))}
	results := []Result{
		{Index: 1}, {Index: 1, Done: true}, {Index: 1, Done: true, Existed: true}, {Index: 1, Existed: true},
		{Index: 1, Current: 1}, {Index: 1, Done: true, Current: 1}, {Index: 1, Err: ErrMalformed}, {Index: 1, Err: ErrKeyReused},
		{Index: 1, Repeat: true}, {Index: 1, Repeat: true, Done: true},
	}
	seen := map[chain]Result{}
	for _, result := range results {
		var c chain
		c.add(e, result)
		if other, same := seen[c]; same {
			t.Errorf("the same hash for %+v and %+v", other, result)
		}
		seen[c] = result
	}
}

// The store behaves as a plain map does, and a clone taken at any time stays as it was.
func TestStoreAgainstPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := New(), map[string]raft.Index{}
		var clone *Store
		var cloned map[string]raft.Index
		key := rapid.SampledFrom([]string{"a", "b", "c", "ab", "b/c", "ü"})
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := Command{Op: rapid.SampledFrom([]Op{Put, Delete}).Draw(t, "op"), Key: key.Draw(t, "key")}
			if c.Op == Put {
				c.Value = []byte(fmt.Sprint(i))
			}
			old, had := model[c.Key]
			holds := true
			switch rapid.IntRange(0, 3).Draw(t, "condition") {
			case 1:
				c.IfMatch = raft.Index(rapid.IntRange(1, i+1).Draw(t, "index"))
				holds = had && old == c.IfMatch
			case 2:
				c.IfExists, holds = true, had
			case 3:
				c.IfNoneMatch, holds = true, !had
			}
			data, err := c.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			index := raft.Index(i + 1)
			result := s.Apply(raft.Entry{Term: 1, Index: index, Data: data}).(Result)
			if result.Done != holds || result.Existed != had {
				t.Fatalf("%+v: %+v, want done %v existed %v", c, result, holds, had)
			}
			if holds && c.Op == Put {
				model[c.Key] = index
			} else if holds {
				delete(model, c.Key)
			}
			if rapid.IntRange(0, 9).Draw(t, "clone") == 0 {
				clone, cloned = s.Clone(), make(map[string]raft.Index)
				for k, v := range model {
					cloned[k] = v
				}
			}
		}
		same := func(s *Store, model map[string]raft.Index) {
			page, more, _ := s.List("", "", 1000)
			if more || len(page) != len(model) || s.Len() != len(model) {
				t.Fatalf("%d keys listed, %d counted, want %d", len(page), s.Len(), len(model))
			}
			for _, e := range page {
				if model[e.Key] != e.Item.ModIndex {
					t.Fatalf("%q written at %d, want %d", e.Key, e.Item.ModIndex, model[e.Key])
				}
			}
		}
		same(s, model)
		if clone != nil {
			same(clone, cloned)
		}
	})
}

func TestListGoesPageByPage(t *testing.T) {
	s := New()
	var all []string
	for i := range 250 {
		all = append(all, fmt.Sprintf("a/%03d", i))
	}
	for _, key := range append([]string{"", "a", "a.", "a0", "b"}[1:], all...) {
		apply(t, s, put(key, "v"))
	}
	for _, limit := range []int{1, 7, 100, 249, 250, 251} {
		var got []string
		for after := ""; ; {
			page, more, at := s.List("a/", after, limit)
			for _, e := range page {
				got = append(got, e.Key)
			}
			if at.Index != s.Applied() || len(page) > limit {
				t.Fatalf("limit %d: %d keys at %v", limit, len(page), at)
			}
			if !more {
				break
			}
			after = page[len(page)-1].Key
		}
		if !slices.Equal(got, all) {
			t.Errorf("limit %d: pages hold %d keys, want %d", limit, len(got), len(all))
		}
	}
	// after need not exist, nor lie behind the prefix
	for after, want := range map[string]string{"a/0005": "a/001", "": "a/000", "Z": "a/000", "a/000": "a/001", "c": ""} {
		page, _, _ := s.List("a/", after, 1)
		got := ""
		if len(page) > 0 {
			got = page[0].Key
		}
		if got != want {
			t.Errorf("after %q comes %q, want %q", after, got, want)
		}
	}
	if page, more, _ := s.List("nothing", "", 10); len(page) != 0 || more {
		t.Errorf("list of nothing: %v %v", page, more)
	}
}

// Readers see whole entries only: of two keys that are written one after the other, the second is never
// ahead of the first. The race detector watches the rest.
func TestReadersRunBesideApply(t *testing.T) {
	s := New()
	const entries = 2000
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				second, _, _ := s.Get("second")
				first, _, at := s.Get("first")
				if first.ModIndex+1 < second.ModIndex || at.Index < first.ModIndex {
					t.Errorf("first %d second %d at %d", first.ModIndex, second.ModIndex, at.Index)
					return
				}
				page, _, at := s.List("", "", 10)
				for _, e := range page {
					if e.Item.ModIndex > at.Index {
						t.Errorf("%q of %d in a list at %d", e.Key, e.Item.ModIndex, at.Index)
						return
					}
				}
				s.Hash()
				s.Clone()
			}
		}()
	}
	for i := range entries {
		apply(t, s, put([]string{"first", "second"}[i%2], strings.Repeat("v", i%9)))
	}
	close(stop)
	readers.Wait()
}

func benchmarkStore(b *testing.B, keys int) (*Store, [][]byte) {
	s, data := New(), make([][]byte, keys)
	for i := range keys {
		data[i] = encode(b, Command{Op: Put, Key: fmt.Sprintf("key-%08d", i), Value: make([]byte, 256), ContentType: "text/plain"})
		s.Apply(raft.Entry{Term: 1, Index: raft.Index(i + 1), Data: data[i]})
	}
	rand.Shuffle(keys, func(i, j int) { data[i], data[j] = data[j], data[i] })
	return s, data
}

func BenchmarkApply(b *testing.B) {
	s, data := benchmarkStore(b, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Apply(raft.Entry{Term: 1, Index: s.at.Index + 1, Data: data[i%len(data)]})
	}
}

// BenchmarkApplyCopying is what Apply would cost if it published a copy for readers after each entry.
func BenchmarkApplyCopying(b *testing.B) {
	s, data := benchmarkStore(b, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Apply(raft.Entry{Term: 1, Index: s.at.Index + 1, Data: data[i%len(data)]})
		s.items.Copy()
	}
}

func BenchmarkGetBesideApply(b *testing.B) {
	s, data := benchmarkStore(b, 100_000)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				s.Apply(raft.Entry{Term: 1, Index: s.at.Index + 1, Data: data[i%len(data)]})
			}
		}
	}()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Get("key-00012345")
	}
	close(stop)
	writer.Wait()
}
