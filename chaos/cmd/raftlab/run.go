package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
	"raftlab/harness"
	"raftlab/harness/systems/raftkv"
)

// options are the flags of run, as given and then as drawn.
type options struct {
	scenario     string
	seedText     string
	scheduleFile string
	nodes        int
	clients      int
	keys         int
	rate         float64
	backend      string
	image        string
	binary       string
	mutant       string
	out          string
	dryRun       bool

	schedule chaos.Schedule
	planted  *mutants.Mutant
}

const (
	nodesMin, nodesMax = 3, 9
	clientsMax         = 200
	keysMax            = 1000
	defaultImage       = raftkv.DefaultImage
)

func runCommand(stdout io.Writer) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run [SCENARIO]",
		Short: "Run a scenario: warm up, break, heal, converge, read everything, judge",
		Long: `Starts a cluster, lets clients use it, breaks it as the scenario says, heals it, waits until all members
agree, reads every key on every member and judges the history. The seed fixes faults, targets and workload, not
timing. Everything that was seen is in the run directory.

Without --binary the process backend runs the raftd beside this program; inside the source of raftlab and with
none there, it builds one.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("run takes one scenario, not %d: %s", len(args), strings.Join(args, " "))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var known []string
			for _, s := range chaos.Scenarios {
				known = append(known, s.Name+"\t"+s.Shows)
			}
			return known, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.scenario = "default"
			if len(args) == 1 {
				o.scenario = args[0]
			}
			if err := o.validate(c.Flags().Changed("schedule") && len(args) == 1); err != nil {
				return err
			}
			if o.dryRun {
				_, err := fmt.Fprintf(stdout, "# raftlab run %s\n%s", o.scenario, o.schedule)
				return err
			}
			return o.run(stdout)
		},
	}
	f := c.Flags()
	f.StringVar(&o.seedText, "seed", "", "draws faults, targets and workload (default: a new one, printed)")
	f.StringVar(&o.scheduleFile, "schedule", "", "run the schedule in this file (what --dry-run prints) instead of a scenario")
	f.IntVar(&o.nodes, "nodes", 5, "members")
	f.IntVar(&o.clients, "clients", 10, "clients at once")
	f.IntVar(&o.keys, "keys", 10, "keys in use at a time")
	f.Float64Var(&o.rate, "rate", 100, "operations per second, all clients together")
	f.StringVar(&o.backend, "backend", "auto", "auto, docker or process")
	f.StringVar(&o.image, "image", defaultImage, "image of a member, for docker")
	f.StringVar(&o.binary, "binary", "", "raftd of a member, for process")
	f.StringVar(&o.mutant, "mutant", "", "plant a bug of the museum (raftlab list); the run should then FAIL")
	f.StringVar(&o.out, "out", "runs", "directory in which the run directory is made")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the schedule and stop")
	return c
}

// validate names the first bad option with its rule, and draws what was left open.
func (o *options) validate(both bool) error {
	var seed uint64 = rand.Uint64N(1_000_000)
	if o.seedText != "" {
		var err error
		if seed, err = strconv.ParseUint(o.seedText, 10, 63); err != nil {
			return usage("--seed %q is not a whole number from 0 to 2^63-1", o.seedText)
		}
	}
	for _, bound := range []struct {
		flag          string
		value, lo, hi int
	}{
		{"nodes", o.nodes, nodesMin, nodesMax}, {"clients", o.clients, 1, clientsMax}, {"keys", o.keys, 1, keysMax},
	} {
		if bound.value < bound.lo || bound.value > bound.hi {
			return usage("--%s %d must be from %d to %d", bound.flag, bound.value, bound.lo, bound.hi)
		}
	}
	if !(o.rate > 0 && o.rate <= 100_000) {
		return usage("--rate %v must be above 0 and at most 100000", o.rate)
	}
	if o.backend != "auto" && o.backend != "docker" && o.backend != "process" {
		return usage("--backend %q is none of auto, docker, process", o.backend)
	}
	if both {
		return usage("give a scenario or --schedule, not both")
	}
	if o.mutant != "" {
		m, err := mutants.Find(o.mutant)
		if err != nil {
			return usage("--mutant: %w", err)
		}
		o.planted = &m
	}
	return o.plan(seed)
}

// plan draws the schedule from the scenario, or reads it from the file.
func (o *options) plan(seed uint64) error {
	if o.scheduleFile == "" {
		scenario, err := chaos.FindScenario(o.scenario)
		if err != nil {
			return usage("%w", err)
		}
		o.schedule = scenario.Schedule(seed)
		return nil
	}
	file, err := os.Open(o.scheduleFile)
	if err != nil {
		return usage("--schedule: %w", err)
	}
	defer file.Close()
	if o.schedule, err = chaos.ParseSchedule(file); err != nil {
		return usage("--schedule %s: %w", o.scheduleFile, err)
	}
	if o.seedText != "" {
		o.schedule.Seed = seed
	}
	o.scenario = "schedule"
	return nil
}

// again is the command that runs the same once more.
func (o *options) again() string {
	words := []string{"raftlab run"}
	if o.scheduleFile != "" {
		words = append(words, "--schedule", o.scheduleFile)
	} else {
		words = append(words, o.scenario)
	}
	words = append(words, fmt.Sprintf("--seed %d --nodes %d --clients %d --keys %d --rate %g --backend %s",
		o.schedule.Seed, o.nodes, o.clients, o.keys, o.rate, o.backend))
	if o.mutant != "" {
		words = append(words, "--mutant", o.mutant)
	}
	return strings.Join(words, " ")
}

func (o *options) run(stdout io.Writer) error {
	// After the first interrupt the run heals and reports; a second one ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	member, cleanup, err := o.choose(ctx, stdout)
	if err != nil {
		return err
	}
	defer cleanup()
	dir, err := harness.CreateRun(o.out, o.scenario, int64(o.schedule.Seed), time.Now())
	if err != nil {
		return environment("%w", err)
	}
	fmt.Fprintf(stdout, "run   %s  seed=%d  %d nodes  %d clients  %d keys  %s%s  → %s\n", o.scenario, o.schedule.Seed,
		o.nodes, o.clients, o.keys, o.backend, planted(o.mutant), dir.Dir())
	x := chaos.Experiment{
		Scenario: o.scenario, Schedule: o.schedule, System: member.system, Dir: dir,
		Clients: o.clients, Keys: o.keys, Rate: o.rate,
		Say: func(line string) { fmt.Fprintln(stdout, line) },
	}
	began := time.Now()
	var unread error // logs of a cluster that did not start
	world, err := member.start(ctx, dir, func(c harness.Cluster) { unread = collectLogs(ctx, dir, c) })
	if err != nil {
		return o.notStarted(ctx, stdout, x, began, err, unread)
	}
	x.Cluster, x.Leftovers = world.cluster, world.leftovers
	result, err := x.Run(ctx)
	if err != nil && !result.Interrupted {
		return o.notJudged(stdout, x, result, err, nil)
	}
	reported := x.WriteReport(result, o.about())
	if result.Verdict == chaos.Pass {
		reported = errors.Join(reported, world.discard())
	}
	conclude(stdout, result, dir, o.again())
	incomplete(stdout, reported)
	return exit{code: result.ExitCode()}
}

// collectLogs reads what the members of a cluster have written that is about to be removed, even where ctx has ended.
func collectLogs(ctx context.Context, dir *harness.Run, c harness.Cluster) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), collectTimeout)
	defer cancel()
	return dir.CollectLogs(ctx, c)
}

func (o *options) notStarted(ctx context.Context, stdout io.Writer, x chaos.Experiment, began time.Time, err, unread error) error {
	result := chaos.Result{Interrupted: ctx.Err() != nil, Took: time.Since(began)}
	if result.Interrupted {
		err = fmt.Errorf("interrupted while the cluster was starting: %w", err)
	} else {
		err = fmt.Errorf("the cluster did not start: %w", err)
	}
	return o.notJudged(stdout, x, result, err, unread)
}

// notJudged ends a run that could not be judged. It has a report all the same: who finds the directory later must
// see why there is no more in it.
func (o *options) notJudged(stdout io.Writer, x chaos.Experiment, r chaos.Result, err, unread error) error {
	r.Verdict = chaos.Environment
	r.Checks = append(r.Checks, chaos.Check{Name: "run", Verdict: chaos.Environment, Reason: oneLine(err)})
	reported := errors.Join(x.WriteReport(r, o.about()), unread)
	fmt.Fprintf(stdout, "      %s   logs: %s   re-run: %s\n", x.Dir.Path("summary.md"), x.Dir.Path("nodes"), o.again())
	incomplete(stdout, reported)
	return exit{r.ExitCode(), err}
}

func incomplete(stdout io.Writer, reported error) {
	if reported != nil {
		fmt.Fprintf(stdout, "      the report is not complete: %s\n", oneLine(reported))
	}
}

func planted(mutant string) string {
	if mutant == "" {
		return ""
	}
	return "  mutant " + mutant
}

func (o *options) about() chaos.About {
	return chaos.About{
		Argv: os.Args, Again: o.again(),
		Versions: map[string]string{"raftlab": revision(), "go": runtime.Version(), "os": runtime.GOOS + "/" + runtime.GOARCH},
		Options: map[string]any{"nodes": o.nodes, "clients": o.clients, "keys": o.keys, "rate": o.rate, "backend": o.backend,
			"image": o.image, "binary": o.binary, "mutant": o.mutant},
	}
}

// conclude ends the terminal output: counts, checkers, the verdict with its reason, where everything is.
func conclude(stdout io.Writer, r chaos.Result, dir *harness.Run, again string) {
	for _, line := range r.Lines() {
		fmt.Fprintln(stdout, line)
	}
	fmt.Fprintf(stdout, "%-7s  %s\n", r.Verdict, r.Reason())
	fmt.Fprintf(stdout, "      %s   re-run: %s\n", dir.Path("summary.md"), again)
}
