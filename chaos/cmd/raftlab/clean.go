package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/harness/process"
)

const sweepTimeout = 60 * time.Second

func cleanCommand(stdout io.Writer) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "clean",
		Short: "Remove containers, networks, volumes and images of runs that were cut short, and list their open faults",
		Long: `Removes every container, network, volume and image that carries the label of a run, its fault rules with them:
they live in the network namespace of the container. Members that ran as processes ended with the raftlab that
started them; the control sockets of their disks, which did not, are removed. Do not clean while a run is going on.

Where Docker does not answer, faults of runs in containers stay open, and the exit code is 3.`,
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
	if err := healByHand(ctx, stdout, out); err != nil {
		return err
	}
	sockets, err := process.Sweep()
	for _, dir := range sockets {
		fmt.Fprintf(stdout, "removed the sockets of disks %s\n", dir)
	}
	if err != nil {
		return environment("%w", err)
	}
	looked, err := sweepDocker(ctx, stdout)
	if err != nil {
		return err
	}
	still := 0 // open: faults in containers that nobody has looked at
	for _, path := range journals {
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
			fmt.Fprintf(stdout, "%s: fault #%d %s on %s (%s) was never healed; %s\n",
				filepath.Dir(path), e.Fault, e.What, strings.Join(e.Nodes, " "), e.World, what)
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
