package sim

import (
	"errors"
	"slices"
	"testing"
	"time"

	"raftlab/linearizability"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// plant is one broken promise, and the check that must notice it.
type plant struct {
	name, check, says string
	plant             func(*testing.T, *world)
}

// somewhen lets a thing happen in the middle of the small plan, when a leader is there.
func somewhen(do func(*world, *member)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		var wait func()
		wait = func() {
			if leader := w.leader(); leader != nil && leader.raft().Committed() > 10 && !leader.writing {
				do(w, leader)
				return
			}
			w.later(time.Millisecond, wait)
		}
		w.later(100*time.Millisecond, wait)
	}
}

// other is a member that is not this one.
func (w *world) other(than *member) *member { return w.members[(than.slot+1)%len(w.members)] }

// forget takes a member out of the configuration that it has.
func forget(m *member) {
	members := m.raft().Configuration().Members
	for i := range members {
		if members[i].ID == m.id {
			members[i].ID = 99
		}
	}
}

// successionPlants are of the checks of members, votes and handovers.
var successionPlants = []plant{
	{"a member goes back to older members", "members", "goes back to the members", somewhen(func(_ *world, m *member) {
		m.since, m.committed = 500, 1000
	})},
	{"a leader changes the members twice at a time", "members", "is not committed", somewhen(func(w *world, m *member) {
		m.since = m.raft().Committed() + 1
		w.changes(m)
	})},
	{"a leader changes the members before it has committed an entry of its term", "members", "nothing of its term", func(_ *testing.T, w *world) {
		w.later(time.Millisecond, func() {
			w.members[0].since = 0
			w.changes(w.members[0])
		})
	}},
	{"an id that was removed comes back", "members", "an id that was removed", somewhen(func(w *world, m *member) {
		other := w.other(m)
		w.ask(m, raft.Change{Type: raft.Remove, Member: raft.Member{ID: other.id}}, func(error) {
			w.later(0, func() {
				m.raft().Configuration().Members[0].ID = other.id
				w.reconfigured(m)
			})
		})
	})},
	{"a learner is promoted before it has what is committed", "members", "promotes", somewhen(func(w *world, m *member) {
		before := m.raft().Configuration()
		before.Members = append(before.Members[:0:0], before.Members...)
		for i := range before.Members {
			before.Members[i].Learner = true
		}
		m.members, m.since, m.committed = before, 0, 1000
	})},
	{"an id that was removed is let in by a configuration that has forgotten it", "members", "its removal was answered", somewhen(func(w *world, m *member) {
		w.operator.removed = map[raft.ID]bool{m.id: true}
		w.operator.committedAt = 0 // what is committed comes anew
		w.later(0, func() { w.follow(m) })
	})},
	{"a change is answered before it is committed", "members", "says that it is done to", somewhen(func(w *world, m *member) {
		w.changeAnswered(m, raft.Change{Type: raft.AddLearner, Member: raft.Member{ID: 99}}, m.raft().LastIndex())
	})},
	{"a member that knows that it was removed asks for votes", "members", "asks for votes", somewhen(func(w *world, m *member) {
		forget(w.other(m))
		w.campaigns(w.other(m))
	})},
	{"a member that knows that it was removed leads", "members", "leads, and is no member", somewhen(func(w *world, m *member) {
		forget(m)
		w.leads(m)
	})},
	{"leadership is handed to who cannot win", "transfer", "hands its leadership", somewhen(func(w *world, m *member) {
		other := w.other(m)
		w.network.cutAll(func(_, to int) bool { return to == other.slot }, 1)
		w.later(300*time.Millisecond, func() {
			w.carry(m, &raft.Message{Type: raft.MsgTimeoutNow, From: m.id, To: other.id, Term: m.term})
		})
	})},
	{"a candidate's own vote is not on its disk", "disk", "says that it votes", somewhen(func(w *world, m *member) {
		w.carry(m, &raft.Message{Type: raft.MsgVote, From: m.id, To: w.other(m).id, Term: m.term + 1})
	})},
	{"a vote is not on the disk", "disk", "says that it votes", somewhen(func(w *world, m *member) {
		w.carry(w.other(m), &raft.Message{Type: raft.MsgVoteReply, From: w.other(m).id, To: m.id, Term: m.term + 1})
	})},
	{"two members lead in one term", "figure-3", "both led", somewhen(func(w *world, m *member) {
		for seed := uint64(1); ; seed++ { // of a cluster of which another member leads in that term
			plan := w.plan
			plan.Seed, plan.Faults = seed, nil
			twin := newWorld(plan, Options{})
			twin.begin()
			for twin.now < 300*time.Millisecond {
				e := twin.queue.pop()
				twin.now = e.at
				twin.dispatch(&e)
			}
			if leader := twin.leader(); leader != nil && leader.id != m.id && leader.term == m.term {
				w.members[leader.slot].driver = leader.driver
				w.settle(w.members[leader.slot])
				return
			}
		}
	})},
}

