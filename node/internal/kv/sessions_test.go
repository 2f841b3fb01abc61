package kv

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"raftlab/raft"
)

func once(idempotencyKey string, c Command) Command {
	c.IdempotencyKey = idempotencyKey
	return c
}

func TestRepeatIsToldWhatTheFirstWasTold(t *testing.T) {
	for name, c := range map[string]Command{
		"put":                  {Op: Put, Key: "k", Value: []byte("mine")},
		"create, already here": {Op: Put, Key: "k", Value: []byte("mine"), IfNoneMatch: true},
		"swap":                 {Op: Put, Key: "k", Value: []byte("mine"), IfMatch: 1},
		"swap of another":      {Op: Put, Key: "k", Value: []byte("mine"), IfMatch: 77},
		"delete":               {Op: Delete, Key: "k"},
		"delete of nothing":    {Op: Delete, Key: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			apply(t, s, put("k", "old"))
			first := apply(t, s, once("id", c))
			if first.Repeat || first.Err != nil || first.Index != 2 {
				t.Fatalf("first: %+v", first)
			}
			// What the condition asks for changes: it must not be decided again.
			apply(t, s, Command{Op: Delete, Key: "k"})
			apply(t, s, put("k", "theirs"))
			apply(t, s, put("none", "theirs"))
			for range 2 {
				want := first
				want.Repeat = true
				if got := apply(t, s, once("id", c)); got != want {
					t.Errorf("repeat: %+v, want %+v", got, want)
				}
			}
			for _, key := range []string{"k", "none"} {
				if item, ok, _ := s.Get(key); !ok || string(item.Value) != "theirs" {
					t.Errorf("the repeat was carried out: %s holds %q", key, item.Value)
				}
			}
		})
	}
}

func TestKeyOfAnotherRequestIsRefused(t *testing.T) {
	s := New()
	first := once("id", Command{Op: Put, Key: "k", Value: []byte("v"), ContentType: "text/plain", IfMatch: 1})
	apply(t, s, put("k", "old"))
	if r := apply(t, s, first); !r.Done {
		t.Fatalf("%+v", r)
	}
	for name, change := range map[string]func(*Command){
		"key":                func(c *Command) { c.Key = "l" },
		"value":              func(c *Command) { c.Value = []byte("w") },
		"empty value":        func(c *Command) { c.Value = nil },
		"content type":       func(c *Command) { c.ContentType = "application/json" },
		"no content type":    func(c *Command) { c.ContentType = "" },
		"condition":          func(c *Command) { c.IfMatch = 2 },
		"no condition":       func(c *Command) { c.IfMatch = 0 },
		"other condition":    func(c *Command) { c.IfMatch, c.IfExists = 0, true },
		"create":             func(c *Command) { c.IfMatch, c.IfNoneMatch = 0, true },
		"delete":             func(c *Command) { c.Op, c.Value, c.ContentType = Delete, nil, "" },
		"bytes between both": func(c *Command) { c.ContentType, c.Value = "text/plai", []byte("nv") },
	} {
		c := first
		change(&c)
		before := s.freeze()
		r := apply(t, s, c)
		if !errors.Is(r.Err, ErrKeyReused) || r.Done || r.ConditionFailed() || r.Repeat {
			t.Errorf("other %s: %+v, want ErrKeyReused", name, r)
		}
		if s.itemsSum != before.itemsSum || s.sessions.sum != before.sessions.sum {
			t.Errorf("other %s: the state has changed", name)
		}
	}
	if r := apply(t, s, first); !r.Repeat || !r.Done {
		t.Errorf("the right request, after all these: %+v", r)
	}
}

func TestOldestKeyIsForgottenAndThenNew(t *testing.T) {
	s := New()
	c := put("k", "v")
	apply(t, s, once("0", c))
	for i := 1; i < SessionsMax; i++ {
		apply(t, s, once(fmt.Sprint(i), c))
	}
	if r := apply(t, s, once("0", c)); !r.Repeat || r.Index != 1 {
		t.Fatalf("with %d keys: %+v", SessionsMax, r)
	}
	// The repeat did not make it younger.
	apply(t, s, once("one more", c))
	if count, oldest := s.Sessions(); count != SessionsMax || oldest != 2 {
		t.Errorf("%d keys from %d, want %d from 2", count, oldest, SessionsMax)
	}
	if r := apply(t, s, once("1", c)); !r.Repeat || r.Index != 2 {
		t.Errorf("the second is the oldest now, and is known: %+v", r)
	}
	if r := apply(t, s, once("0", c)); r.Repeat || !r.Done || r.Index != s.Applied() {
		t.Errorf("the first is forgotten, so it is a new request: %+v", r)
	}
	// Commands without a key push nothing out.
	apply(t, s, c)
	if r := apply(t, s, once("2", c)); !r.Repeat {
		t.Errorf("%+v", r)
	}
}

