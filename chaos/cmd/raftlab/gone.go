package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"raftlab/chaos"
	"raftlab/harness/docker"
	"raftlab/harness/scratch"
)

// sweepGone removes what labs that were killed have left: what they noted in their scratch directories, and those
// directories. Labs that go on are left alone. What Docker holds stays, and stays noted, while it does not answer.
func sweepGone(ctx context.Context, stdout io.Writer) error {
	gone, err := scratch.Abandoned()
	if err != nil {
		return environment("%w", err)
	}
	var errs []error
	for _, lab := range gone {
		errs = append(errs, sweepLab(ctx, stdout, lab))
	}
	if err := errors.Join(errs...); err != nil {
		return environment("what a lab that was killed has left: %w", err)
	}
	return nil
}

func sweepLab(ctx context.Context, stdout io.Writer, lab *scratch.Dir) error {
	all, err := lab.Elsewhere()
	if err != nil {
		return errors.Join(err, lab.Release())
	}
	for _, e := range all {
		if e.Docker == "" {
			continue
		}
		removed, err := docker.Sweep(ctx, e.Docker)
		for _, what := range removed {
			fmt.Fprintf(stdout, "removed %s\n", what)
		}
		if errors.Is(err, docker.ErrUnavailable) {
			fmt.Fprintf(stdout, "%s: what a lab that was killed had in containers, if anything, stays for now\n", oneLine(err))
			return lab.Release()
		}
		if err != nil {
			return errors.Join(err, lab.Release())
		}
	}
	for _, e := range all {
		if e.Journal == "" {
			continue
		}
		if err := closeJournal(stdout, e.Journal); err != nil {
			return errors.Join(err, lab.Release())
		}
	}
	fmt.Fprintf(stdout, "removed %s, of a lab that was killed\n", lab.Path())
	return lab.Close()
}

// closeJournal marks the faults of a run whose members are gone, and names them.
func closeJournal(stdout io.Writer, path string) error {
	open, err := chaos.Unfinished(path)
	if err != nil || len(open) == 0 {
		return err
	}
	for _, e := range open {
		sayUnhealed(stdout, path, e, "its members are gone now")
	}
	return chaos.CloseIntents(path, open)
}

func sayUnhealed(stdout io.Writer, journal string, e chaos.Entry, what string) {
	fmt.Fprintf(stdout, "%s: fault #%d %s on %s (%s) was never healed; %s\n",
		filepath.Dir(journal), e.Fault, e.What, strings.Join(e.Nodes, " "), e.World, what)
}
