package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"raftlab/harness"
)

// breaking is what is broken now. Each fault has a goroutine of its own, from its trigger to its evidence, and shares
// only this with the others.
type breaking struct {
	mu         sync.Mutex
	inForce    []Window // from their resolution to the end of their undo, the latest last
	begun      *Window  // the last one whose injection has begun, for the announcer; never written to
	windows    []Window // that are over
	unrecorded error    // of the journal
}

// effect is what all that is in force takes away, but for one.
func (b *breaking) effect(but int) (e Effect) {
	for _, w := range b.inForce {
		if w.Fault != but {
			e = e.And(w.Effect)
		}
	}
	return e
}

// held are the members that faults in force, but for one, may keep from running.
func (b *breaking) held(but int) (nodes []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.inForce {
		if w.Fault != but && w.What.Kind.family().Stops {
			nodes = union(nodes, w.Nodes)
		}
	}
	return nodes
}

func (b *breaking) latest() *Window {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun
}

// lasts is the last one that was begun, while it is in force.
func (b *breaking) lasts() *Window {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun == nil || !slices.ContainsFunc(b.inForce, func(w Window) bool { return w.Fault == b.begun.Fault }) {
		return nil
	}
	return b.begun
}

// forget ends what enter began.
func (b *breaking) forget(fault int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inForce = slices.DeleteFunc(b.inForce, func(w Window) bool { return w.Fault == fault })
}

func (b *breaking) over(w Window) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.windows = append(b.windows, w)
}

// victim is the leader that was hit last and is hit still.
func (b *breaking) victim() (leader string, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range slices.Backward(b.inForce) {
		if w.From > 0 && w.HitLeader() {
			return w.Leader, true
		}
	}
	return "", false
}

// phase names what is going on, for the operations that begin now.
func (b *breaking) phase(last int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var numbers []string
	for _, w := range b.inForce {
		if w.From > 0 {
			numbers = append(numbers, fmt.Sprint(w.Fault))
		}
	}
	if len(numbers) == 0 {
		return fmt.Sprintf("after fault %d", last)
	}
	return "fault " + strings.Join(numbers, "+")
}

// turn is one event of the schedule that waits for its trigger.
type turn struct {
	Event
	number int
	choice *rand.Rand
	begun  chan struct{} // closed when its injection begins, or it is certain that it never will
	term   uint64        // the latest seen then
	once   sync.Once
	done   chan struct{} // closed when it is undone
}

func (t *turn) begin(term uint64) { t.once.Do(func() { t.term = term; close(t.begun) }) }

// aim is whom the clients ask that ask the leader: the one that is hit while it is hit, for that is where stale reads
// are, else the one that was seen elected last.
func (p *progress) aim() string {
	if victim, found := p.breaking.victim(); found {
		return victim
	}
	if p.monitor == nil {
		return ""
	}
	return p.monitor.Led()
}

// faults runs the schedule, and returns when everything is undone.
func (p *progress) faults(ctx context.Context) {
	c := &clock{start: time.Now(), ended: p.ended, opsBefore: p.ended(), monitor: p.monitor}
	began := p.recorder.Now()
	ending, cancel := context.WithDeadline(ctx, c.start.Add(p.Schedule.End))
	defer cancel()
	var turns []*turn
	random := Random(p.Schedule.Seed, targetStream)
	for i, event := range p.Schedule.Events {
		// One draw per event, used or not: what one fault hits must not depend on how the one before went.
		choice := Random(random.Uint64(), targetStream)
		turns = append(turns, &turn{Event: event, number: i + 1, choice: choice, begun: make(chan struct{}), done: make(chan struct{})})
	}
	var running sync.WaitGroup
	for i, t := range turns {
		running.Go(func() {
			defer close(t.done)
			defer func() { t.begin(c.term()) }()
			until := ending
			if t.When.On == AtTime {
				until = ctx // on a slow machine it may come after the end: late, but not never
			}
			if p.await(until, c, turns[:i], t) {
				p.event(ctx, c, t)
			}
		})
	}
	running.Wait()
	p.wait(ctx, time.Until(c.start.Add(p.Schedule.End)))
	slices.SortFunc(p.breaking.windows, func(a, b Window) int { return cmp.Compare(a.Fault, b.Fault) })
	p.result.Windows = p.breaking.windows
	p.keepExecuted(began, p.recorder.Now())
}

// ended counts the operations of the load that have come to an end.
func (p *progress) ended() uint64 { return uint64(p.load.Counts().Total.Total()) }

