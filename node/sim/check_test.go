package sim

import (
	"strings"
	"testing"
	"time"

	"raftlab/linearizability"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// smallWorld is a world of the small plan that has begun.
func smallWorld(t *testing.T) *world {
	t.Helper()
	p, err := ParsePlan(small)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(p, Options{})
	w.begin()
	return w
}

// runToEnd runs what is left.
func (w *world) runToEnd() {
	for w.failure == nil && !w.over {
		w.loop()
	}
	if w.failure == nil {
		w.judge()
	}
}

// notice runs what is left, and demands that this check has failed.
func (w *world) notice(t *testing.T, check, says string) {
	t.Helper()
	if w.failure == nil {
		w.runToEnd()
	}
	if w.failure == nil || w.failure.Check != check || !strings.Contains(w.failure.Message, says) {
		t.Fatalf("found %v; want %s: ...%s...", w.failure, check, says)
	}
}

func put(t *testing.T, index raft.Index, key, value, once string) raft.Entry {
	t.Helper()
	return entryOf(t, index, kv.Command{Op: kv.Put, Key: key, Value: []byte(value), IdempotencyKey: once})
}

// putSince is a put of k that says since when it has been tried.
func putSince(t *testing.T, index raft.Index, value, once string, since raft.Index) raft.Entry {
	t.Helper()
	return entryOf(t, index, kv.Command{Op: kv.Put, Key: "k", Value: []byte(value), IdempotencyKey: once, Since: since})
}

func entryOf(t *testing.T, index raft.Index, c kv.Command) raft.Entry {
	t.Helper()
	data, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return raft.Entry{Term: 1, Index: index, Data: data}
}

// TestEachCheckNoticesWhatItIsFor plants one broken promise for each check, and nothing else; without the plant the same
// run passes.
func TestEachCheckNoticesWhatItIsFor(t *testing.T) {
	for _, c := range []plant{
		{"two members apply entries of two terms at one index", "ledger", "others applied one of term 1", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			other := put(t, 1, "k", "one", "")
			other.Term = 2
			machine{kv.New(), w, w.members[1]}.Apply(other)
		}},
		{"two members make two things of one entry", "ledger", "to others it was", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			w.applied(w.members[1], put(t, 1, "k", "one", ""), kv.Result{Index: 1, Term: 1}, w.ledger.agreed[1].hash)
		}},
		{"two members apply different entries", "ledger", "others applied it and had", func(t *testing.T, w *world) {
			a, b := machine{kv.New(), w, w.members[0]}, machine{kv.New(), w, w.members[1]}
			a.Apply(put(t, 1, "k", "one", ""))
			b.Apply(put(t, 1, "k", "two", ""))
		}},
		{"a retry is applied twice", "ledger", "the model says", func(t *testing.T, w *world) {
			a := machine{kv.New(), w, w.members[0]}
			a.Apply(put(t, 1, "k", "one", "once"))
			store := kv.New() // has forgotten the session
			store.Apply(put(t, 1, "k", "one", ""))
			machine{store, w, w.members[0]}.Apply(put(t, 2, "k", "one", "once"))
		}},
		{"a key is remembered longer than it is to be", "ledger", "the model says", func(t *testing.T, w *world) {
			w.ledger = newLedger(1)
			a := machine{kv.New(), w, w.members[0]}
			for i, once := range []string{"a", "b", "a"} {
				a.Apply(put(t, raft.Index(i+1), "k", "one", once))
			}
		}},
		{"an entry is skipped", "ledger", "nobody has applied", func(t *testing.T, w *world) {
			w.applied(w.members[0], put(t, 5, "k", "one", ""), kv.Result{}, 1)
		}},
		{"a snapshot holds another state", "ledger", "restored a snapshot", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			w.restored(w.members[1], 1, 99)
		}},
		{"a read goes back in time", "stale", "was committed before", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			w.answered(&call{id: 1, kind: linearizability.Get, key: "k", floor: 2}, answer{index: 1, here: true, value: "one"})
		}},
		{"a read returns what was never there", "ledger", "the ledger has", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			w.answered(&call{id: 1, kind: linearizability.Get, key: "k"}, answer{index: 1, here: true, value: "two"})
		}},
		{"a write is acknowledged that nobody has", "ledger", "the last that anybody applied", func(t *testing.T, w *world) {
			w.answered(&call{id: 1, kind: linearizability.Put, key: "k", value: "v"}, answer{index: 7})
		}},
		{"a write is answered with another's entry", "ledger", "which is of", func(t *testing.T, w *world) {
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			w.answered(&call{id: 1, kind: linearizability.Put, key: "k", value: "two", attempt: 2}, answer{index: 1})
		}},
		{"a write that failed for certain happens", "ledger", "told for certain", func(t *testing.T, w *world) {
			w.ledger.writes["one"] = &call{id: 3, outcome: linearizability.Failed}
			machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
		}},
		{"a disk loses what was synced", "start", "refuses to start", func(_ *testing.T, w *world) {
			m := w.members[0]
			w.later(300*time.Millisecond, func() {
				w.crash(m, false)
				f, err := m.fs.Mem.OpenWrite(dataDir + "/0000000000000001.wal")
				if err == nil {
					_, err = f.WriteAt([]byte("?"), 230) // in the first entry
				}
				if err != nil {
					w.fail("test", "%v", err)
				}
				w.restartAfter(m, time.Millisecond)
			})
		}},
		{"a disk comes back as no crash leaves it", "disk", "no state in which", func(_ *testing.T, w *world) {
			m := w.members[0]
			w.later(300*time.Millisecond, func() {
				m.shadow.durable.hard.Term++
				w.crash(m, true)
				w.restartAfter(m, time.Millisecond)
			})
		}},
		{"a member believes what its disk does not have", "disk", "to be on its disk", func(_ *testing.T, w *world) {
			w.later(300*time.Millisecond, func() {
				on := &w.members[0].shadow.durable
				on.terms = on.terms[:len(on.terms)-1]
			})
		}},
		{"a healed majority cannot talk", "liveness", "nobody leads", func(_ *testing.T, w *world) {
			w.later(w.plan.Until+2*time.Millisecond, func() { w.network.cutAll(func(int, int) bool { return true }, 1) })
		}},
		{"one healed member is cut off", "liveness", "a healed member does not follow the leader", healed(func(w *world) {
			alone := w.other(w.leader())
			w.network.cutAll(func(from, to int) bool { return from == alone.slot || to == alone.slot }, 1)
		})},
		{"a client is told what the key did not hold", "linearizability", "", func(_ *testing.T, w *world) {
			w.later(w.plan.Until, func() {
				for _, c := range w.history.calls {
					if c.kind == linearizability.Get && c.answer.here {
						c.answer.value = "never written"
						return
					}
				}
			})
		}},
		{"a client is told another version than it is shown", "witness", "unique-index", func(_ *testing.T, w *world) {
			w.later(w.plan.Until, func() {
				for _, c := range w.history.calls {
					if c.kind == linearizability.Get && c.answer.here {
						c.answer.etag++
						return
					}
				}
			})
		}},
		{"a client is told another term than others", "witness", "one-term", func(_ *testing.T, w *world) {
			w.later(w.plan.Until, func() {
				for _, c := range w.history.calls {
					if c.outcome == linearizability.OK && c.kind == linearizability.Get {
						c.answer.term += 1000
						return
					}
				}
			})
		}},
		{"a log lacks what was acknowledged", "witness", "log-complete", func(_ *testing.T, w *world) {
			w.later(w.plan.Until, func() {
				log := &w.members[1].told
				for i := range log.entries {
					log.entries[i].Type = raft.EntryNoop
				}
			})
		}},
		{"members answer answers one at a time", "storm", "in one second", func(_ *testing.T, w *world) {
			w.later(100*time.Millisecond, func() {
				w.network.cut[0][1]++ // none is on its way
				w.act(w.members[0], func() {
					for range stormInSecond + 1 {
						w.carry(w.members[0], &raft.Message{Type: raft.MsgAppendReply, From: 1, To: 2})
					}
				})
			})
		}},
		{"members answer answers", "storm", "answer answers", func(_ *testing.T, w *world) {
			w.later(100*time.Millisecond, func() {
				w.act(w.members[0], func() {
					for range stormMessages + 2 {
						w.carry(w.members[0], &raft.Message{Type: raft.MsgAppendReply, From: 1, To: 2})
					}
				})
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := smallWorld(t)
			if strings.HasPrefix(c.check, "ledger") || c.check == "stale" {
				w.ledger = newLedger(kv.SessionsMax)
			}
			c.plant(t, w)
			w.notice(t, c.check, c.says)
		})
	}
	w := smallWorld(t)
	if w.runToEnd(); w.failure != nil {
		t.Fatalf("without a plant: %v", w.failure)
	}
}

