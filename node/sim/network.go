package sim

import (
	"time"

	"raftlab/raft"
)

// network decides what becomes of a message: it arrives once, twice, late or never, in order or not.
type network struct {
	plan   *Plan
	flying slab[flight]
	sent   uint64

	second   time.Duration // the one of virtual time that goes on
	inSecond int           // messages sent in it

	cut       [slotsMax][slotsMax]uint8 // how many faults cut the link from, to
	clogged   [slotsMax][slotsMax]time.Duration
	arrival   [slotsMax][slotsMax]time.Duration // of the last message, where the order is kept
	clientCut [slotsMax]uint8
	lossy     int // faults that lose more than the plan
	lossyRate float64
	calm      bool // no loss, no duplicates, nothing late
}

type flight struct {
	message  raft.Message
	from, to int32
	sent     time.Duration
}

// stormMessages on their way at once are no traffic but a loop that feeds itself: a few hundred are many.
const stormMessages = 20_000

// stormInSecond messages sent in one second of virtual time are such a loop too, if each waits for the one before.
const stormInSecond = 100_000

func (n *network) init(p *Plan) { n.plan = p }

// transport is a member's way out.
type transport struct {
	w *world
	m *member
}

func (t *transport) SetMembers([]raft.Member) {}

func (t *transport) Send(messages []raft.Message) {
	for i := range messages {
		t.w.send(t.m, &messages[i])
	}
}

func (w *world) send(from *member, message *raft.Message) {
	w.carry(from, message)
	if from.cutSend == message.Type && from == w.acting && !from.starting {
		from.cutSend = 0
		w.mark(crashedAtSend)
		panic(powerCut{})
	}
}

// carry draws the fate of a message.
func (w *world) carry(from *member, message *raft.Message) {
	n := &w.network
	n.sent++
	if second := w.now / time.Second; second != n.second {
		n.second, n.inSecond = second, 0
	}
	if n.inSecond++; n.inSecond > stormInSecond {
		w.fail("storm", "%d messages were sent in one second: members answer answers", stormInSecond)
		return
	}
	if len(n.flying.values)-len(n.flying.free) > stormMessages {
		w.fail("storm", "%d messages are on their way: members answer answers", stormMessages)
		return
	}
	to := w.byID[message.To]
	if message.Type == raft.MsgTimeoutNow {
		w.handedOver(from, to, message)
	}
	if message.Type == raft.MsgVote || message.Type == raft.MsgVoteReply && !message.Reject {
		w.voteKept(from, message)
	}
	f, t := from.slot, to.slot
	rng := w.chance.network
	if n.cut[f][t] > 0 {
		w.mark(messageCut)
		w.drop(from, to, message, "cut")
		return
	}
	loss := n.plan.Loss
	if n.lossy > 0 {
		loss = n.lossyRate
	}
	if !n.calm && loss > 0 && rng.Float64() < loss {
		w.drop(from, to, message, "lost")
		return
	}
	copies := 1
	if !n.calm && n.plan.Duplicate > 0 && rng.Float64() < n.plan.Duplicate {
		copies = 2
		w.mark(messageTwice)
	}
	for range copies {
		at := w.now + n.latency(w)
		if n.plan.Ordered {
			at = max(at, n.arrival[f][t])
		} else if at < n.arrival[f][t] {
			w.mark(messageOvertook)
		}
		n.arrival[f][t] = max(at, n.arrival[f][t])
		if held := n.clogged[f][t]; at < held {
			at = held
			w.mark(messageHeld)
		}
		w.schedule(event{at: at, kind: evArrive, who: int32(t), arg: n.flying.put(flight{*message, int32(f), int32(t), w.now})})
	}
}

func (n *network) latency(w *world) time.Duration {
	p, rng := n.plan, w.chance.network
	d := p.LatencyMin + time.Duration(rng.Int64N(int64(p.LatencyMax-p.LatencyMin)+1))
	if !n.calm && p.Late > 0 && rng.Float64() < p.Late {
		d += time.Duration(rng.Int64N(int64(p.LateMax) + 1))
	}
	return d
}

// drop loses a message.
func (w *world) drop(from, to *member, message *raft.Message, why string) {
	if w.story.on() {
		w.tell("%v; %s", *message, why)
	}
	w.options.Picture.message(from.slot, to.slot, w.now, w.now, message, why)
}

// arrive puts a message into a member's inbox. What is cut now loses what is on its way, as a broken connection does.
func (w *world) arrive(f flight) {
	m, n := w.members[f.to], &w.network
	message := &f.message
	w.sum(uint64(message.Type)<<56|uint64(message.From)<<40|uint64(message.To)<<24|uint64(message.Term), uint64(message.Index)<<32|uint64(message.Commit)<<8|uint64(len(message.Entries)))
	why := ""
	switch {
	case n.cut[f.from][f.to] > 0:
		why = "cut"
	case !m.up:
		why = "nobody there"
	}
	if why != "" {
		w.drop(w.members[f.from], m, message, why)
		return
	}
	if m.paused {
		m.owed = append(m.owed, f)
		return
	}
	if w.story.on() {
		w.tell("%v", *message)
	}
	if message.To != m.id {
		w.mark(messageToAnotherLife)
	}
	w.options.Picture.message(int(f.from), int(f.to), f.sent, w.now, message, "")
	m.inbox.Messages = append(m.inbox.Messages, *message)
	w.rouse(m)
}

// cutAll cuts or mends the links for which is says so.
func (n *network) cutAll(is func(from, to int) bool, by int) {
	for f := range slotsMax {
		for t := range slotsMax {
			if f != t && is(f, t) {
				n.cut[f][t] = uint8(int(n.cut[f][t]) + by)
			}
		}
	}
}