// await waits for the trigger, and for what was to be over by then: what was not planned to overlap does not, however
// slow the machine is.
func (p *progress) await(ctx context.Context, c *clock, before []*turn, t *turn) bool {
	var term uint64
	if n := len(before); t.When.On == WhenLeader && n > 0 {
		select {
		case <-before[n-1].begun:
			term = before[n-1].term
		case <-ctx.Done():
			return false
		}
	} else {
		term = c.term()
	}
	if err := c.await(ctx, t.When, term); err != nil {
		if ctx.Err() == nil {
			p.skip(Window{Fault: t.number, What: t.Fault}, err)
		}
		return false
	}
	for _, other := range before {
		planned := t.When.On == AtTime && other.When.On == AtTime && other.When.Time+other.For <= t.When.Time
		if !planned {
			continue
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// event resolves whom the fault means and runs it.
func (p *progress) event(ctx context.Context, c *clock, t *turn) {
	w := Window{Fault: t.number, What: t.Fault}
	if err := p.resolve(ctx, t, &w); err != nil {
		p.skip(w, err)
	} else {
		p.breakIt(ctx, c, t, &w)
		p.breaking.forget(w.Fault)
		p.breaking.over(w)
	}
	p.load.Phase(p.breaking.phase(w.Fault))
}

func (p *progress) skip(w Window, why error) {
	w.Evidence = Evidence{Outcome: Skipped, Says: text(why), Missing: []string{text(why)}}
	w.From = p.recorder.Now()
	w.InForce, w.To = w.From, w.From
	p.note(&w, Observed, nil, nil)
	p.say("fault #%d %s skipped: %s", w.Fault, w.What, text(why))
	p.breaking.over(w)
}

// breakIt runs one fault from its intent to its evidence. Nothing but the wait in the middle ends with ctx.
func (p *progress) breakIt(ctx context.Context, c *clock, t *turn, w *Window) {
	lasting := context.WithoutCancel(ctx)
	fault := &Injected{Fault: w.What, Nodes: w.Nodes, Members: members(p.Cluster), Cluster: p.Cluster, System: p.System, Front: p.front, Random: t.choice}
	fault.Seen.HeldBefore = p.breaking.held(w.Fault)
	prepared := bounded(lasting, fault.Prepare)
	if err := p.note(w, Intent, fault, prepared); err != nil {
		// What is not on disk could not be cleaned up after us: leave it.
		w.Evidence = Evidence{Outcome: Skipped, Says: text(err), Missing: []string{text(err)}}
		return
	}
	t.begin(c.term())
	p.enter(w)
	p.load.Phase(p.breaking.phase(w.Fault))
	p.say("fault #%d %s: %s%s", w.Fault, w.What, names(w.Nodes), led(*w))
	family := w.What.Kind.family()
	applied := family.bounded(lasting, fault.Inject)
	w.InForce = p.recorder.Now()
	p.note(w, Applied, nil, applied)
	if applied == nil {
		if err := fault.Last(ctx, t.For); err != nil {
			p.note(w, Applied, nil, err)
		}
	}
	observed := bounded(lasting, fault.Observe)
	w.To = p.recorder.Now()
	healed := family.bounded(lasting, fault.Undo)
	fault.Seen.HeldAfter = p.breaking.held(w.Fault)
	p.note(w, Healed, nil, healed)
	w.Evidence = fault.Evidence()
	p.note(w, Observed, nil, observed)
	p.say("heal  #%d %s: %s", w.Fault, w.Evidence.Outcome, w.Evidence.Says)
}

// enter marks the beginning of the injection, for the clients, the announcer, and other faults.
func (p *progress) enter(w *Window) {
	b := &p.breaking
	b.mu.Lock()
	defer b.mu.Unlock()
	w.From = p.recorder.Now()
	shown := *w
	b.begun = &shown
	for i := range b.inForce {
		if b.inForce[i].Fault == w.Fault {
			b.inForce[i] = shown
		}
	}
}

func (p *progress) note(w *Window, step Step, fault *Injected, failed error) error {
	e := Entry{Step: step, Fault: w.Fault, At: p.recorder.Now(), Wall: time.Now().UTC(), What: w.What, Nodes: w.Nodes,
		World: p.Cluster.World(), Error: text(failed)}
	if fault != nil {
		e.Processes = fault.Seen.Before
	}
	if step == Observed {
		e.Evidence = &w.Evidence
	}
	err := p.journal.Write(e)
	p.breaking.mu.Lock()
	defer p.breaking.mu.Unlock()
	p.breaking.unrecorded = errors.Join(p.breaking.unrecorded, err)
	return err
}

// besideTimeout is how long a fault that does not aim at the leader waits to learn who leads while others are in force:
// they may have left nobody to elect one.
const besideTimeout = time.Second

// resolve finds whom the fault means now, and who leads, and takes its place among those in force: the next one that is
// resolved knows of it.
func (p *progress) resolve(ctx context.Context, t *turn, w *Window) error {
	b := &p.breaking
	v := View{Members: members(p.Cluster), Untold: text(p.untold)}
	if p.monitor != nil {
		b.mu.Lock()
		patience := leaderTimeout
		if len(b.inForce) > 0 && !t.Fault.Target.needsLeader() {
			patience = besideTimeout
		}
		b.mu.Unlock()
		found, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		node, status, err := harness.AwaitLeader(found, p.Cluster, p.System)
		if err != nil && patience == leaderTimeout {
			return err
		}
		v.Leader, w.Leader, w.Term = node, node, status.Term
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.effect(w.Fault)
	for _, m := range v.Members {
		if others.Loses(m, len(v.Members)) {
			v.Lost = append(v.Lost, m)
		}
	}
	v.Barred = b.barred(t.Fault)
	var err error
	if w.Nodes, err = t.Fault.Target.Resolve(v, t.choice); err != nil {
		return err
	}
	w.effects(v.Members, others)
	b.inForce = append(b.inForce, *w)
	return nil
}

// barred says at which members f would mean nothing now.
func (b *breaking) barred(f Fault) map[string]string {
	at := make(map[string]string)
	for _, w := range b.inForce {
		if !f.Kind.excludes(w.What.Kind) {
			continue
		}
		for _, node := range w.Nodes {
			at[node] = fmt.Sprintf("fault #%d (%s) is in force", w.Fault, w.What)
		}
	}
	return at
}
