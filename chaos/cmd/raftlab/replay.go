package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/harness/scratch"
)

// former is what a run directory says of how to do the same again.
type former struct {
	dir      string
	verdict  string
	seed     uint64
	failing  string // the first check that is FAIL, empty where none is
	schedule chaos.Schedule
	options  map[string]any
}

// readFormer needs run.json, check.json and the schedule that was executed.
func readFormer(dir string) (former, error) {
	f := former{dir: dir}
	var about struct {
		Verdict string
		Seed    uint64
		Options map[string]any
	}
	var checks struct{ Checks []chaos.Check }
	for name, into := range map[string]any{"run.json": &about, "check.json": &checks} {
		raw, err := harness.ReadFile(dir, name)
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if errors.Is(err, harness.ErrNotFile) {
			return f, usage("%w", err)
		}
		if err != nil {
			return f, usage("%s is no directory of a run that was judged: %s: %w", dir, name, err)
		}
	}
	f.verdict, f.seed, f.options = about.Verdict, about.Seed, about.Options
	for _, c := range checks.Checks {
		if c.Verdict == chaos.Fail {
			f.failing = c.Name
			break
		}
	}
	file, err := harness.OpenFile(dir, chaos.ExecutedFile)
	if errors.Is(err, harness.ErrNotFile) {
		return f, usage("%w", err)
	}
	if err != nil {
		return f, usage("%s: nothing was executed there: %w", dir, err)
	}
	defer file.Close()
	if f.schedule, err = chaos.ParseSchedule(file); err != nil {
		return f, usage("%s: %w", file.Name(), cited{err})
	}
	return f, nil
}

// arguments are those of `raftlab run` for a schedule with as many members and clients.
func (f former) arguments(schedule string, nodes, clients int, out string) []string {
	args := []string{"--schedule", schedule, "--nodes", fmt.Sprint(nodes), "--clients", fmt.Sprint(clients), "--out", out,
		"--at-leader", fmt.Sprint(min(f.number("at_leader"), clients)), "--keys", fmt.Sprint(f.number("keys")),
		"--rate", fmt.Sprint(f.options["rate"])}
	names := []string{"system", "workload", "backend"}
	switch {
	case f.word("mutant") != "":
		names = append(names, "mutant")
	case f.word("backend") == "process":
		names = append(names, "binary")
	default:
		names = append(names, "image")
	}
	for _, name := range names {
		if f.word(name) != "" {
			args = append(args, "--"+name, f.word(name))
		}
	}
	return args
}

func (f former) number(name string) int  { n, _ := f.options[name].(float64); return int(n) }
func (f former) word(name string) string { w, _ := f.options[name].(string); return w }

// try runs once with these arguments of `raftlab run`. What it says goes to stdout.
func try(stdout io.Writer, args []string) (end, error) {
	var o options
	c := newRun(stdout, &o)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err := c.Execute()
	var known exit
	if err != nil && !errors.As(err, &known) {
		return end{}, usage("%w", err)
	}
	if o.dir == "" && known.err != nil { // it did not begin
		return end{}, known
	}
	e := endOf(&o, known)
	if known.code == chaos.ExitInterrupted {
		return e, known
	}
	return e, nil
}

// failed says whether a run failed by this check; any where none is named.
func (e end) failed(check string) bool {
	if e.verdict != chaos.Fail || check == "" {
		return e.verdict == chaos.Fail
	}
	raw, err := harness.ReadFile(e.dir, "check.json")
	var read struct{ Checks []chaos.Check }
	if err != nil || json.Unmarshal(raw, &read) != nil {
		return false
	}
	for _, c := range read.Checks {
		if c.Name == check && c.Verdict == chaos.Fail {
			return true
		}
	}
	return false
}

// repeat tries up to count times, and ends with how often that failed. The worst verdict is the exit code's.
func repeat(stdout io.Writer, count int, untilFail bool, once func(n int) (end, error)) error {
	worst := chaos.Nothing
	failed, tried := 0, 0
	for tried < count && !(untilFail && failed > 0) {
		e, err := once(tried + 1)
		if err != nil {
			return err
		}
		tried++
		if e.verdict == chaos.Fail {
			failed++
		}
		worst = chaos.Worst(worst, e.verdict)
		fmt.Fprintf(stdout, "try %d of %d: %s  %s   %s\n", tried, count, e.verdict, oneLine(errors.New(e.reason)), e.dir)
	}
	fmt.Fprintf(stdout, "failed %d of %s\n", failed, chaos.Counted(tried, "try"))
	return exit{code: worst.ExitCode()}
}

const countMax = 10_000