// TestShrinkKeepsTheReason: a plan that fails becomes a small one that fails for the same reason. The failure is a
// bound that no run can keep.
func TestShrinkKeepsTheReason(t *testing.T) {
	if p := Draw(3); Shrink(p, nil).Seed != p.Seed {
		t.Error("a plan that passes was changed")
	}
}

// The newest leader led while the old one stood still: who reads the picture sees both, and where it failed.
func TestAPictureShowsWhoStoodStillAndWhereItFailed(t *testing.T) {
	p := &Picture{}
	p.up(0, 0, true, 1)
	p.up(1, 0, true, 2)
	p.stands(1, time.Second, true)
	p.struck(1, time.Second, Fault{Kind: Pause, For: time.Second})
	p.stands(1, 2*time.Second, false)
	p.up(0, 2*time.Second, false, 1)
	p.up(0, 3*time.Second, true, 7)
	page := p.HTML(Result{Virtual: 4 * time.Second, Failure: &Failure{Check: "stale", Message: "n2 may answer <call 3>", At: 4 * time.Second}})
	for _, want := range []string{"n2 stands still, 1s to 2s", "n1, then n7", "pause leader", `href="#failure"`, `id="failure"`, "FAIL stale: n2 may answer &lt;call 3&gt;", `<circle cx="345.0"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
	if strings.Count(page, `class="still"`) != 1 {
		t.Error("one member stood still once")
	}
}

// TestAPictureIsOnePageThatNeedsNothingElse.
func TestAPictureIsOnePageThatNeedsNothingElse(t *testing.T) {
	p, err := ParsePlan(small)
	if err != nil {
		t.Fatal(err)
	}
	picture := &Picture{}
	r, err := Run(1, Options{Plan: &p, Picture: picture, Story: 5})
	if err != nil {
		t.Fatal(err)
	}
	page := picture.HTML(r)
	for _, want := range []string{"<svg", "leads term", "n3", "class=\"msg append\"", "class=\"commit\"", "The plan", "fault 500ms crash leader"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, no := range []string{"<script", "http://", "https://", "src="} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), no) {
			t.Errorf("the page has %q", no)
		}
	}
}
