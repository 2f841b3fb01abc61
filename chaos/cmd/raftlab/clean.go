package main

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/harness/scratch"
)

const sweepTimeout = 60 * time.Second

func cleanCommand(stdout io.Writer) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "clean",
		Short: "Remove containers, networks, volumes and images of runs that were cut short, and list their open faults",
		Long: `Removes every container, network, volume and image that carries the label of a run, its fault rules with them:
they live in the network namespace of the container; and the temporary directories of every raftlab that was killed.
Members that ran as processes ended with the raftlab that started them. What a raftlab of this user has that goes on is
left alone; what one of another user or another machine has on the same engine is not. The next run sweeps too, and only what
is of a raftlab that is gone.

Where Docker does not answer, faults of runs in containers stay open, and the exit code is 3.`,
		Args: noWords,
		RunE: func(*cobra.Command, []string) error { return clean(stdout, out) },
	}
	c.Flags().StringVar(&out, "out", "runs", "directory of the run directories")
	return c
}

func clean(stdout io.Writer, out string) error {
	journals, err := filepath.Glob(filepath.Join(out, "2*", journalName))
	if err != nil {
		return usage("--out %q: %w", out, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	if err := healByHand(ctx, stdout, out); err != nil {
		return err
	}
	inUse, err := scratch.InUse() // of the runs whose journals were found above
	if err != nil {
		return environment("%w", err)
	}
	looked, err := sweepDocker(ctx, stdout)
	if err != nil {
		return err
	}
	if err := sweepGone(ctx, stdout); err != nil {
		return err
	}
	still := 0 // open: faults in containers that nobody has looked at
	for _, path := range journals {
		if goesOn(path, inUse) {
			continue
		}
		open, err := chaos.Unfinished(path)
		if err != nil {
			return environment("%w", err)
		}
		var gone []chaos.Entry
		for _, e := range open {
			what := "its members are gone now"
			if e.World == "docker" && !looked {
				still++
				what = "it stays open, because Docker was not looked at"
			} else {
				gone = append(gone, e)
			}
			sayUnhealed(stdout, path, e, what)
		}
		if len(gone) == 0 {
			continue
		}
		if err := chaos.CloseIntents(path, gone); err != nil {
			return environment("%w", err)
		}
	}
	if still > 0 {
		return environment("%s in containers still open: run raftlab clean again when Docker answers", chaos.Counted(still, "fault"))
	}
	return nil
}

// goesOn says whether the journal is of a run that somebody still breaks and heals.
func goesOn(journal string, inUse []scratch.Elsewhere) bool {
	path, err := filepath.Abs(journal)
	return err == nil && slices.ContainsFunc(inUse, func(e scratch.Elsewhere) bool { return e.Journal == path })
}