func replayCommand(stdout io.Writer) *cobra.Command {
	var count int
	var untilFail bool
	var out string
	c := &cobra.Command{
		Use:   "replay RUN",
		Short: "Run what a run executed again, and say how often it fails",
		Long: `Runs the schedule that was executed in RUN (its executed.txt) again, on the same backend, with the same members and
clients, and says how often that failed in how many tries. The seed fixes faults, targets and workload, but not timing: a
failure comes in some tries and not in others.`,
		Args: oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readFormer(args[0])
			if err != nil {
				return err
			}
			if count < 1 || count > countMax {
				return usage("--count %d must be from 1 to %d", count, countMax)
			}
			schedule := filepath.Join(f.dir, chaos.ExecutedFile)
			return repeat(stdout, count, untilFail, func(int) (end, error) {
				return try(io.Discard, f.arguments(schedule, f.number("nodes"), f.number("clients"), out))
			})
		},
	}
	c.Flags().IntVar(&count, "count", 1, "tries")
	c.Flags().BoolVar(&untilFail, "until-fail", false, "stop at the first that fails")
	c.Flags().StringVar(&out, "out", "runs", "directory in which the run directories are made")
	return c
}

func shrinkCommand(stdout io.Writer) *cobra.Command {
	var tries, runs int
	var rate float64
	var out string
	c := &cobra.Command{
		Use:   "shrink RUN",
		Short: "Make a run that fails smaller, while it goes on failing",
		Long: `Drops faults, members, clients and time from what was executed in RUN while at least --rate of --tries runs fail by
the same check, and writes the smaller schedule to RUN/shrunk.txt.`,
		Args: oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readFormer(args[0])
			if err != nil {
				return err
			}
			switch {
			case f.failing == "":
				return usage("%s ended in %s: there is nothing to shrink, for no check is FAIL", f.dir, f.verdict)
			case tries < 1 || tries > countMax || runs < 0:
				return usage("--tries %d must be from 1 to %d, and --runs %d not negative", tries, countMax, runs)
			case !(rate > 0 && rate <= 1):
				return usage("--rate %v must be above 0 and at most 1", rate)
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return shrink(ctx, stdout, f, chaos.Shrinker{Tries: tries, Rate: rate, Runs: runs}, out)
		},
	}
	c.Flags().IntVar(&tries, "tries", 3, "runs of one candidate, at most")
	c.Flags().Float64Var(&rate, "rate", 0.6, "share of them that must fail")
	c.Flags().IntVar(&runs, "runs", 0, "stop after so many runs, with the smallest so far (0: when nothing more can go)")
	c.Flags().StringVar(&out, "out", "runs", "directory in which the run directories are made")
	return c
}

func shrink(ctx context.Context, stdout io.Writer, f former, s chaos.Shrinker, out string) error {
	lab, err := scratch.Make()
	if err != nil {
		return environment("%w", err)
	}
	defer lab.Close()
	n := 0
	s.Say = func(line string) { fmt.Fprintf(stdout, "%4d  %s\n", n, line) }
	s.Try = func(_ context.Context, c chaos.Candidate) (bool, error) {
		if ctx.Err() != nil {
			return false, exit{code: chaos.ExitInterrupted}
		}
		n++
		path := filepath.Join(lab.Path(), "candidate.txt")
		if err := os.WriteFile(path, []byte(c.Schedule.String()), 0o600); err != nil {
			return false, environment("%w", err)
		}
		var said bytes.Buffer
		e, err := try(&said, f.arguments(path, c.Nodes, c.Clients, out))
		return e.failed(f.failing), err
	}
	begin := chaos.Candidate{Schedule: f.schedule, Nodes: f.number("nodes"), Clients: f.number("clients")}
	fmt.Fprintf(stdout, "shrink %s: %s; %s\n", f.dir, f.failing, begin)
	small, err := s.Shrink(ctx, begin)
	if errors.Is(err, chaos.ErrNotReproduced) {
		return exit{chaos.ExitUnknown, err}
	}
	const shrunk = "shrunk.txt"
	path := filepath.Join(f.dir, shrunk)
	again := append(append(program(os.Args[0]), "run"), f.arguments(path, small.Nodes, small.Clients, out)...)
	for i, word := range again {
		again[i] = quoted(word)
	}
	text := fmt.Sprintf("# %s\n# from %s to %s, which fails by the same check: %s\n%s", strings.Join(again, " "), begin, small, f.failing, small.Schedule)
	if written := harness.ReplaceFile(f.dir, shrunk, []byte(text)); written != nil {
		return errors.Join(err, environment("%w", written))
	}
	fmt.Fprintf(stdout, "from  %s\nto    %s\n%s      %s\n", begin, small, small.Schedule, path)
	return err
}
