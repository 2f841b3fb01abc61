package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"raftlab/raft"
)

// Seed reads a seed: a number, or any other word, of which a git hash is one.
func Seed(word string) (uint64, error) {
	if word == "" {
		return 0, fmt.Errorf("sim: a seed must be a number or a word, such as a git hash")
	}
	if n, err := strconv.ParseUint(word, 10, 64); err == nil {
		return n, nil
	}
	// As words, numbers that are none of ours would be other runs than who wrote them meant.
	if strings.Trim(word, "+-.,_0123456789") == "" {
		return 0, fmt.Errorf("sim: %q is no seed, which is a whole number from 0 to 2^64-1, or a word, such as a git hash", word)
	}
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(word) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h, nil
}

// Draw makes the plan of a seed. Each seed has its own sizes, and its own few kinds of fault at its own rates: a swarm of
// narrow runs reaches more than one run with everything at once (Groce et al., "Swarm Testing", ISSTA 2012).
func Draw(seed uint64) Plan {
	d := draw{rand.New(rand.NewPCG(seed, 0))}
	p := Plan{
		Seed: seed, Members: pick(d, 1, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 7), Clients: pick(d, 1+d.IntN(8), 1+d.IntN(8), 1+d.IntN(20)), Keys: 1 + d.IntN(4),
		Ops: 50 + d.IntN(400), Value: pick(d, 16, 60, 300, 2000), Until: d.between(2*time.Second, 11*time.Second),
		Tick: 10 * time.Millisecond, Heartbeat: pick(d, 1, 2, 5), Tail: pick(d, 1, 5, 20, 200), AppendBytes: pick(d, 1, 64, 500, 4000, 1<<20),
		Inflight: pick(d, 1, 2, 8, 256), InflightBytes: pick(d, 1000, 16<<20), Uncommitted: pick(d, 2000, 20000, 64<<20),
		Snapshot: pick(d, 0, 10, 30, 100), Segment: pick(d, 4096, 16384, 65536), Chunk: 4096,
		LatencyMin: d.between(50*time.Microsecond, time.Millisecond), Loop: pick(d, 0, 20*time.Microsecond, 500*time.Microsecond),
		Ordered: d.IntN(3) == 0, SyncMin: d.between(20*time.Microsecond, time.Millisecond),
		Think: d.between(0, 40*time.Millisecond), Patience: d.between(pick(d, 10*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond), pick(d, 200*time.Millisecond, 2*time.Second)),
		Sessions: pick(d, 0, 0.3, 1), Remembered: pick(d, 0, 0, 0, 1, 4, 20),
		Near: d.IntN(3) == 0, Uneven: pick(d, 0, 0, 20, 200), Burst: pick(d, 0, 0, d.between(5*time.Millisecond, 100*time.Millisecond)),
	}
	p.Election = p.Heartbeat * pick(d, 4, 10)
	p.LatencyMax = p.LatencyMin + d.between(0, pick(d, time.Millisecond, 10*time.Millisecond))
	p.SyncMax = p.SyncMin + d.between(0, pick(d, time.Millisecond, 20*time.Millisecond))
	if d.IntN(2) == 0 {
		p.Loss = pick(d, 0.01, 0.05, 0.2)
	}
	if d.IntN(2) == 0 {
		p.Duplicate = pick(d, 0.01, 0.1)
	}
	if d.IntN(2) == 0 {
		p.Late, p.LateMax = pick(d, 0.01, 0.1), d.between(10*time.Millisecond, time.Second)
	}
	if d.IntN(2) == 0 { // calls all the time, and not as fast as they are answered
		p.Think = min(2*p.Until*time.Duration(p.Clients)/time.Duration(p.Ops), 500*time.Millisecond)
	}
	p.Stream = d.between(0, pick(d, 10*time.Millisecond, time.Second))
	p.Faults = d.faults(&p)
	p.Since = pick(d, 0, 0.5, 1)
	return p
}

// draw is the stream of chance that makes plans.
type draw struct{ *rand.Rand }

func pick[T any](d draw, from ...T) T { return from[d.IntN(len(from))] }

func (d draw) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(d.Int64N(int64(most-least)+1))).Round(time.Microsecond)
}

// faults draws the kinds that this seed knows, and when they happen.
func (d draw) faults(p *Plan) []Fault {
	switch d.IntN(8) {
	case 0, 1:
		return d.toppling(p)
	case 2, 3:
		return d.travelling(p)
	}
	return d.mixed(p)
}

