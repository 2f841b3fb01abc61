package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/systems/raftkv"
)

const byHandTimeout = 60 * time.Second

// byHand is a cluster of docker compose that somebody breaks by hand. What was done is in a journal, so that heal and
// `raftlab clean` undo it, from another process too.
type byHand struct {
	cluster *docker.Cluster
	system  *raftkv.System
	path    string // of the journal
	stdout  io.Writer
}

// byHandDir is the directory of their journals.
func byHandDir(out string) string { return filepath.Join(out, "by-hand") }

func openByHand(ctx context.Context, stdout io.Writer, project, out string) (*byHand, error) {
	system := raftkv.New(raftkv.Options{})
	cluster, err := docker.Attach(ctx, system, project)
	if err != nil {
		return nil, environment("%w", err)
	}
	if err := os.MkdirAll(byHandDir(out), 0o755); err != nil {
		return nil, environment("%w", err)
	}
	return &byHand{cluster, system, filepath.Join(byHandDir(out), cluster.Project()+".jsonl"), stdout}, nil
}

func (b *byHand) close() { b.system.Close(); b.cluster.Detach() }

// groupWords say how many groups of members a word takes.
var groupWords = map[[2]int]string{
	{0, 0}: "no members", {1, 1}: "one group of members such as n1,n2", {1, 2}: "one or two groups of members such as n1,n2",
}

func faultCommand(stdout io.Writer) *cobra.Command {
	var project, out string
	c := &cobra.Command{
		Use:   "fault partition n1 [n2,n3] | kill leader|n2 | pause leader|n2 | heal | status",
		Short: "Break the cluster of docker compose by hand",
		Long: `Finds the cluster that docker compose runs (make up) by its labels, and breaks it until heal:

  partition n1 n2,n3   no packet between n1 and n2 or n3, both ways; with one group: between it and all others
  kill leader          SIGKILL; heal starts it again
  pause n2,n3          frozen; heal lets them go on
  heal                 undoes all that was done by hand
  status               what each member is, and what is cut

What was done is noted in runs/by-hand, so that heal and raftlab clean find it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("fault: say which: partition, kill, pause, heal or status")
			}
			return nil
		},
		ValidArgsFunction: words("partition", "kill", "pause", "heal", "status"),
		RunE: func(_ *cobra.Command, args []string) error {
			verb, groups := args[0], args[1:]
			want := map[string][2]int{"partition": {1, 2}, "kill": {1, 1}, "pause": {1, 1}, "heal": {0, 0}, "status": {0, 0}}
			bounds, known := want[verb]
			if !known {
				return usage("fault %q is not known; use partition, kill, pause, heal or status", verb)
			}
			if len(groups) < bounds[0] || len(groups) > bounds[1] {
				return usage("fault %s takes %s, not %d", verb, groupWords[bounds], len(groups))
			}
			for _, group := range groups {
				if _, err := chaos.ParseTarget(group); err != nil {
					return usage("%w", err)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), byHandTimeout)
			defer cancel()
			b, err := openByHand(ctx, stdout, project, out)
			if err != nil {
				return err
			}
			defer b.close()
			switch verb {
			case "heal":
				err = b.heal(ctx)
			case "status":
				err = b.status(ctx)
			default:
				err = b.do(ctx, verb, groups)
			}
			var known2 exit
			if err != nil && !errors.As(err, &known2) {
				err = environment("%w", err)
			}
			return err
		},
	}
	c.Flags().StringVar(&project, "project", "", "project of docker compose (default: the only one whose image is raftlab/node)")
	c.Flags().StringVar(&out, "out", "runs", "directory of the run directories")
	return c
}

// heal undoes what the journal has open, and every rule, whether the journal knows of it or not.
func (b *byHand) heal(ctx context.Context) error {
	open, err := chaos.Unfinished(b.path)
	if err != nil {
		return err
	}
	errs := []error{b.cluster.HealAttached(ctx)}
	for _, e := range open {
		errs = append(errs, b.each(e.Nodes, func(node string) error {
			p, err := b.cluster.Probe(ctx, node)
			switch {
			case err != nil:
				return err
			case p.State == harness.Paused && e.What.Kind == chaos.Pause:
				return b.cluster.Resume(ctx, node)
			case p.State == harness.Exited && e.What.Kind == chaos.Crash:
				return b.cluster.Start(ctx, node)
			}
			return nil
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(open) > 0 {
		err = chaos.CloseIntents(b.path, open)
	}
	fmt.Fprintf(b.stdout, "healed: %s undone, no rule is left\n", chaos.Counted(len(open), "fault"))
	return err
}

func (b *byHand) status(ctx context.Context) error {
	statuses, _, err := harness.InspectAll(ctx, b.cluster, b.system)
	if err != nil {
		return err
	}
	rows := [][]string{{"MEMBER", "PROCESS", "ROLE", "TERM", "COMMIT"}}
	for _, node := range harness.Names(b.cluster) {
		p, err := b.cluster.Probe(ctx, node)
		if err != nil {
			return err
		}
		row := []string{node, string(p.State), "no answer", "-", "-"}
		if s, ok := statuses[node]; ok {
			row = []string{node, string(p.State), s.Role, fmt.Sprint(s.Term), fmt.Sprint(s.Commit)}
		}
		rows = append(rows, row)
	}
	if err := printTable(b.stdout, rows); err != nil {
		return err
	}
	rules, err := b.cluster.Rules(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for link, packets := range rules {
		lines = append(lines, fmt.Sprintf("cut %s → %s: %s dropped", link.From, link.To, chaos.Counted(int(packets), "packet")))
	}
	slices.Sort(lines)
	open, err := chaos.Unfinished(b.path)
	for _, e := range open {
		lines = append(lines, fmt.Sprintf("by hand since %s: %s", e.Wall.Format(time.TimeOnly), e.What))
	}
	for _, line := range lines {
		fmt.Fprintln(b.stdout, line)
	}
	return err
}

// healByHand heals every compose cluster whose journal has something open. It comes before the sweep, which would take the
// side-cars away and leave their rules.
func healByHand(ctx context.Context, stdout io.Writer, out string) error {
	journals, err := filepath.Glob(filepath.Join(byHandDir(out), "*.jsonl"))
	if err != nil {
		return err
	}
	for _, path := range journals {
		open, err := chaos.Unfinished(path)
		if err != nil || len(open) == 0 {
			continue
		}
		project := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		b, err := openByHand(ctx, stdout, project, out)
		if err != nil {
			fmt.Fprintf(stdout, "%s: %s by hand stay open: %s\n", project, chaos.Counted(len(open), "fault"), oneLine(err))
			continue
		}
		fmt.Fprintf(stdout, "%s: ", project)
		err = b.heal(ctx)
		b.close()
		if err != nil {
			return environment("%w", err)
		}
	}
	return nil
}
