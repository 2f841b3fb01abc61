package modelcheck

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Order is how a search goes on.
type Order uint8

const (
	BreadthFirst Order = iota // finds a shortest way to a violation
	DepthFirst                // needs less memory for what is still to be looked at
	Walks                     // random ways from the start, again and again: deep and never complete
)

// Options say how to search within the bounds.
type Options struct {
	Bounds Bounds
	Order  Order
	Seed   uint64        // of Walks
	For    time.Duration // the search gives up then; zero for no bound
	// Progress, if not nil, is called now and then.
	Progress func(Result)

	plain bool                 // no reduction
	each  func(*world, *state) // is shown every state
}

// Result is what a search has seen.
type Result struct {
	States      int // distinct ones, up to renaming of members; of Walks, visited ones
	Transitions int
	Members     int // distinct states of one member
	Depth       int // actions from the start to the deepest state
	Took        time.Duration
	// Complete: every state within the bounds was seen. Never after Walks.
	Complete  bool
	Violation *Violation
}

// Violation is a broken property and a way to it.
type Violation struct {
	Err    error
	Steps  int
	Script string // for raft/testdata
}

// String tells it in one line.
func (r Result) String() string {
	how := "complete"
	if !r.Complete {
		how = "not complete"
	}
	if r.Violation != nil {
		how = "violation"
	}
	s := fmt.Sprintf("%s: %d states, %d transitions, %d states of a member, depth %d, %.1f s", how, r.States, r.Transitions, r.Members, r.Depth, r.Took.Seconds())
	if seconds := r.Took.Seconds(); seconds > 0 {
		s += fmt.Sprintf(", %.0f states/s", float64(r.States)/seconds)
	}
	return s
}

// Search explores until all is seen, something is broken, or it has to give up.
func Search(o Options) (Result, error) {
	if err := o.Bounds.Validate(); err != nil {
		return Result{}, err
	}
	w := newWorld(o.Bounds)
	w.plain = o.plain
	root, err := w.root()
	if err != nil {
		return Result{}, err
	}
	x := &search{world: w, options: o, began: time.Now(), root: root}
	switch o.Order {
	case Walks:
		err = x.walk()
	default:
		err = x.explore()
	}
	x.result.Took, x.result.Members = time.Since(x.began), len(w.members.values)
	return x.result, err
}

type search struct {
	*world
	options Options
	began   time.Time
	root    state
	result  Result
	memory  []action
}

// waiting is a state that was reached and not looked at.
type waiting struct {
	state  state
	number uint32
	depth  uint16
}

func (x *search) explore() error {
	seen := newSeen()
	seen.add(x.hash(&x.root), 0)
	recent := make([]uint64, 1<<20) // hashes of states that were reached lately, before they settled
	queue := []waiting{{state: x.root}}
	for head := 0; head < len(queue); {
		var now waiting
		if x.options.Order == DepthFirst {
			now, queue = queue[len(queue)-1], queue[:len(queue)-1]
		} else {
			now = queue[head]
			if head++; head > 1<<16 && head > len(queue)/2 {
				queue, head = append([]waiting(nil), queue[head:]...), 0
			}
		}
		x.result.Depth = max(x.result.Depth, int(now.depth))
		if x.options.each != nil {
			x.options.each(x.world, &now.state)
		}
		if x.options.Bounds.Depth > 0 && int(now.depth) >= x.options.Bounds.Depth {
			continue
		}
		bad := x.successors(&now.state, &x.memory, func(_ action, next *state) {
			x.result.Transitions++
			rough := x.hash(next)
			if at := &recent[rough%uint64(len(recent))]; *at == rough {
				return
			} else {
				*at = rough
			}
			x.settle(next, nil)
			if number, fresh := seen.add(x.hash(next), now.number); fresh {
				queue = append(queue, waiting{*next, number, now.depth + 1})
			}
		})
		x.result.States = len(seen.hashes)
		if bad != nil {
			return x.report(append(x.way(seen, now.number), bad.action))
		}
		if x.giveUp() {
			return nil
		}
	}
	x.result.Complete = true
	return nil
}

// giveUp reports that the search has gone on for long enough.
func (x *search) giveUp() bool {
	if x.options.Bounds.States > 0 && x.result.States >= x.options.Bounds.States {
		return true
	}
	if x.options.For > 0 && time.Since(x.began) > x.options.For {
		return true
	}
	if x.options.Progress != nil && time.Since(x.began) > x.result.Took+5*time.Second {
		x.result.Took, x.result.Members = time.Since(x.began), len(x.members.values)
		x.options.Progress(x.result)
	}
	return false
}

