package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
)

const sweepTimeout = 60 * time.Second

func cleanCommand(stdout io.Writer) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "clean",
		Short: "Remove containers, networks, volumes and images of runs that were cut short, and list their open faults",
		Long: `Removes every container, network, volume and image that carries the label of a run, its fault rules with them:
they live in the network namespace of the container. Members that ran as processes ended with the raftlab that
started them. Do not clean while a run is going on.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return clean(stdout, out) },
	}
	c.Flags().StringVar(&out, "out", "runs", "directory of the run directories")
	return c
}

func clean(stdout io.Writer, out string) error {
	journals, err := filepath.Glob(filepath.Join(out, "2*", "faults.jsonl"))
	if err != nil {
		return usage("--out %q: %w", out, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	if err := sweepDocker(ctx, stdout); err != nil {
		return err
	}
	for _, path := range journals {
		open, err := chaos.Unfinished(path)
		if err != nil {
			return environment("%w", err)
		}
		if len(open) == 0 {
			continue
		}
		for _, e := range open {
			fmt.Fprintf(stdout, "%s: fault #%d %s on %v (%s) was never healed; its members are gone now\n",
				filepath.Dir(path), e.Fault, e.What, e.Nodes, e.World)
		}
		if err := chaos.CloseIntents(path, open); err != nil {
			return environment("%w", err)
		}
	}
	return nil
}
