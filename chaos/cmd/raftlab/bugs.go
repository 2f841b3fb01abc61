package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

type bugsOptions struct {
	layers   []string
	seeds    int
	tries    int
	explore  string
	canaries bool
	write    bool
}

func bugsCommand(stdout io.Writer) *cobra.Command {
	var o bugsOptions
	c := &cobra.Command{
		Use:   "bugs [ID]...",
		Short: "Show every bug of the museum to the lab, and say which layer finds it, how fast",
		Long: "Plants each bug (raftlab list names them; all, if none is named) and looks for it with the scripts and tests of the\n" +
			"package that it is in, the explorer, random walks and the simulator. --layers processes,containers runs the scenario that\n" +
			"is for it in real clusters, up to three times, half a minute each. Exit code 0 if every bug was found and no trap was taken for one, 1 if not.",
		ValidArgsFunction: mutantWords,
		RunE:              func(_ *cobra.Command, ids []string) error { return o.run(stdout, ids) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.layers, "layers", mutants.Cheap(), "which layers look; processes and containers too")
	f.IntVar(&o.seeds, "seeds", 1000, "of the default swarm, in one try of the simulator")
	f.IntVar(&o.tries, "tries", 5, "of the simulator and of the random walks, each with other seeds")
	f.StringVar(&o.explore, "explore", "", "one bound of the explorer instead of all layers: flags of go test ./raft/modelcheck")
	f.BoolVar(&o.canaries, "canaries", false, "only those that CI looks for, ten bugs and two traps, each with one layer")
	f.BoolVar(&o.write, "write", false, "keep what was measured in chaos/mutants/README.md")
	completeFlags(c, map[string]cobra.CompletionFunc{"layers": words(mutants.Layers()...)})
	return c
}

func (o *bugsOptions) run(stdout io.Writer, ids []string) error {
	if err := o.validate(); err != nil {
		return err
	}
	all, err := o.chosen(ids)
	if err != nil {
		return err
	}
	m := &mutants.Museum{Tries: o.tries, Seeds: o.seeds, Bound: o.explore}
	if m.Root, err = mutants.ModuleRoot("."); err != nil {
		return environment("%w", err)
	}
	if m.Lab, err = os.Executable(); err != nil {
		return environment("%w", err)
	}
	if o.canaries {
		m.Tries = 1
	}
	ctx, stop := interruptible() // what was made is removed
	defer stop()
	if err := sweepGone(ctx, stdout); err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if err := m.Fit(all); err != nil { // now, and not after hours
		return environment("%w", err)
	}
	return o.show(ctx, stdout, m, all)
}

func (o *bugsOptions) validate() error {
	for _, l := range o.layers {
		if !slices.Contains(mutants.Layers(), l) {
			return usage("--layers %s is none of %s", l, strings.Join(mutants.Layers(), ", "))
		}
	}
	if len(o.layers) == 0 {
		return usage("--layers names none of %s", strings.Join(mutants.Layers(), ", "))
	}
	if o.seeds < 1 || o.tries < 1 {
		return usage("--seeds and --tries must be more than zero")
	}
	return nil
}

// layersFor are the layers that are to look for a mutant.
func (o *bugsOptions) layersFor(m mutants.Mutant) []string {
	switch {
	case o.explore != "":
		return []string{"explorer"}
	case o.canaries:
		return []string{mutants.Canaries[m.ID]}
	}
	return o.layers
}

// show plants one bug after the other, tells what was found, and keeps it if asked to.
func (o *bugsOptions) show(ctx context.Context, stdout io.Writer, m *mutants.Museum, all []mutants.Mutant) error {
	count := map[told]int{}
	for _, mutant := range all {
		findings, err := m.Show(ctx, mutant, o.layersFor(mutant))
		if ctx.Err() != nil {
			return exit{code: chaos.ExitInterrupted}
		}
		if err != nil {
			return environment("%w", err)
		}
		shown := mutants.Shown{ID: mutant.ID, Findings: findings}
		count[tellBug(stdout, mutant, shown)]++
		if o.write {
			if err := mutants.Keep(m.Root, []mutants.Shown{shown}); err != nil {
				return environment("%w", err)
			}
		}
	}
	fmt.Fprintf(stdout, "\n%d of %d as they must be\n", count[asItMust], len(all))
	switch {
	case count[missing] > 0:
		return exit{code: chaos.ExitFail}
	case count[unclear] > 0:
		return environment("of %d nobody can say whether they would be found: what was to look for them could not", count[unclear])
	}
	return nil
}

func (o *bugsOptions) chosen(ids []string) ([]mutants.Mutant, error) {
	all, err := mutants.All()
	if err != nil {
		return nil, environment("%w", err)
	}
	var chosen []mutants.Mutant
	for _, m := range all {
		_, canary := mutants.Canaries[m.ID]
		if slices.Contains(ids, m.ID) || len(ids) == 0 && (!o.canaries || canary) {
			chosen = append(chosen, m)
		}
	}
	for _, id := range ids {
		if _, err := mutants.Find(id); err != nil {
			return nil, usage("%w", err)
		}
	}
	return chosen, nil
}

// told is what may be said of one bug.
type told int

const (
	asItMust told = iota // found; a trap: not found
	missing              // or a trap that was taken for a bug
	unclear              // a layer could not look, and no other has found it
)

// tellBug prints one bug, and what may be said of it.
func tellBug(stdout io.Writer, m mutants.Mutant, shown mutants.Shown) told {
	trap, found := m.Kind == mutants.Trap, shown.Found()
	looked := len(shown.Findings) > 0 && !slices.ContainsFunc(shown.Findings, func(f mutants.Finding) bool { return f.Trouble != "" })
	is, word := asItMust, "found"
	switch {
	case trap && found:
		is, word = missing, "TAKEN FOR A BUG"
	case !found && !looked:
		is, word = unclear, "NOT LOOKED FOR"
	case trap:
		word = "not found, as it must be"
	case !found:
		is, word = missing, "NOT FOUND"
	}
	fmt.Fprintf(stdout, "%-9s  %s (%s): %s\n", word, m.ID, m.Kind, m.Breaks)
	if len(shown.Findings) == 0 {
		fmt.Fprintln(stdout, "           none of these layers runs the code that it is in")
	}
	for _, f := range shown.Findings {
		fmt.Fprintf(stdout, "           %-9s %v\n", f.Layer, f)
		if f.Trouble != "" {
			fmt.Fprintf(stdout, "                     %s\n", f.Trouble)
		}
		if f.Found {
			fmt.Fprintf(stdout, "                     again: %s\n", f.Command)
		}
	}
	return is
}
