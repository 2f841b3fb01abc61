package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
	"raftlab/chaos/report"
	"raftlab/harness"
	"raftlab/harness/systems/raftkv"
)

// options are the flags of run, as given and then as drawn.
type options struct {
	scenario     string
	seedText     string
	scheduleFile string
	faults       string
	lasting      time.Duration
	nodes        int
	clients      int
	keys         int
	rate         float64
	atLeader     int
	system       string
	workload     string
	backend      string
	image        string
	binary       string
	mutant       string
	bounds       chaos.Bounds
	out          string
	dryRun       bool
	count        int
	untilFail    bool

	given    []string          // --image, --binary and --out with their values, where they were on the command line
	tested   map[string]string // what the members run: see chaos.About
	cannot   []string          // families that a scenario leaves out here, and why
	schedule chaos.Schedule
	planted  *mutants.Mutant
	dir      string // of the run, once there is one
	store    store
	disks    func() error // can they be broken here? Found out when it is asked first
	fuse     string       // the device, for tests; empty: the usual one
}

const (
	nodesMin, nodesMax = 3, 9
	clientsMax         = 200
	keysMax            = 1000
	lastingMin         = 5 * time.Second
	lastingMax         = 24 * time.Hour
	defaultImage       = raftkv.DefaultImage
)

const secondInterruptAfter = time.Second

func runCommand(stdout io.Writer) *cobra.Command {
	var o options
	return newRun(stdout, &o)
}

// newRun is the command with options that the caller can look at afterwards.
func newRun(stdout io.Writer, o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "run [SCENARIO...]",
		Short: "Run a scenario, or several: warm up, break, heal, converge, read everything, judge",
		Long: `Starts a cluster, lets clients use it, breaks it as the scenario says, heals it, waits until all members
agree, reads every key on every member and judges the history. The seed fixes faults, targets and workload, not
timing. Everything that was seen is in the run directory.

Without a scenario it runs default. Several scenarios, or several systems (--system raftkv,etcd), run one after the other with the same seed and end with a
table; the worst verdict is the exit code's.

Without --binary the process backend runs the raftd beside this program; inside the source of raftlab and with
none there, it builds one.`,
		ValidArgsFunction: scenarioWords,
		RunE:              func(c *cobra.Command, args []string) error { return o.do(stdout, c.Flags(), args) },
	}
	o.register(c.Flags())
	completeFlags(c, map[string]cobra.CompletionFunc{
		"backend": words("auto", "docker", "process"), "system": words(storeNames()...), "workload": words(chaos.Workloads...), "mutant": mutantWords,
	})
	return c
}

// do is `raftlab run` with these scenarios.
func (o *options) do(stdout io.Writer, flags *pflag.FlagSet, scenarios []string) error {
	runs, err := o.each(scenarios)
	if err != nil {
		return err
	}
	if len(runs) > 1 {
		return severally(stdout, flags, runs)
	}
	o.scenario = "default"
	if len(scenarios) == 1 {
		o.scenario = scenarios[0]
	}
	if err := o.take(flags); err != nil {
		return err
	}
	if err := o.validate(o.sources(scenarios) > 1); err != nil {
		return err
	}
	if o.dryRun {
		o.sayCannot(stdout, "# ")
		_, err := fmt.Fprintf(stdout, "# %s\n%s", o.again(), o.schedule)
		return err
	}
	if o.count > 1 || o.untilFail {
		return o.repeat(stdout)
	}
	return o.run(stdout)
}

