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
	"raftlab/linearizability"
)

// turn is one event of the schedule that waits for its trigger.
type turn struct {
	Event
	number int
	choice *rand.Rand
	begun  chan struct{} // closed when its injection begins, or it is certain that it never will
	term   uint64        // the latest seen then
	at     time.Time     // when that was
	once   sync.Once
	done   chan struct{} // closed when it is undone
}

func (t *turn) begin(term uint64) {
	t.once.Do(func() { t.term, t.at = term, time.Now(); close(t.begun) })
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
	p.load.Phase(lastPhase)
	p.wait(ctx, time.Until(c.start.Add(p.Schedule.End)))
	p.awaitServed(ctx)
	slices.SortFunc(p.breaking.windows, func(a, b Window) int { return cmp.Compare(a.Fault, b.Fault) })
	p.result.Windows = p.breaking.windows
	p.keepExecuted(began, p.recorder.Now())
}

// lastPhase is that of the operations that begin when everything is undone.
const lastPhase = "after the last fault"

// awaitServed lets the load go on until clients have had an ok of every kind after the last fault, for as long as a store
// may keep a client waiting: how long it takes to start and to elect is its own affair up to that bound, and what it does
// then is to be seen.
func (p *progress) awaitServed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.Bounds.of(len(members(p.Cluster))).Client)
	defer cancel()
	for ctx.Err() == nil && !p.served() {
		p.wait(ctx, triggerEvery)
	}
}

func (p *progress) served() bool {
	after, _ := p.load.Counts().Phase(lastPhase)
	return !slices.ContainsFunc(p.asks(), func(kind linearizability.Kind) bool { return after.Kinds[kind].OK == 0 })
}

// ended counts the operations of the load that have come to an end.
func (p *progress) ended() uint64 { return uint64(p.load.Counts().Total.Total()) }

// await waits for the trigger, and then as long as the plan asks for, however slow the machine is: what was not planned to
// overlap does not, and what was begins as long after the other as was planned.
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
		if !t.follows(ctx, other) {
			return false
		}
	}
	return ctx.Err() == nil
}

// follows waits until t may begin for all that was planned of another, and says whether ctx lasted.
func (t *turn) follows(ctx context.Context, other *turn) bool {
	later := t.When.Time - other.When.Time
	first := other.begun
	switch {
	case t.When.On != AtTime || other.When.On != AtTime || later < 0:
		return true
	case later >= other.For:
		first, later = other.done, 0
	}
	select {
	case <-first:
	case <-ctx.Done():
		return false
	}
	select {
	case <-time.After(time.Until(other.at.Add(later))):
		return true
	case <-ctx.Done():
		return false
	}
}

// event finds whom the fault means and runs it.
func (p *progress) event(ctx context.Context, c *clock, t *turn) {
	w := Window{Fault: t.number, What: t.Fault}
	if err := p.inTurn(ctx, t, &w); err != nil {
		p.skip(w, err)
	} else {
		p.breakIt(ctx, c, t, &w)
		p.breaking.forget(w.Fault)
		p.breaking.over(w)
	}
	p.load.Phase(p.breaking.phase(w.Fault))
}

// errNotNow is wrapped by what keeps a fault from being one now and not for ever: the faults in force.
var errNotNow = errors.New("chaos: not while others are in force")

// inTurn resolves whom the fault means. Where others in force leave it nobody to hit, nobody who leads, or no majority that
// could agree to it, it waits until one of them is over: a fault that cannot bite would prove nothing, and is not left out
// either. Alone it has to find somebody, or it is skipped.
func (p *progress) inTurn(ctx context.Context, t *turn, w *Window) error {
	for waited := false; ; waited = true {
		end := p.breaking.nextEnd()
		err := p.resolve(ctx, t, w)
		if !errors.Is(err, errNotNow) {
			return err
		}
		if !waited {
			p.say("fault #%d %s waits: %s", t.number, t.Fault, strings.TrimPrefix(text(err), errNotNow.Error()+": "))
		}
		select {
		case <-end:
		case <-ctx.Done():
			return err
		}
	}
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
		var err error
		if v.Leader, w.Term, err = p.findLeader(ctx, t.Fault); err != nil {
			return err
		}
		w.Leader = v.Leader
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.place(v, t, w)
}

// findLeader asks who leads. Beside others nobody may, and a fault that does not aim at the leader goes on without.
func (p *progress) findLeader(ctx context.Context, f Fault) (node string, term uint64, err error) {
	beside, patience := p.breaking.any(), leaderTimeout
	if beside && !f.Target.needsLeader() {
		patience = besideTimeout
	}
	found, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node, status, err := harness.AwaitLeader(found, p.Cluster, p.System)
	switch {
	case err == nil || patience == besideTimeout:
		return node, status.Term, nil
	case beside:
		err = fmt.Errorf("%w: %w", errNotNow, within{err})
	}
	return "", 0, err
}

// place puts w among those that are in force, at members that they leave to it.
func (b *breaking) place(v View, t *turn, w *Window) (err error) {
	passing := b.passing(v.Members)
	all := except(v.Members, b.dropping())
	v.Members = except(all, passing)
	others := b.effect(w.Fault)
	for _, m := range v.Members {
		if others.Loses(m, all) {
			v.Lost = append(v.Lost, m)
		}
	}
	v.Barred = b.barred(t.Fault)
	for _, node := range passing {
		v.Barred[node] = "a fault with which it leaves is in force"
	}
	if w.Nodes, err = t.Fault.Target.Resolve(v, t.choice); err != nil {
		if len(b.inForce) > 0 {
			err = fmt.Errorf("%w: %w", errNotNow, within{err})
		}
		return err
	}
	w.effects(all, others)
	if t.Fault.Kind.family().Agreed && !w.Quorum && len(b.inForce) > 0 {
		return fmt.Errorf("%w: %s would leave no majority to agree to it", errNotNow, t.Fault)
	}
	b.inForce = append(b.inForce, *w)
	return nil
}

// except leaves out some.
func except(nodes, some []string) []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(node string) bool { return slices.Contains(some, node) })
}
