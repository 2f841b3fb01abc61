package chaos

import (
	"context"
	"errors"
	"fmt"
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
	remains    []string // what could not be undone
	// started is since when each member runs, as far as the lab had a hand in it. One that came since is not in it.
	started map[string]time.Time
	ended   chan struct{} // closed when one that is in force ends; nil while nobody waits for that
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

// any says whether something is in force.
func (b *breaking) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.inForce) > 0
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
	if b.ended != nil {
		close(b.ended)
		b.ended = nil
	}
}

// nextEnd is closed when the next of those that are in force has ended.
func (b *breaking) nextEnd() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil {
		b.ended = make(chan struct{})
	}
	return b.ended
}

// saw takes the processes that were found when the lab had started what it was to start.
func (b *breaking) saw(found map[string]harness.Probe) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for node, p := range found {
		b.started[node] = p.Started
	}
}

func (b *breaking) stays(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remains = append(b.remains, what)
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
	fault := &Injected{Fault: w.What, Nodes: w.Nodes, Members: w.Members, Cluster: p.Cluster, System: p.System, Front: p.front, Random: t.choice}
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
		p.awaitElection(ctx, w)
	}
	observed := bounded(lasting, fault.Observe)
	w.To = p.recorder.Now()
	healed := family.bounded(lasting, fault.Undo)
	w.Undone = p.recorder.Now()
	p.breaking.saw(fault.Seen.After)
	fault.Seen.HeldAfter = p.breaking.held(w.Fault)
	p.note(w, Healed, nil, healed)
	if healed != nil && family.Outside {
		p.breaking.stays(fmt.Sprintf("fault #%d (%s) may be in force still: %s", w.Fault, w.What, text(healed)))
	}
	w.Evidence = fault.Evidence()
	p.note(w, Observed, nil, observed)
	p.say("heal  #%d %s: %s", w.Fault, w.Evidence.Outcome, w.Evidence.Says)
}

// awaitElection keeps a fault that took the leader in force until others have elected another, for as long as a store may
// take for it. Beside another fault, such as links that lose much, it can take longer than the fault was to last.
func (p *progress) awaitElection(ctx context.Context, w *Window) {
	ctx, cancel := context.WithTimeout(ctx, p.Bounds.of(len(w.Members)).Leader)
	defer cancel()
	for p.monitor != nil && ctx.Err() == nil && p.breaking.leaderless(*w) {
		if electionsIn(Window{Term: w.Term, To: p.recorder.Now()}, p.monitor.Observed().Elections) > 0 {
			return
		}
		p.wait(ctx, triggerEvery)
	}
}

// leaderless says whether the leader that w took is lost still, and a majority is left that could elect another.
func (b *breaking) leaderless(w Window) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.effect(0) // of all
	return w.HitLeader() && now.Loses(w.Leader, w.Members) && now.Quorum(w.Members)
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

// passing are the members that leave with a fault in force: those that it drops, and those that have come with it. Whoever
// has come since it began may be one.
func (b *breaking) passing(members []string) (nodes []string) {
	for _, w := range b.inForce {
		family := w.What.Kind.family()
		for _, node := range members {
			if family.Drops && slices.Contains(w.Nodes, node) || family.Guests && !slices.Contains(w.Members, node) {
				nodes = union(nodes, []string{node})
			}
		}
	}
	return nodes
}

// dropping are those of them that are members since before.
func (b *breaking) dropping() (nodes []string) {
	for _, w := range b.inForce {
		if w.What.Kind.family().Drops {
			nodes = union(nodes, w.Nodes)
		}
	}
	return nodes
}
