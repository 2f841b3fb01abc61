package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"raftlab/harness"
)

// Family is one kind of fault: what it is called, what can be said about it, what it takes away, and how it is done.
// Each has a file of its own, which registers it; nothing else knows it by name.
type Family struct {
	Kind   Kind   // the word in a schedule
	Does   string // one line for `raftlab list`
	Needs  string // of the world, one line; empty where every world has it
	Target Target // where a schedule names none; empty: it must name one
	Params []Param
	// Draws are faults of this kind, as in a schedule, from which `everything` and `--faults` draw; each lasts 2.5 s to 4 s.
	// Without any it is never drawn.
	Draws []string
	// Check, if set, refuses parameters that do not go together.
	Check func(Fault) error
	// Fits, if set, says before anything is started why the fault would be none at these nodes among these members.
	Fits func(f Fault, nodes, members []string) error
	// Able, if set, returns an error that wraps harness.ErrUnsupported where this cluster cannot have the fault. It looks at
	// what kind of cluster it is: it is also asked of one that does not run yet.
	Able func(harness.Cluster) error
	// Effect says what the protocol loses while the fault is in force; nil: nothing that it must not do without.
	Effect func(f Fault, nodes, members []string) Effect
	// Suffers says what has become of a leader that is hit and left there to be asked, such as "isolated". Clients must then
	// ask it for reads, for one that answers is the find of the run. Empty: nobody is there to ask.
	Suffers string
	// Spares says that a leader that keeps its majority has no reason to go: nothing else is wrong with the members that hear it.
	// New terms while only such a fault is in force are counted against Bounds.Terms.
	Spares bool
	// Excludes are the families that mean nothing at a member that this one hits, and the other way round: a pause
	// aimed at a dead process pauses nothing.
	Excludes []Kind
	// Silences says that it keeps clients from the members that it hits: nobody can ask those that Suffer there.
	Silences bool
	// Agreed says that a majority of the members must agree to it: while others in force would leave none, it waits.
	Agreed bool
	// Guests says that the members that come with it leave with it: no other fault is aimed at them.
	Guests bool
	// Drops says that the members that it hits are none any more when it is over: no other fault that begins meanwhile is
	// aimed at them, or needs their links.
	Drops bool
	// Takes is how long the injection may take, and the undo. Zero: probeTimeout, as any probe.
	Takes time.Duration
	// Front asks for clients that go through a relay of the lab, see harness.Front.
	Front bool
	// Stops says that the processes that it hits may not run while it is in force: who else hits them must not be blamed.
	Stops bool
	// Outside says that its undo asks the world and no member: where that fails, what stays broken is not the store's doing.
	Outside bool
	// New makes the state of one fault.
	New func() Action
}

// Action is one fault on its way from its intent to its evidence. Its methods are called one after the other, by one
// goroutine, in the order in which they stand here. Undo is called even if Apply failed, for half of it may be in force,
// and has to be one that can be called again.
type Action interface {
	Apply(ctx context.Context, i *Injected) error
	// Observe reads what the fault does while it is in force. Processes are probed already.
	Observe(ctx context.Context, i *Injected) error
	Undo(ctx context.Context, i *Injected) error
	// Judge reads only what was observed, in i.Seen and in the Action, so that each outcome can be tested without a
	// cluster. It says what is missing to f, and what was seen.
	Judge(i *Injected, f *Findings)
}

// Acting is an Action that goes on doing something while it is in force. If Act takes longer than the fault was to last, the
// fault lasts longer. ctx ends where the run is interrupted; an error counts as one of the injection.
type Acting interface {
	Act(ctx context.Context, i *Injected) error
}

// Preparer is an Action that reads something of the cluster before the intent is written and anything is done.
type Preparer interface {
	Prepare(ctx context.Context, i *Injected) error
}

// families is filled by Register before anything reads it.
var families = map[Kind]Family{}

// Register adds a family, in an init function. A word that is taken, or a family that cannot be used, is our bug: it
// panics.
func Register(f Family) {
	if _, taken := families[f.Kind]; taken || f.Kind == "" || f.New == nil || f.Does == "" {
		panic(fmt.Sprintf("chaos: family %q is registered already, or is not complete", f.Kind))
	}
	for _, p := range f.Params {
		if p.Default != "" {
			if _, err := p.canonical(p.Default); err != nil {
				panic(fmt.Sprintf("chaos: family %q: %v", f.Kind, err))
			}
		}
	}
	families[f.Kind] = f
}

// Families lists what is registered, in the order of their words.
func Families() []Family {
	var all []Family
	for _, f := range families {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Family) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}

// Kinds are the words that ParseFault knows, in order.
func Kinds() []Kind {
	var all []Kind
	for _, f := range Families() {
		all = append(all, f.Kind)
	}
	return all
}

// family is that of a kind that was parsed.
func (k Kind) family() Family {
	f, known := families[k]
	if !known {
		panic("chaos: fault kind " + string(k) + " was not parsed")
	}
	return f
}

// Able says why this kind of cluster cannot have such faults, nil if it can. It need not run.
func (f Fault) Able(c harness.Cluster) error { return f.Kind.family().able(c) }

// able says why this cluster cannot have faults of this kind, nil if it can.
func (f Family) able(c harness.Cluster) error {
	if f.Able == nil {
		return nil
	}
	return f.Able(c)
}

// bounded gives an injection or an undo its time.
func (f Family) bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(f.Takes, probeTimeout))
	defer cancel()
	return do(ctx)
}

// excludes says whether one of two kinds means nothing where the other is in force.
func (k Kind) excludes(other Kind) bool {
	a, b := k.family(), other.family()
	return slices.Contains(a.Excludes, other) || slices.Contains(b.Excludes, k) ||
		a.Silences && b.Suffers != "" || b.Silences && a.Suffers != ""
}

// effect is what f takes away at these members.
func (f Fault) effect(nodes, members []string) Effect {
	if family := f.Kind.family(); family.Effect != nil {
		return family.Effect(f, nodes, members)
	}
	return Effect{}
}

// needs is an Able for the capability C of a cluster.
func needs[C any](what string) func(harness.Cluster) error {
	return func(c harness.Cluster) error {
		if _, ok := c.(C); !ok {
			return fmt.Errorf("%s in world %s: %w", what, c.World(), harness.ErrUnsupported)
		}
		return nil
	}
}

// killing is the effect of a fault at members that do nothing while it lasts.
func killing(_ Fault, nodes, _ []string) Effect { return Effect{Down: nodes} }

// each runs do for every node, and does not stop at the first that fails.
func each(nodes []string, what string, do func(node string) error) error {
	var failed []error
	for _, node := range nodes {
		if err := do(node); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", what, node, err))
		}
	}
	return errors.Join(failed...)
}
