package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"raftlab/raft"
	"raftlab/raft/safety"
)

// Options says what to do beside the run. None of them changes what happens in it.
type Options struct {
	// Plan is carried out; nil: the one that the swarm draws from the seed.
	Plan *Plan
	// Trace is told every event, one sentence each. It makes a run many times slower.
	Trace func(sentence string)
	// Story is how many of the last sentences Result keeps; it costs as much as Trace.
	Story int
	// Picture, if not nil, records what a diagram shows.
	Picture *Picture
}

// Result is what a run showed.
type Result struct {
	Plan      Plan
	Failure   *Failure // nil: no promise was broken
	TraceHash uint64   // over all events: equal for equal runs
	Events    uint64
	Messages  uint64 // that members sent each other
	Calls     int    // of clients that returned
	Virtual   time.Duration
	Faults    FaultCounts
	Marks     Marks
	Story     []string
}

// Failure is the first promise that was found broken.
type Failure struct {
	Check   string // which check: raft, figure-3, ledger, linearizability, liveness ...
	Message string
	At      time.Duration
}

func (f *Failure) Error() string { return fmt.Sprintf("%s, after %v: %s", f.Check, f.At, f.Message) }

// Reason is the same for failures of one kind, whatever the numbers in them.
func (f *Failure) Reason() string {
	b := []byte(f.Check + ": ")
	for _, c := range []byte(f.Message) {
		if c < '0' || c > '9' {
			b = append(b, c)
		}
	}
	return string(b)
}

// Run carries out one run. The error is about the options; what the run found broken is in the Result.
func Run(seed uint64, options Options) (Result, error) {
	var plan Plan
	if options.Plan != nil {
		plan = *options.Plan
	} else {
		plan = Draw(seed)
	}
	if err := plan.Validate(); err != nil {
		return Result{}, err
	}
	w := newWorld(plan, options)
	w.begin()
	for w.failure == nil && !w.over {
		w.loop()
	}
	if w.failure == nil {
		w.judge()
	}
	return w.result(), nil
}

// world is a cluster, its network, disks, clients and clocks.
type world struct {
	plan    Plan
	options Options

	now    time.Duration
	made   uint64 // events so far, queued ones included
	events uint64
	queue  heap
	calls  slab[func()]
	sums   uint64
	over   bool

	network  network
	members  []*member           // by slot, from 0
	byID     map[raft.ID]*member // whose address that id has, or had
	ids      uint64              // so far
	clients  []*client
	operator operator
	load     load
	live     live
	healing  bool // the faults are over
	acting   *member

	churnTill, toppleTill time.Duration
	changesTill           time.Duration // the members change whenever a snapshot sets out
	hurry                 uint64        // changes that whoever is elected then is asked for beside the first
	toppleHow             uint64        // N of the fault

	chance struct{ network, disk, clients, faults *rand.Rand }

	watch   *safety.Watch
	ledger  ledger
	history history
	marks   Marks
	faults  FaultCounts
	failure *Failure
	story   story
}

func newWorld(plan Plan, options Options) *world {
	w := &world{plan: plan, options: options, byID: map[raft.ID]*member{}, watch: safety.NewWatch(), sums: 14695981039346656037}
	w.ledger = newLedger(w.remembered())
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(plan.Seed, n)) }
	w.chance.network, w.chance.disk, w.chance.clients, w.chance.faults = stream(1), stream(2), stream(3), stream(4)
	w.story = story{keep: options.Story, tell: options.Trace}
	w.network.init(&w.plan)
	return w
}

const cluster raft.ClusterID = 7

// begin starts the members and the clients, and plans the faults.
func (w *world) begin() {
	var founders []raft.Member
	for range w.plan.Members {
		m := w.newMember()
		founders = append(founders, raft.Member{ID: m.id, Address: m.address})
	}
	for _, m := range w.members {
		m.founders = founders
	}
	for _, m := range w.members {
		w.act(m, func() { w.start(m) })
	}
	w.beginClients()
	for _, f := range w.plan.Faults {
		w.later(f.At, func() { w.inject(f) })
	}
	w.later(w.plan.Until, w.heal)
	w.later(operatorEvery, w.operate)
}

// later runs a function after a while.
func (w *world) later(after time.Duration, do func()) {
	w.schedule(event{at: w.now + after, kind: evCall, who: -1, arg: w.calls.put(do)})
}