// travelling has snapshots on their way while logs, leaders and members change: few members lag so far that they need one, and
// what a snapshot meets on arrival depends on all that happened since it was sent.
func (d draw) travelling(p *Plan) []Fault {
	p.Snapshot, p.Tail, p.Stream = pick(d, 3, 5, 10, 30), pick(d, 1, 5), d.between(0, pick(d, 10*time.Millisecond, time.Second, time.Second))
	p.Uneven = pick(d, 20, 200)
	p.Ops = max(p.Ops, 200)
	kinds := []FaultKind{Isolate, Deaf, Crash, Kill, CrashInstall, CrashInstall, Add, Add, Remove, Remove, Churn, Wipe, Transfer, Snapshot, Full, Clog}
	meanwhile := Fault{At: d.between(100*time.Millisecond, p.Until/2), Kind: Churn, Who: 1, For: p.Until, N: beside}
	if d.IntN(3) > 0 { // and to members whose logs went another way
		topple := Fault{At: d.between(100*time.Millisecond, p.Until/2), Kind: Topple, Who: 1, For: p.Until, N: moments | streams | pick(d, 0, uint64(piles))}
		return append(d.some(p, kinds, 80), pick(d, []Fault{topple}, []Fault{topple, meanwhile})...)
	}
	// Or leaders last, and send snapshots in the place of what is on its way yet: appends overtake each other, and what a member
	// refuses for the want of them is gone from the leader's log.
	p.Ordered, p.Snapshot, p.Tail, p.Uneven, p.AppendBytes = false, pick(d, 3, 5), 1, 0, pick(d, 1, 64)
	p.LatencyMax = p.LatencyMin + d.between(time.Millisecond, 10*time.Millisecond)
	return append(d.some(p, kinds, pick(d, 4, 20, 40)), meanwhile)
}

func (d draw) toppling(p *Plan) []Fault {
	// Leaders that fall one after the other, alone or beside the rest: with much else going on few of them are elected.
	// Short terms, so that there are many.
	p.Heartbeat, p.Election = 1, pick(d, 4, 10)
	faults := []Fault{{At: d.between(100*time.Millisecond, p.Until/2), Kind: Topple, Who: 1, For: p.Until, N: d.Uint64N(2) | pick(d, 0, uint64(piles))}}
	if d.IntN(2) == 0 {
		faults = append(faults, d.mixed(p)...)
	}
	return faults
}

// mixed draws a few kinds, and so many faults of them.
func (d draw) mixed(p *Plan) []Fault {
	var kinds []FaultKind
	few := pick(d, 3, 3, 10) // one kind in so many
	for k := range faultKinds {
		if d.IntN(few) == 0 {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	most := pick(d, 4, 12, 40, 40)
	if few == 10 {
		most = pick(d, 40, 150)
	}
	return d.some(p, kinds, most)
}

// some draws fewer than most faults of these kinds.
func (d draw) some(p *Plan, kinds []FaultKind, most int) []Fault {
	var faults []Fault
	for range d.IntN(most) {
		f := Fault{At: d.between(100*time.Millisecond, p.Until), Kind: pick(d, kinds...), For: d.between(time.Millisecond, pick(d, 20*time.Millisecond, 100*time.Millisecond, time.Second, 4*time.Second))}
		if d.IntN(3) > 0 {
			f.Who = 1 + d.IntN(p.Members+1)
		}
		switch f.Kind {
		case Split, OneWay, Bridge:
			f.N = d.Uint64N(1<<p.Members-1) + 1
		case Clog:
			f.N = pick(d, slotsMax, d.Uint64N(uint64(p.Members+1)))
		case Transfer:
			f.N = d.Uint64N(uint64(p.Members + 1))
		case Lossy:
			f.N = d.Uint64N(90) + 5
		case CrashCall:
			f.N = d.Uint64N(pick(d, uint64(5), 60))
		case CrashSend:
			f.N = uint64(pick(d, raft.MsgVoteReply, raft.MsgVoteReply, raft.MsgVote, raft.MsgAppendReply, raft.MsgAppend, raft.MsgSnapshot))
		case Drift:
			f.N = pick(d, uint64(30), 70, 150, 300)
		case Crash, Kill:
			f.N = d.Uint64N(4)
		case Churn:
			f.N = d.Uint64N(3)
		case Topple:
			f.N = d.Uint64N(2)
		case Full:
			f.N = d.Uint64N(4)
		case Flip:
			f.N = d.Uint64N(3)
		case Stray:
			f.N = d.Uint64N(10) + 1
		case Jump:
			f.N = d.Uint64N(60) + 1
		case SlowSync:
			f.N = d.Uint64N(200) + 1
		}
		faults = append(faults, f)
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return int(a.At - b.At) })
	return faults
}
