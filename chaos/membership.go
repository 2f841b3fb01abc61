package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"raftlab/harness"
)

// Changes of the members, as an operator makes them. The number of members is afterwards what it was; who they are is not:
// a newcomer has a name, an address and an id that nobody had before.
const (
	Add     Kind = "add"     // newcomers join, and are removed again
	Remove  Kind = "remove"  // members are taken out of the configuration, and newcomers take their place
	Replace Kind = "replace" // for each member a newcomer joins, then the member is removed
	Wipe    Kind = "wipe"    // the process ends, its data are lost, and it comes back as a new member
)

// changeTakes bounds each half of a change: a newcomer is started, catches up and gets its vote, one after the other.
const changeTakes = 30 * time.Second

func init() {
	family := Family{
		Needs: "a world and a system that can change members", Able: needs[harness.Member]("change members"), Takes: changeTakes, Agreed: true,
		Excludes: []Kind{Crash, Rolling, Pause, Remove, Replace, Wipe},
		Effect:   killing, Stops: true,
		Fits: func(f Fault, nodes, members []string) error {
			if 2*len(nodes) >= len(members) {
				return fmt.Errorf("%w: %s at %s of %s leaves no majority to agree to it", ErrTarget, f.Kind, strings.Join(nodes, " "), Counted(len(members), "member"))
			}
			return nil
		},
	}
	add := family
	add.Kind, add.Does, add.Target = Add, "newcomers join the members, and are removed again", All
	add.Excludes, add.Effect, add.Fits, add.Stops, add.Guests = nil, nil, nil, false, true
	add.Draws = []string{"add all"}
	add.Params = []Param{{Name: "count", Unit: Number, Default: "1", Means: "how many join, one after the other"}}
	add.Check = func(f Fault) error {
		if n := f.Number("count"); f.Target != All || n < 1 || n > 10 {
			return fmt.Errorf("it is said of all, with count=1 to count=10; not of %s, with count=%d", f.Target, n)
		}
		return nil
	}
	add.New = func() Action { return &adding{} }
	remove := family
	remove.Kind, remove.Does, remove.Target = Remove, "members are taken out and run on, removed; newcomers take their place", Follower
	remove.Suffers, remove.Drops, remove.Draws = "removed", true, []string{"remove follower", "remove leader"}
	remove.New = func() Action { return &removing{} }
	replace := family
	replace.Kind, replace.Does, replace.Target = Replace, "a newcomer joins for each member, which is then removed and ended", Follower
	replace.Drops, replace.Draws = true, []string{"replace follower", "replace leader"}
	replace.New = func() Action { return &replacing{} }
	wipe := family
	wipe.Kind, wipe.Does, wipe.Target = Wipe, "the process ends by SIGKILL and its data are lost; it comes back as a new member", Follower
	wipe.Draws = []string{"wipe follower"}
	wipe.New = func() Action { return &wiping{} }
	for _, f := range []Family{add, remove, replace, wipe} {
		Register(f)
	}
	fault := func(text string) step {
		return step{fault: text, shortest: 3 * time.Second, longest: 4 * time.Second}
	}
	over := func(text string) step {
		s := fault(text)
		s.over = 7 * time.Second
		return s
	}
	long := func(text string) step { return step{fault: text, shortest: 9 * time.Second, longest: 10 * time.Second} }
	Scenarios = append(Scenarios,
		Scenario{Name: "member-churn", Shows: "members come and go: two join and leave, a follower and the leader are removed, both are replaced",
			steps: []step{fault("add all count=2"), fault("remove follower"), fault("remove leader"), fault("replace follower"), fault("replace leader")}},
		Scenario{Name: "replace-under-partition", Shows: "a follower is replaced while the leader is cut off, and the leader while a follower is",
			steps: []step{long("partition leader"), over("replace follower"), long("partition follower"), over("replace leader")}},
		Scenario{Name: "wipe-rejoin", Shows: "a follower, the leader, then two at once lose their data and come back as new members",
			steps: []step{fault("wipe follower"), fault("wipe leader"), fault("wipe minority")}},
		Scenario{Name: "grow-shrink", Shows: "two more members, then two fewer, twice; of three with --nodes 3",
			steps: []step{fault("add all count=2"), fault("remove minority"), fault("add all count=2"), fault("remove minority")}},
		Scenario{Name: "replace-all", Shows: "every one of five members is replaced, one by one, the leader among them",
			steps: []step{fault("replace n1"), fault("replace n2"), fault("replace n3"), fault("replace n4"), fault("replace n5")}},
	)
}

type adding struct {
	roster
	joined []harness.Place // for Judge: Undo empties newcomers
}

func (a *adding) Apply(ctx context.Context, i *Injected) error {
	for range i.Fault.Number("count") {
		err := a.grow(ctx, i)
		a.joined = slices.Clone(a.newcomers)
		if err != nil {
			return err
		}
	}
	var err error
	a.during, err = changed{came: a.joined}.await(ctx, i)
	return err
}

func (a *adding) Undo(ctx context.Context, i *Injected) (err error) {
	if err = a.withdraw(ctx, i, 0); err != nil {
		return err
	}
	a.after, err = changed{left: a.joined}.await(ctx, i)
	return err
}

func (a *adding) Judge(i *Injected, f *Findings) {
	if !a.judge(f) {
		return
	}
	f.Require(len(a.joined) == int(i.Fault.Number("count")), "%d joined, not %d", len(a.joined), i.Fault.Number("count"))
	a.came(f, "during", a.during, a.joined...)
	for _, place := range a.joined {
		_, found := a.after.At(place.Address)
		f.Require(!found, "%s is a member still", place.Name)
	}
	a.moved(f)
}