// register says what flags there are.
func (o *options) register(f *pflag.FlagSet) {
	f.StringVar(&o.seedText, "seed", "", "draws faults, targets and workload (default: a new one, printed)")
	f.StringVar(&o.scheduleFile, "schedule", "", "run the schedule in this file (what --dry-run prints) instead of a scenario")
	f.StringVar(&o.faults, "faults", "", "compose a schedule of these instead: words or whole faults, as in 'partition,crash leader,delay all delay=80ms'")
	f.DurationVar(&o.lasting, "for", time.Minute, "how long, with --faults")
	f.IntVar(&o.nodes, "nodes", 5, "members")
	f.IntVar(&o.clients, "clients", chaos.DefaultLoad.Clients, "clients at once (a scenario may have its own default, as for the next three)")
	f.IntVar(&o.keys, "keys", chaos.DefaultLoad.Keys, "keys in use at a time")
	f.Float64Var(&o.rate, "rate", chaos.DefaultLoad.Rate, "operations per second, all clients together")
	f.IntVar(&o.atLeader, "at-leader", 0, "clients of these that ask the leader, and go on asking it while it is hit")
	f.StringVar(&o.workload, "workload", chaos.Workloads[0], "what clients do: "+strings.Join(chaos.Workloads, ", "))
	f.StringVar(&o.backend, "backend", "auto", "auto, docker or process")
	f.StringVar(&o.system, "system", stores[0].name, "what is tested, several with commas: "+strings.Join(storeNames(), ", "))
	f.StringVar(&o.image, "image", "", "image of a member, for docker (default "+defaultImage+", or that of the system)")
	f.StringVar(&o.binary, "binary", "", "program of a member, for process")
	f.DurationVar(&o.bounds.Leader, "leader-within", 0, "FAIL where a majority was left and nobody led it for longer (default 10s)")
	f.DurationVar(&o.bounds.Client, "served-within", 0, "FAIL where a majority was left and a client that asks every member was not served for longer (default: that, and 2s for each member)")
	f.DurationVar(&o.bounds.Converge, "converge-within", 0, "FAIL where members do not agree within that time after everything was healed (default 30s)")
	f.IntVar(&o.bounds.Terms, "terms-max", 0, "FAIL where a majority went through more new terms in one fault that left the leader its majority, and no other in force (default 5)")
	f.StringVar(&o.mutant, "mutant", "", "plant a bug of the museum (raftlab list); the run should then FAIL")
	f.StringVar(&o.out, "out", "runs", "directory in which the run directory is made")
	f.IntVar(&o.count, "count", 1, "run so often, each with a seed of its own unless --seed is given, and say how often it failed")
	f.BoolVar(&o.untilFail, "until-fail", false, "with --count: stop at the first run that fails")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the schedule and stop")
}

// repeat runs the same again and again.
func (o *options) repeat(stdout io.Writer) error {
	drawn := o.seedText == ""
	return repeat(stdout, o.count, o.untilFail, func(n int) (end, error) {
		one := *o
		if drawn && n > 1 {
			if err := one.validate(false); err != nil { // draws another seed
				return end{}, err
			}
		}
		err := one.run(stdout)
		var known exit
		errors.As(err, &known)
		if one.dir == "" || known.code == chaos.ExitInterrupted {
			return end{}, err
		}
		return endOf(&one, known), nil
	})
}

// sources counts what says what to do.
func (o *options) sources(args []string) int {
	n := len(args)
	for _, given := range []string{o.scheduleFile, o.faults} {
		if given != "" {
			n++
		}
	}
	return n
}

// sayCannot names what is not drawn here.
func (o *options) sayCannot(stdout io.Writer, prefix string) {
	for _, what := range o.cannot {
		fmt.Fprintf(stdout, "%snot drawn: %s\n", prefix, what)
	}
}

// interruptible is a context that ends by the first interrupt, so that what was begun can be undone; a second one ends the program at once.
// Two in one second are one: timeout(1) signals its child, and then its group.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(secondInterruptAfter, stop) })
	return ctx, stop
}

