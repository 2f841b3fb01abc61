package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"raftlab/linearizability"
	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// client calls one operation at a time.
type client struct {
	w       *world
	number  int
	process int // as in a history: a new one after an unknown outcome
	leader  int // slot that is thought to lead
	busy    bool
	seen    raft.Index // the greatest index in an answer; one before the first
}

// call is one operation of a client: one attempt, or, with an idempotency key, several.
type call struct {
	id      int64
	client  *client
	process int
	kind    linearizability.Kind
	key     string
	value   string
	expect  string
	ifMatch raft.Index
	once    string // idempotency key
	anew    int    // how often it was given another one
	list    bool   // the member that reads lists all keys beside it
	judged  bool   // is part of the history; calls with conditions that it has no word for are not
	command kv.Command
	data    []byte // the command
	since   bool   // it says since when it has been tried

	began, ended time.Duration
	floor        raft.Index // the greatest index that anybody had committed when it began
	attempt      int
	waits        bool // for the next attempt
	hops         int
	doubt        bool // an earlier attempt may have happened
	asked        int  // slot
	outcome      linearizability.Outcome
	answer       answer
}

// keyUse bounds what happens to one key, so that a history can be judged: the cost of that grows with the operations
// in flight, and an unknown one is in flight for ever.
type keyUse struct {
	name          string
	ops, unknowns int
	inFlight      int
	value         string // the last that somebody saw, and its index
	etag          raft.Index
}

const (
	keyOpsMax      = 80
	keyUnknownsMax = 4
	keyInFlightMax = 5
)

// clients' common state.
type load struct {
	keys      []*keyUse
	made      int // keys so far
	called    int
	processes int
	values    int
}

func (w *world) beginClients() {
	for range w.plan.Keys {
		w.load.keys = append(w.load.keys, w.newKey())
	}
	for i := range w.plan.Clients {
		w.load.processes++
		c := &client{w: w, number: i, process: w.load.processes, leader: i % w.plan.Members, seen: 1}
		w.clients = append(w.clients, c)
		w.later(time.Duration(w.chance.clients.Int64N(int64(w.plan.Think)+1)), c.next)
	}
}

func (w *world) newKey() *keyUse {
	w.load.made++
	return &keyUse{name: fmt.Sprintf("k%d", w.load.made)}
}

// next calls the next operation.
func (c *client) next() {
	w, rng := c.w, c.w.chance.clients
	if c.busy || !w.healing && w.load.called >= w.plan.Ops || w.healing && w.live.answered() {
		return
	}
	at := rng.IntN(len(w.load.keys))
	k := w.load.keys[at]
	if k.ops >= keyOpsMax || k.unknowns >= keyUnknownsMax {
		k = w.newKey()
		w.load.keys[at] = k
	}
	if k.inFlight >= keyInFlightMax {
		w.later(w.plan.Think+time.Millisecond, c.next)
		return
	}
	w.load.called++
	x := &call{id: int64(len(w.history.calls) + 1), client: c, process: c.process, key: k.name, began: w.now, judged: true, floor: w.watch.Committed()}
	w.history.calls = append(w.history.calls, x)
	c.choose(x, k)
	k.ops++
	k.inFlight++
	c.busy = true
	if w.story.on() {
		w.tell("client %d calls #%d: %s", c.number+1, x.id, x)
	}
	x.asked = c.leader
	if x.kind == linearizability.Get || rng.IntN(4) == 0 {
		x.asked = w.someSlot()
	}
	c.try(x, k)
}

// someSlot is any member's, or, after the heal, any healed one's.
func (w *world) someSlot() int {
	if core := w.live.core; len(core) > 0 {
		return core[w.chance.clients.IntN(len(core))].slot
	}
	return w.chance.clients.IntN(len(w.members))
}

// choose draws what to do.
func (c *client) choose(x *call, k *keyUse) {
	w, rng := c.w, c.w.chance.clients
	dice := rng.IntN(100)
	command := kv.Command{Op: kv.Put, Key: k.name, ContentType: "text/plain"}
	switch {
	case dice < 40:
		x.kind, x.list = linearizability.Get, dice < 4
		return
	case dice < 48:
		x.kind, command.Op, command.ContentType = linearizability.Delete, kv.Delete, ""
	case dice < 65 && k.etag != 0:
		x.kind, x.expect, x.ifMatch = linearizability.CAS, k.value, k.etag
		command.IfMatch = k.etag
	case dice < 72: // the history has no word for these conditions, the model has
		x.kind = linearizability.Put
		x.unjudged()
		command.IfExists = dice < 68
		command.IfNoneMatch = !command.IfExists
	default:
		x.kind = linearizability.Put
	}
	if command.Op == kv.Put {
		w.load.values++
		x.value = fmt.Sprintf("v%d", w.load.values)
		if pad := w.plan.Value - len(x.value); pad > 0 {
			x.value += strings.Repeat(".", rng.IntN(pad))
		}
		command.Value = []byte(x.value)
		w.ledger.writes[x.value] = x
	}
	x.command = command
	if rng.Float64() < w.plan.Sessions {
		c.openSession(x)
	}
	x.command.Key = x.key
	x.encode()
}

func (x *call) encode() { x.data = encoded(x.command) }

func encoded(c kv.Command) []byte {
	data, err := c.AppendBinary(nil)
	if err != nil {
		panic(fmt.Sprintf("sim: own command refused: %v", err))
	}
	return data
}