type removing struct{ roster }

// Apply leaves the processes running: a member that was removed must neither answer for the others nor disturb them
// (thesis §4.2.3).
func (r *removing) Apply(ctx context.Context, i *Injected) error {
	if err := each(i.Nodes, "remove", func(node string) error { return harness.Expel(ctx, i.Cluster, i.System, node) }); err != nil {
		return err
	}
	var err error
	r.during, err = changed{stale: r.ids(i.Nodes)}.await(ctx, i)
	return err
}

func (r *removing) Undo(ctx context.Context, i *Injected) error {
	if err := each(i.Nodes, "remove", func(node string) error { return shrink(ctx, i, node) }); err != nil {
		return err
	}
	for len(r.newcomers) < len(i.Nodes) {
		if err := r.grow(ctx, i); err != nil {
			return err
		}
	}
	var err error
	r.after, err = changed{came: r.newcomers, stale: r.ids(i.Nodes)}.await(ctx, i)
	return err
}

func (r *removing) Judge(i *Injected, f *Findings) {
	if !r.judge(f) {
		return
	}
	r.left(f, "during", r.during, i.Nodes...)
	for _, node := range i.Nodes {
		f.Require(i.Seen.During[node].State == harness.Running, "%s did not run on after it was removed", node)
	}
	f.Require(len(r.newcomers) == len(i.Nodes), "%d came for %d", len(r.newcomers), len(i.Nodes))
	r.came(f, "after", r.after, r.newcomers...)
	r.moved(f)
}

type replacing struct{ roster }

func (r *replacing) Apply(ctx context.Context, i *Injected) error {
	for _, node := range i.Nodes {
		if err := r.grow(ctx, i); err != nil {
			return err
		}
		if err := shrink(ctx, i, node); err != nil {
			return err
		}
	}
	var err error
	r.during, err = changed{came: r.newcomers, stale: r.ids(i.Nodes)}.await(ctx, i)
	return err
}

// Undo has nothing to do but where the change stopped half-way: then who was not removed stays, and the newcomer goes.
func (r *replacing) Undo(ctx context.Context, i *Injected) error {
	var gone []string
	for _, node := range i.Nodes {
		if !slices.Contains(members(i.Cluster), node) {
			gone = append(gone, node)
		}
	}
	err := r.withdraw(ctx, i, len(gone))
	if err == nil {
		r.after, err = changed{came: r.newcomers, stale: r.ids(gone)}.await(ctx, i)
	}
	return err
}

func (r *replacing) Judge(i *Injected, f *Findings) {
	if !r.judge(f) {
		return
	}
	r.absent(f, "during", r.during, i.Nodes...)
	r.left(f, "after", r.after, i.Nodes...)
	f.Require(len(r.newcomers) == len(i.Nodes), "%d came for %d", len(r.newcomers), len(i.Nodes))
	r.came(f, "during", r.during, r.newcomers...)
	r.moved(f)
}

type wiping struct {
	roster
	killed map[string]harness.Probe // of the processes that had the data
}

func (w *wiping) Apply(ctx context.Context, i *Injected) error {
	killer, ok := i.Cluster.(harness.Killer)
	if !ok {
		return fmt.Errorf("kill in world %s: %w", i.Cluster.World(), harness.ErrUnsupported)
	}
	w.killed = map[string]harness.Probe{}
	return each(i.Nodes, "wipe", func(node string) error {
		if err := killer.Kill(ctx, node, syscall.SIGKILL); err != nil {
			return err
		}
		p, err := i.Cluster.Probe(ctx, node)
		if err != nil {
			return err
		}
		w.killed[node] = p // a container that was wiped is another one, which has not run yet
		return i.Cluster.(harness.Member).Wipe(ctx, node)
	})
}

// Undo takes out who lost its data, one after the other, and lets the newcomer at its address in.
func (w *wiping) Undo(ctx context.Context, i *Injected) error {
	err := each(i.Nodes, "let back in", func(node string) error {
		now, err := agreed(ctx, i, func(harness.Configuration) bool { return true })
		if err != nil {
			return err
		}
		p, err := i.Cluster.Probe(ctx, node)
		if err != nil {
			return err
		}
		if p.State == harness.Exited {
			if has(now, w.id(node)) {
				err = harness.Expel(ctx, i.Cluster, i.System, node)
			}
			if err == nil {
				err = i.Cluster.Start(ctx, node)
			}
		}
		if err != nil {
			return err
		}
		return harness.Admit(ctx, i.Cluster, i.System, node)
	})
	if err != nil {
		return err
	}
	var back []harness.Place
	for _, node := range i.Nodes {
		back = append(back, w.places[node])
	}
	w.after, err = changed{came: back, stale: w.ids(i.Nodes)}.await(ctx, i)
	return err
}

func (w *wiping) Judge(i *Injected, f *Findings) {
	if !w.judge(f) {
		return
	}
	for _, node := range i.Nodes {
		killed := w.killed[node]
		f.Require(killed.State == harness.Exited && killed.Exit == killedExit, "%s was not seen ended by SIGKILL before its data went", node)
		f.Require(i.Seen.During[node].State == harness.Exited, "%s was not seen ended during the fault", node)
		f.Require(another(i.Seen.Before[node], i.Seen.After[node]), "%s does not run as another process after", node)
		w.came(f, "after", w.after, w.places[node])
	}
	w.left(f, "after", w.after, i.Nodes...)
	w.moved(f)
}