// TestARetryThatSaysSinceWhenIsNeverDoneTwice: however late it comes, and however many keys came between. Four are
// remembered. Without Since the same attempts are done twice.
func TestARetryThatSaysSinceWhenIsNeverDoneTwice(t *testing.T) {
	twice := func(t *testing.T, since bool) (done, refused, twice int) {
		rapid.Check(t, func(t *rapid.T) {
			s := &Store{state: newState(4)}
			s.Apply(raft.Entry{Term: 1, Index: 1, Type: raft.EntryNoop})
			var sent []Command
			effects := map[string]int{}
			for range rapid.IntRange(1, 60).Draw(t, "attempts") {
				if len(sent) == 0 || rapid.Bool().Draw(t, "new") {
					c := Command{Op: Put, Key: "k", Value: []byte("v"), IdempotencyKey: fmt.Sprint(len(sent))}
					if since {
						c.Since = raft.Index(rapid.IntRange(1, int(s.Applied())).Draw(t, "since"))
					}
					sent = append(sent, c)
				}
				c := rapid.SampledFrom(sent).Draw(t, "arrives")
				data, err := c.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				switch r := s.Apply(raft.Entry{Term: 1, Index: s.Applied() + 1, Data: data}).(Result); {
				case errors.Is(r.Err, ErrKeyForgotten):
					refused++
				case r.Err != nil:
					t.Fatal(r.Err)
				case !r.Repeat:
					done++
					if effects[c.IdempotencyKey]++; effects[c.IdempotencyKey] > 1 {
						twice++
					}
				}
			}
		})
		return done, refused, twice
	}
	if done, refused, twice := twice(t, true); done == 0 || refused == 0 || twice > 0 {
		t.Errorf("%d commands were done, %d of them twice; %d refused", done, twice, refused)
	}
	if _, refused, twice := twice(t, false); refused > 0 || twice == 0 {
		t.Errorf("without since: %d refused, %d done twice: the attempts show nothing", refused, twice)
	}
}

// A command is refused only where more keys came since than are remembered; the one before the oldest that is there is the
// last that may be asked for.
func TestSinceIsCountedToTheEntry(t *testing.T) {
	s := &Store{state: newState(2)}
	for i, key := range []string{"a", "b", "c"} { // entries 1 to 3; 2 and 3 are remembered
		if r := apply(t, s, once(key, put("k", "v"))); !r.Done || r.Index != raft.Index(i+1) {
			t.Fatalf("%+v", r)
		}
	}
	try := func(since raft.Index) Result {
		c := once("new", put("k", "w"))
		c.Since = since
		clone := &Store{state: s.state.copy()}
		return apply(t, clone, c)
	}
	if r := try(1); !r.Done {
		t.Errorf("since 1, the oldest being 2: %+v, want it done", r)
	}
	s.Apply(raft.Entry{Term: 1, Index: 4, Data: encode(t, once("d", put("k", "v")))}) // the oldest is 3 now
	if r := try(1); !errors.Is(r.Err, ErrKeyForgotten) || r.Done {
		t.Errorf("since 1, the oldest being 3: %+v, want ErrKeyForgotten", r)
	}
	if r := try(2); !r.Done {
		t.Errorf("since 2, the oldest being 3: %+v, want it done", r)
	}
}

// Whatever comes in whatever order, with clones and snapshots on the way: each key takes effect once within
// the bound.
func TestSessionsAgainstAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 3
		s := NewRemembering(most)
		var model []session // in order of the log
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			index := raft.Index(i + 1)
			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "idempotency key")
			c := once(key, put("k", rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value")))
			c.IfNoneMatch = rapid.Bool().Draw(t, "create")
			_, existed, _ := s.Get("k")
			want := Result{Index: index, Term: 1, Existed: existed}
			known := -1
			for n := range model {
				if model[n].key == key {
					known = n
				}
			}
			switch {
			case known >= 0 && model[known].fingerprint != fingerprintOf(c):
				want = Result{Index: index, Term: 1, Err: ErrKeyReused}
			case known >= 0:
				want = model[known].first
				want.Repeat = true
			default:
				want.Done = !c.IfNoneMatch || !existed
				item, _, _ := s.Get("k")
				if want.Current = item.ModIndex; want.Done {
					want.Current = index
				}
				model = append(model, session{key, fingerprintOf(c), want})
				model = model[max(0, len(model)-most):]
			}
			switch rapid.IntRange(0, 5).Draw(t, "detour") {
			case 0:
				s.Clone().Apply(raft.Entry{Term: 1, Index: index, Data: encodeRapid(t, once("other", c))})
			case 1:
				s = restored(t, s.freeze())
				s.sessions.max = most
			}
			got := s.Apply(raft.Entry{Term: 1, Index: index, Data: encodeRapid(t, c)}).(Result)
			if got != want {
				t.Fatalf("%+v: %+v, want %+v", c, got, want)
			}
			if s.sessions.byKey.Len() != len(model) || s.sessions.byIndex.Len() != len(model) {
				t.Fatalf("%d keys, %d indexes, want %d", s.sessions.byKey.Len(), s.sessions.byIndex.Len(), len(model))
			}
		}
	})
}

func encodeRapid(t *rapid.T, c Command) []byte {
	b, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two members of which one forgot, or remembers another thing, have different hashes.
func TestHashCoversTheSessions(t *testing.T) {
	s := New()
	apply(t, s, once("a", put("k", "v")))
	want := s.Hash()
	for name, change := range map[string]func(*session){
		"key":         func(n *session) { n.key = "b" },
		"fingerprint": func(n *session) { n.fingerprint[15]++ },
		"index":       func(n *session) { n.first.Index++ },
		"term":        func(n *session) { n.first.Term++ },
		"current":     func(n *session) { n.first.Current++ },
		"done":        func(n *session) { n.first.Done = false },
		"existed":     func(n *session) { n.first.Existed = true },
	} {
		changed := s.Clone()
		_, old, _ := s.sessions.byIndex.Min()
		n := *old
		change(&n)
		changed.sessions = newSessions(SessionsMax)
		changed.sessions.add(&n)
		if changed.Hash() == want {
			t.Errorf("another %s, the same hash", name)
		}
	}
}

func BenchmarkApplyOnce(b *testing.B) {
	s := New()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := Command{Op: Put, Key: "k", Value: make([]byte, 256), IdempotencyKey: fmt.Sprintf("8e03978e-40d5-43e8-bc93-%012d", i)}
		s.Apply(raft.Entry{Term: 1, Index: s.at.Index + 1, Data: encode(b, c)})
	}
}