// unjudged moves the call to a key of which the history says nothing.
func (x *call) unjudged() {
	if x.judged {
		x.key += "x"
	}
	x.judged = false
}

func (x *call) String() string {
	s := fmt.Sprintf("%s %s", x.kind, x.key)
	if x.value != "" {
		s += " " + strings.TrimRight(x.value, ".")
	}
	return s
}

// try sends the call to a member.
func (c *client) try(x *call, k *keyUse) {
	w := c.w
	x.attempt++
	x.waits = false
	attempt, m := x.attempt, w.members[x.asked%len(w.members)]
	back := func(a answer) {
		if w.network.clientCut[m.slot] > 0 {
			return
		}
		w.later(w.clientLatency(), func() {
			if x.awaits(attempt) {
				c.returned(x, k, a)
			}
		})
	}
	patience := w.plan.Patience
	if w.healing {
		patience = max(patience, healedPatience)
	}
	w.later(patience, func() {
		if x.awaits(attempt) {
			x.doubt = true
			c.tired(x, k)
		}
	})
	if w.network.clientCut[m.slot] > 0 {
		return
	}
	w.later(w.clientLatency(), func() { w.request(m, x, back) })
}

// awaits reports whether an answer to that attempt is still of use.
func (x *call) awaits(attempt int) bool {
	return x.outcome == "" && x.attempt == attempt && !x.waits
}

// returned takes an answer.
func (c *client) returned(x *call, k *keyUse, a answer) {
	w := c.w
	switch {
	case a.err == nil:
		c.ok(x, k, a)
	case errors.Is(a.err, driver.ErrUnknown):
		x.doubt = true
		c.tired(x, k)
	case errors.Is(a.err, errNotHere) && w.byID[a.toward] != nil && x.hops < 3:
		x.hops++
		c.leader = w.byID[a.toward].slot
		x.asked = c.leader
		c.try(x, k)
	default:
		if errors.Is(a.err, raft.ErrOverloaded) {
			w.mark(overloaded)
		}
		if x.kind == linearizability.Get {
			w.mark(readGivenUp)
		}
		c.leader = w.someSlot()
		if x.doubt {
			c.tired(x, k) // this attempt did nothing; an earlier one may have
			return
		}
		c.end(x, k, linearizability.Failed)
	}
}

func (c *client) ok(x *call, k *keyUse, a answer) {
	w := c.w
	x.answer = a
	c.seen = max(c.seen, a.index)
	if a.repeat {
		w.mark(sessionRepeated)
	}
	switch {
	case a.reused:
		w.mark(keyReused)
	case x.kind != linearizability.Get && !a.done && !a.gone:
		w.mark(conditionFailed)
	}
	w.answered(x, a)
	switch {
	case a.gone:
		c.forgotten(x, k, a)
		return
	case x.judged && a.reused && x.doubt && w.plan.Remembered > 0: // it was done perhaps, forgotten, and somebody took the key
		c.end(x, k, linearizability.Unknown)
		return
	case x.judged && a.reused: // somebody took the key before this call was applied
		c.end(x, k, linearizability.Failed)
		return
	case !x.judged:
	case x.kind == linearizability.Get && a.here:
		k.value, k.etag = a.value, a.etag
	case x.kind == linearizability.Delete:
		k.etag = 0
	case a.etag != 0 && a.done:
		k.value, k.etag = x.value, a.etag
	}
	c.end(x, k, linearizability.OK)
}

func (c *client) end(x *call, k *keyUse, outcome linearizability.Outcome) {
	w := c.w
	x.outcome, x.ended = outcome, w.now
	w.history.returned++
	k.inFlight--
	c.busy = false
	if outcome == linearizability.Unknown {
		w.load.processes++
		c.process = w.load.processes
		if x.judged && x.kind != linearizability.Get {
			k.unknowns++
		}
	}
	if outcome == linearizability.Failed && x.value != "" {
		for _, v := range w.ledger.versions[x.key] {
			if v.value == x.value {
				w.fail("ledger", "call %d was told for certain that it had failed, and is entry %d", x.id, v.index)
			}
		}
	}
	if w.story.on() {
		w.tell("client %d: #%d %s at entry %d", c.number+1, x.id, outcome, x.answer.index)
	}
	w.sum(uint64(x.id), uint64(len(outcome))<<32|uint64(x.answer.index))
	if outcome == linearizability.OK && w.healing && x.began >= w.live.began {
		w.live.done++
		w.live.wrote = w.live.wrote || x.kind != linearizability.Get
	}
	think := w.plan.Think
	if outcome == linearizability.Failed {
		think += failedPause // nobody leads, perhaps
	}
	w.later(w.burst(time.Duration(w.chance.clients.Int64N(int64(think)+1))), c.next)
}

// burst makes the end of a pause one at which others begin, too.
func (w *world) burst(pause time.Duration) time.Duration {
	if w.plan.Burst == 0 {
		return pause
	}
	return (w.now+pause)/w.plan.Burst*w.plan.Burst + w.plan.Burst - w.now
}

// failedPause is the longest pause after a call that certainly failed.
const failedPause = 50 * time.Millisecond

// healedPatience is the least that a client waits for an answer after the heal, when it must get one. Clients that give up sooner and ask
// again can keep a cluster busy with what nobody waits for any more, where it takes an entry a round trip; those that wait long wait so at
// a removed member, too.
const healedPatience = time.Second

// clientLatency is what a client's words take to a member, or back.
func (w *world) clientLatency() time.Duration {
	if w.plan.Near {
		return 0
	}
	return w.network.latency(w)
}