func (o *options) run(stdout io.Writer) error {
	ctx, stop := interruptible() // the run heals and reports
	defer stop()

	member, cleanup, err := o.choose(ctx, stdout)
	if err != nil {
		return err
	}
	defer cleanup()
	dir, err := harness.CreateRun(o.out, o.scenario, int64(o.schedule.Seed), time.Now())
	if err != nil {
		return environment("%w", err)
	}
	o.dir = dir.Dir()
	if err := member.note(dir, o.backend); err != nil {
		return environment("%w", err)
	}
	fmt.Fprintf(stdout, "run   %s  seed=%d  %s  %s  %s  %s%s  → %s\n", o.scenario, o.schedule.Seed,
		chaos.Counted(o.nodes, "node"), chaos.Counted(o.clients, "client"), chaos.Counted(o.keys, "key"), o.backend, o.tells(), dir.Dir())
	o.sayCannot(stdout, "      ")
	c := newConsole(stdout)
	x := chaos.Experiment{
		Scenario: o.scenario, Schedule: o.schedule, System: member.system, Dir: dir,
		Clients: o.clients, Keys: o.keys, Rate: o.rate, AtLeader: o.atLeader, Workload: o.workload, Bounds: o.bounds,
		Say: c.line, Progress: c.status,
	}
	defer c.end()
	began := time.Now()
	var unread error // logs of a cluster that did not start
	world, err := member.start(ctx, dir, func(c harness.Cluster) { unread = collectLogs(ctx, dir, c) })
	if err != nil {
		return o.notStarted(ctx, stdout, x, began, err, unread)
	}
	x.Cluster, x.Leftovers = world.cluster, world.leftovers
	result, err := x.Run(ctx)
	c.end()
	if err != nil && !result.Interrupted {
		return o.notJudged(stdout, x, result, err, nil)
	}
	reported := x.WriteReport(result, o.about())
	if result.Verdict == chaos.Pass {
		reported = errors.Join(reported, world.discard())
	}
	conclude(stdout, c, result, dir, o.again())
	incomplete(stdout, reported)
	annotate(stdout, dir)
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
	fmt.Fprintf(stdout, "      %s   logs: %s   re-run: %s\n", x.Dir.Path(report.FileName), x.Dir.Path("nodes"), o.again())
	incomplete(stdout, reported)
	annotate(stdout, x.Dir)
	return exit{r.ExitCode(), err}
}

func incomplete(stdout io.Writer, reported error) {
	if reported != nil {
		fmt.Fprintf(stdout, "      the report is not complete: %s\n", oneLine(reported))
	}
}

// tells is what a line about the run adds where it is not raftd as it is.
func (o *options) tells() string {
	text := ""
	if o.system != stores[0].name {
		text += "  system " + o.system
	}
	if o.mutant != "" {
		text += "  mutant " + o.mutant
	}
	return text
}

func (o *options) about() chaos.About {
	return chaos.About{
		Argv: os.Args, Again: o.again(), Tested: o.tested,
		Versions: map[string]string{"raftlab": revision(), "go": runtime.Version(), "os": runtime.GOOS + "/" + runtime.GOARCH},
		Options: map[string]any{"nodes": o.nodes, "clients": o.clients, "keys": o.keys, "rate": o.rate, "at_leader": o.atLeader, "system": o.system, "workload": o.workload, "backend": o.backend,
			"image": o.image, "binary": o.binary, "mutant": o.mutant},
	}
}

// conclude ends the terminal output: counts, checkers, the verdict with its reason, where everything is.
func conclude(stdout io.Writer, c *console, r chaos.Result, dir *harness.Run, again string) {
	for _, line := range r.Lines() {
		fmt.Fprintln(stdout, line)
	}
	fmt.Fprintf(stdout, "%s  %s\n", c.verdict(r.Verdict), r.Reason())
	fmt.Fprintf(stdout, "      %s   re-run: %s\n", dir.Path(report.FileName), again)
}

// annotate shows a run that did not pass where GitHub looks for it.
func annotate(stdout io.Writer, dir *harness.Run) {
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		return
	}
	r, err := report.Read(dir.Dir())
	if err != nil {
		fmt.Fprintf(stdout, "      no annotations: %s\n", oneLine(err))
		return
	}
	for _, line := range r.Annotations() {
		fmt.Fprintln(stdout, line)
	}
}