// diskPlants are of the checks of what members keep, and of how they start and end.
var diskPlants = []plant{
	{"a snapshot that was taken is not there", "disk", "says that its snapshot", somewhen(func(w *world, m *member) {
		w.snapshotKept(m, raft.Snapshot{Index: 1000})
	})},
	{"an older snapshot takes the place of a newer", "disk", "goes back to its snapshot", somewhen(func(w *world, m *member) {
		m.newest = 1000
		w.newestKept(m)
	})},
	{"a member starts without its log", "start", "its log is lost", somewhen(func(w *world, m *member) {
		m.logLost = true
		w.crash(m, false)
		w.restartAfter(m, time.Millisecond)
	})},
	{"a member starts on a snapshot and a log that contradict each other", "start", "starts from a snapshot", somewhen(func(w *world, m *member) {
		log := imageOf(raft.HardState{Term: 9}, wal.Position{Index: 5, Term: 3}, []raft.Entry{{Index: 6, Term: 4}})
		w.startsOn(m, raft.Snapshot{Index: 6, Term: 4}, log)
		if w.failure == nil {
			w.startsOn(m, raft.Snapshot{Index: 6, Term: 5}, log)
		}
	})},
	{"a member ends by itself", "end", "ends by itself", somewhen(func(_ *world, m *member) { m.fs.dead = true })},
	{"a member that is told to end cannot close its log", "end", "cannot close its log", somewhen(func(w *world, m *member) {
		other := w.other(m)
		other.fs.dead = true
		other.writing = false
		w.stop(other, time.Millisecond)
	})},
	{"a member breaks an invariant", "invariant", "raft: planted", somewhen(func(*world, *member) { panic("raft: planted") })},
	{"a member panics", "panic", "planted", somewhen(func(*world, *member) { panic(errors.New("planted")) })},
}

// answerPlants are of the checks of what clients are told. They begin with a ledger of one entry.
var answerPlants = []plant{
	{"a read may be answered from before it was asked", "stale", "may answer", func(_ *testing.T, w *world) {
		w.readGranted(w.members[0], &call{id: 1}, 4, 5)
	}},
	{"a write goes back in time", "stale", "wrote entry", func(_ *testing.T, w *world) {
		w.answered(&call{id: 1, kind: linearizability.Put, key: "k", value: "one", attempt: 1, floor: 2}, answer{index: 1})
	}},
	{"a list lacks a key", "ledger", "there are others", func(_ *testing.T, w *world) {
		w.listed(w.members[0], nil, 1)
	}},
	{"a list has another value", "ledger", "lists key", func(_ *testing.T, w *world) {
		w.listed(w.members[0], []kv.Entry{{Key: "k", Item: kv.Item{Value: []byte("two"), ModIndex: 1}}}, 1)
	}},
	{"an entry is no command", "ledger", "is no command", func(_ *testing.T, w *world) {
		w.applied(w.members[0], raft.Entry{Index: 2, Term: 1, Data: []byte{255}}, kv.Result{}, 1)
	}},
	{"a client is told that what happened has failed", "ledger", "told for certain", func(_ *testing.T, w *world) {
		c := w.clients[0]
		c.end(&call{id: 3, client: c, kind: linearizability.Put, key: "k", value: "one"}, w.load.keys[0], linearizability.Failed)
	}},
	{"a write is done again that says since when it was tried", "ledger", "carried out at entry 3 what entry 2 had done", func(t *testing.T, w *world) {
		store, forgetful := kv.New(), kv.New()
		store.Apply(put(t, 1, "k", "one", ""))
		machine{store, w, w.members[0]}.Apply(putSince(t, 2, "two", "once", 1))
		forgetful.Apply(put(t, 1, "k", "one", ""))
		forgetful.Apply(put(t, 2, "k", "two", ""))
		machine{forgetful, w, w.members[0]}.Apply(putSince(t, 3, "two", "once", 1))
	}},
	{"a write is done that may have been done", "ledger", "the model says: refused", func(t *testing.T, w *world) {
		w.ledger.keysMax = 1
		store := kv.New() // remembers more
		a := machine{store, w, w.members[0]}
		store.Apply(put(t, 1, "k", "one", ""))
		a.Apply(putSince(t, 2, "two", "twice", 1))
		a.Apply(putSince(t, 3, "three", "thrice", 2))
		a.Apply(putSince(t, 4, "four", "once", 1))
	}},
	{"the history is none", "simulator", "the history could not be judged", func(_ *testing.T, w *world) {
		get := &call{id: 1, client: w.clients[0], kind: linearizability.Get, key: "k", judged: true}
		w.history.calls = append(w.history.calls, get, get)
		w.judge()
	}},
	{"the claims are of no history", "simulator", "the claimed order could not be judged", func(_ *testing.T, w *world) {
		get := (&call{id: 1, client: w.clients[0], kind: linearizability.Get, key: "k"}).operation()
		w.judgeClaims([]linearizability.Operation{get, get})
	}},
	{"a member has applied what nobody can read", "witness", "nobody can read", func(_ *testing.T, w *world) {
		w.members[0].told.applied(raft.Entry{Index: 1, Term: 1, Data: []byte{255}}, kv.Result{Done: true})
		w.history.calls = append(w.history.calls, &call{id: 1, client: w.clients[0], kind: linearizability.Get, key: "k", judged: true})
		w.judge()
	}},
}