// laterFor runs a function with a member after a while, if it still lives the same life.
func (w *world) laterFor(m *member, after time.Duration, do func()) {
	w.schedule(event{at: w.now + after, kind: evCall, who: int32(m.slot), life: m.life, arg: w.calls.put(do)})
}

func (w *world) schedule(e event) {
	w.made++
	e.seq = w.made
	w.queue.push(e)
}

// loop takes events until the run is over, or a crash or a broken invariant ends an event in the middle.
func (w *world) loop() {
	defer func() {
		if p := recover(); p != nil {
			w.interrupted(p)
		}
	}()
	for w.failure == nil && !w.over {
		if len(w.queue) == 0 {
			w.fail("simulator", "nothing is left to happen")
			return
		}
		e := w.queue.pop()
		w.now = e.at
		w.events++
		w.sum(uint64(e.at), uint64(e.kind)<<32|uint64(uint32(e.who)))
		w.dispatch(&e)
	}
}

func (w *world) dispatch(e *event) {
	if e.kind == evArrive {
		w.arrive(w.network.flying.take(e.arg))
		return
	}
	var m *member
	if e.who >= 0 {
		m = w.members[e.who]
		if m.life != e.life || !m.up {
			if e.kind == evCall {
				w.calls.take(e.arg)
			}
			return // it was of another life
		}
	}
	switch e.kind {
	case evTick:
		w.tick(m)
	case evWake:
		w.wake(m)
	case evSynced:
		if e.arg == m.syncing {
			w.synced(m)
		}
	case evCall:
		if m != nil && m.paused {
			m.owedCalls = append(m.owedCalls, e.arg)
			return
		}
		do := w.calls.take(e.arg)
		w.acting = m
		do()
		if m != nil && m.up {
			w.settle(m)
		}
	}
}

// act lets a member do something that is no event of its own.
func (w *world) act(m *member, do func()) {
	before := w.acting
	w.acting = m
	do()
	if m.up && w.failure == nil {
		w.settle(m)
	}
	w.acting = before
}

// interrupted is told what a panic carried: the word of a disk that the power was cut, or a broken invariant.
func (w *world) interrupted(p any) {
	m := w.acting
	if _, cut := p.(powerCut); cut && m != nil {
		if m.fs.dead {
			w.mark(crashedAtCall)
		}
		if m.starting {
			w.mark(crashedInRecovery)
		}
		w.crash(m, true)
		w.restartAfter(m, m.fs.downFor)
		return
	}
	check := "panic"
	message := fmt.Sprint(p)
	if _, ours := p.(string); ours {
		check = "invariant"
	}
	if w.story.keep > 0 || w.story.tell != nil {
		w.story.add(w.now, string(debug.Stack()))
	}
	w.fail(check, "%s", message)
}

// fail ends the run. The first failure counts.
func (w *world) fail(check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Check: check, Message: fmt.Sprintf(format, args...), At: w.now}
		w.tell("FAIL %s: %s", check, w.failure.Message)
	}
}

// sum takes words into the trace hash.
func (w *world) sum(a, b uint64) {
	h := (w.sums ^ a) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ b) * 0xbf58476d1ce4e5b9
	w.sums = h ^ h>>32
}

func (w *world) result() Result {
	return Result{
		Plan: w.plan, Failure: w.failure, TraceHash: w.sums, Events: w.events, Messages: w.network.sent, Calls: w.history.returned,
		Virtual: w.now, Faults: w.faults, Marks: w.marks, Story: w.story.last(),
	}
}

// story keeps the last sentences.
type story struct {
	keep  int
	tell  func(string)
	lines []string
	next  int
}

func (s *story) on() bool { return s.keep > 0 || s.tell != nil }

func (s *story) add(now time.Duration, sentence string) {
	line := fmt.Sprintf("%12.6f  %s", now.Seconds(), sentence)
	if s.tell != nil {
		s.tell(line)
	}
	switch {
	case s.keep == 0:
	case len(s.lines) < s.keep:
		s.lines = append(s.lines, line)
	default:
		s.lines[s.next] = line
		s.next = (s.next + 1) % s.keep
	}
}

func (s *story) last() []string {
	return append(append([]string(nil), s.lines[s.next:]...), s.lines[:s.next]...)
}

// tell adds a sentence, if anybody listens.
func (w *world) tell(format string, args ...any) {
	if w.story.on() {
		w.story.add(w.now, fmt.Sprintf(format, args...))
	}
}