// way finds the steps from the start to a state again: of each state on the way only its hash and what it was reached
// from are kept, and the first successor with that hash is the one that was explored.
func (x *search) way(seen *seen, number uint32) []action {
	var numbers []uint32
	for n := number; n != 0; n = seen.parent[n] {
		numbers = append(numbers, n)
	}
	var way []action
	now := x.root
	for i := len(numbers) - 1; i >= 0; i-- {
		want, found := seen.hashes[numbers[i]], false
		var follow state
		x.successors(&now, &x.memory, func(a action, next *state) {
			if found {
				return
			}
			if x.settle(next, nil); x.hash(next) == want {
				found, follow = true, *next
				way = append(way, a)
			}
		})
		now = follow
	}
	return way
}

// walkMax ends a walk that goes round in circles.
const walkMax = 300

// weights make deliveries likely, and crashes rare enough for something to happen between them.
var weights = [kinds]float64{deliver: 10, timeout: 1, heartbeat: 1, stepDown: 0.3, propose: 2, read: 1, change: 1, transfer: 0.5, save: 5, crash: 0.5}

func (x *search) walk() error {
	rng := rand.New(rand.NewPCG(x.options.Seed, 1))
	for !x.giveUp() {
		now := x.root
		var way []action
		for len(way) < walkMax {
			x.memory = x.actions(&now, x.memory)
			a, next, err := x.draw(rng, &now)
			if err != nil {
				return x.report(append(way, a))
			}
			if next == nil {
				break
			}
			now = *next
			x.settle(&now, nil)
			way = append(way, a)
			x.result.Transitions++
			x.result.States++
			x.result.Depth = max(x.result.Depth, len(way))
		}
	}
	return nil
}

// draw takes one of the actions that change something; none is left at the end of a walk.
func (x *search) draw(rng *rand.Rand, now *state) (action, *state, error) {
	total := 0.0
	for _, a := range x.memory {
		total += weight(a)
	}
	for len(x.memory) > 0 {
		at, i := rng.Float64()*total, 0
		for at -= weight(x.memory[0]); at >= 0 && i < len(x.memory)-1; at -= weight(x.memory[i]) {
			i++
		}
		a := x.memory[i]
		next, ok, err := x.next(now, a)
		if err != nil || ok {
			return a, &next, err
		}
		total -= weight(a)
		last := len(x.memory) - 1
		x.memory[i], x.memory = x.memory[last], x.memory[:last]
	}
	return action{}, nil, nil
}

func weight(a action) float64 {
	if a.torn != whole {
		return weights[crash]
	}
	return weights[a.kind]
}

// shorten leaves out every step that is not needed for something to break.
func (x *search) shorten(way []action) []action {
	for again := true; again; {
		again = false
		for i := len(way) - 2; i >= 0; i-- {
			shorter := append(append([]action(nil), way[:i]...), way[i+1:]...)
			if n, err := x.replay(shorter); err != nil {
				way, again = shorter[:n], true
				i = min(i, len(way)-1)
			}
		}
	}
	return way
}

// replay takes the steps of a way from the start. What cannot happen is left out, and so is a message that was not sent. It
// returns the number of steps taken when something broke, and what.
func (x *search) replay(way []action) (int, error) {
	now := x.root
	for i, a := range way {
		if _, sent := slices.BinarySearch(x.nets.values[now.net], a.arg); a.kind == deliver && !sent {
			continue
		}
		next, ok, err := x.next(&now, a)
		if err != nil {
			return i + 1, err
		}
		if ok {
			now = next
		} else if o := x.one(now.members[a.member], a); o.possible && o.after == now.members[a.member] {
			now.net = x.sent(&now, a, o.sent)
		}
	}
	return len(way), nil
}

// spell adds to a way what settle did between its steps.
func (x *search) spell(way []action) []action {
	var spelt []action
	note := func(a action) { spelt = append(spelt, a) }
	now := x.root
	x.settle(&now, note)
	for _, a := range way {
		spelt = append(spelt, a)
		next, ok, _ := x.next(&now, a)
		if ok {
			now = next
			x.settle(&now, note)
		}
	}
	return spelt
}

func (x *search) report(way []action) error {
	way = x.shorten(x.spell(way))
	_, err := x.replay(way)
	x.result.Violation = &Violation{Err: err, Steps: len(way), Script: x.script(way)}
	return nil
}