// healed lets a thing happen as soon as the core is chosen, which is every member.
func healed(do func(*world)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.later(w.plan.Until+2*time.Millisecond, func() {
			w.live.core = append(w.live.core[:0:0], w.members...)
			clear(w.network.cut[:])
			clear(w.network.clientCut[:])
			for _, m := range w.members {
				m.stopped, m.stuckTill = false, 0
				w.act(m, func() { w.start(m) })
			}
			do(w)
		})
	}
}

// quiet lets a thing happen to the leader when the core is healed, and its clients have been answered and are quiet.
func quiet(do func(*world, *member)) func(*testing.T, *world) {
	return healed(func(w *world) {
		var wait func()
		wait = func() {
			if leader := w.leader(); leader != nil && w.live.answered() && !slices.ContainsFunc(w.clients, func(c *client) bool { return c.busy }) {
				do(w, leader)
				return
			}
			w.later(100*time.Microsecond, wait)
		}
		wait()
	})
}

// livenessPlants are of the second phase, and of what the simulator says of itself.
var livenessPlants = []plant{
	{"clients are not answered", "liveness", "clients get no answers", healed(func(w *world) {
		for i := range w.network.clientCut {
			w.network.clientCut[i] = 1
		}
	})},
	{"what was acknowledged is not committed", "liveness", "acknowledged", healed(func(w *world) { w.history.acknowledged = 1 << 40 })},
	{"a healed member is down", "liveness", "is down", healed(func(w *world) {
		m := w.other(w.leader())
		w.crash(m, true)
		m.stopped = true
	})},
	{"one leader after the other is deposed", "liveness", "is deposed", healed(func(w *world) {
		quiet := w.other(w.leader()) // it hears nobody, so that the end is not calm at once
		w.live.rest = deaf
		w.live.core = append(w.live.core[:0:0], w.leader(), w.other(quiet))
		w.network.cutAll(func(_, to int) bool { return to == quiet.slot }, 1)
		var again func()
		again = func() {
			if m := w.leader(); m != nil {
				w.carry(quiet, &raft.Message{Type: raft.MsgAppendReply, Cluster: cluster, From: quiet.id, To: m.id, Term: m.term + 1, Reject: true})
			}
			w.later(2*w.electionTimeout(), again)
		}
		again()
	})},
	{"the state of a healed member is not that of the leader", "liveness", "the same state", quiet(func(w *world, m *member) {
		w.other(m).store = kv.New()
	})},
	{"the leader cannot commit what it has", "liveness", "is not committed and applied", quiet(func(w *world, m *member) {
		for _, other := range w.members {
			if other != m { // it hears and answers, and its disk takes no more
				other.stuckTill = w.live.until + time.Second
			}
		}
		w.pile(m, 1)
	})},
	{"a learner stays one", "liveness", "is not promoted", healed(func(w *world) {
		var again func()
		again = func() {
			if m := w.leader(); m != nil {
				m.members.Members = slices.Clone(m.members.Members)
				m.members.Members[w.other(m).slot].Learner = true
			}
			w.later(liveEvery, again)
		}
		w.later(w.live.began+liveEvery-w.now-1, again) // each time just before it is looked at
	})},
	{"the simulator takes too much away", "simulator", "took too much", func(_ *testing.T, w *world) {
		w.later(w.plan.Until, func() {
			for _, m := range w.members {
				m.lost = true
			}
		})
	}},
	{"members that were wiped come back as who they were, and nobody knows the others", "members", "[n1 n2 n3] of 3 came back from a wiped disk under an id that they had", somewhen(func(w *world, _ *member) {
		for _, m := range w.members {
			old := m.id
			w.crash(m, false)
			w.newDisk(m)
			delete(w.byID, m.id)
			m.id, m.sameAgain, w.byID[old] = old, true, m
		}
		w.operator.committedAt = 0
		w.chooseCore()
	})},
	{"nothing is left to happen", "simulator", "nothing is left", somewhen(func(w *world, _ *member) { w.queue = nil })},
}

// TestEachCheckNoticesWhatItIsForToo goes on with the checks that members, disks, answers and the heal have.
func TestEachCheckNoticesWhatItIsForToo(t *testing.T) {
	for _, c := range append(append(append(successionPlants, diskPlants...), answerPlants...), livenessPlants...) {
		t.Run(c.name, func(t *testing.T) {
			w := smallWorld(t)
			if c.check == "ledger" || c.check == "stale" {
				machine{kv.New(), w, w.members[0]}.Apply(put(t, 1, "k", "one", ""))
			}
			c.plant(t, w)
			w.notice(t, c.check, c.says)
		})
	}
}
