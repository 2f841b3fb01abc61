package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/node/sim"
)

// simOptions are the flags of raftlab sim.
type simOptions struct {
	seeds  int
	within time.Duration
	seed   string
	plan   string
	trace  bool
	shrink bool
	marks  bool
	last   int
	html   string
}

func simCommand(stdout io.Writer) *cobra.Command {
	var o simOptions
	c := &cobra.Command{
		Use:   "sim",
		Short: "Run the whole node in virtual time, over networks, disks and clocks that fail",
		Long: `Runs clusters of the real node in one goroutine, over a simulated clock, network and disk. Each seed is one run, which
draws its own sizes and faults, and is the same run each time and on each machine.

Without --seed, --seeds or --for it runs 1000 seeds. The first failure ends it with exit code 1 and says how to repeat it.`,
		Args: noWords,
		RunE: func(c *cobra.Command, _ []string) error {
			given := 0
			for _, name := range []string{"seeds", "for", "seed", "plan"} {
				if c.Flags().Changed(name) {
					given++
				}
			}
			switch {
			case given > 1 && !(given == 2 && c.Flags().Changed("seed") && !c.Flags().Changed("plan")):
				return usage("give one of --seeds, --for, --seed and --plan; --seed S --seeds N runs N seeds from S, and --seed S --for 60s as many as fit")
			case o.seeds < 1:
				return usage("--seeds %d must be at least 1", o.seeds)
			case o.within < 0 || c.Flags().Changed("for") && o.within == 0:
				return usage("--for %v must be positive", o.within)
			case o.last < 0:
				return usage("--last %d must not be negative", o.last)
			}
			if c.Flags().Changed("plan") || given == 1 && c.Flags().Changed("seed") {
				if o.marks {
					return usage("--marks is for many seeds: one run cannot see everything")
				}
				return simOne(o, stdout)
			}
			if o.trace || o.shrink {
				return usage("--trace and --shrink are for one run: give --seed or --plan, and neither --seeds nor --for")
			}
			return simMany(o, stdout, c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.IntVar(&o.seeds, "seeds", 1000, "how many seeds to run")
	f.DurationVar(&o.within, "for", 0, "run seeds for so long")
	f.StringVar(&o.seed, "seed", "0", "the first seed: a number or a word, such as a git hash; alone: run it and no other")
	f.StringVar(&o.plan, "plan", "", "run the plan in this file, as --shrink prints it")
	f.BoolVar(&o.trace, "trace", false, "print every event, one sentence each")
	f.BoolVar(&o.shrink, "shrink", false, "find the smallest plan that fails for the same reason, and print it")
	f.BoolVar(&o.marks, "marks", false, "end with exit code 2 if no seed has seen one of the interesting things")
	f.IntVar(&o.last, "last", 40, "sentences that a failing run prints")
	f.StringVar(&o.html, "html", "trace.html", "where a failing run, or one with --seed or --plan, draws its last moments; none: nowhere")
	return c
}

// readPlan is that of the flags.
func (o simOptions) readPlan() (sim.Plan, string, error) {
	if o.plan != "" {
		text, err := os.ReadFile(o.plan)
		if err != nil {
			return sim.Plan{}, "", usage("--plan: %w", err)
		}
		p, err := sim.ParsePlan(string(text))
		if err != nil {
			return p, "", usage("--plan %s: %w", o.plan, err)
		}
		return p, "--plan " + o.plan, nil
	}
	seed, err := sim.Seed(o.seed)
	if err != nil {
		return sim.Plan{}, "", usage("--seed: %w", err)
	}
	return sim.Draw(seed), fmt.Sprintf("--seed %s", o.seed), nil
}

func simOne(o simOptions, stdout io.Writer) error {
	p, how, err := o.readPlan()
	if err != nil {
		return err
	}
	return simReport(o, p, how, nil, stdout)
}

// simReport runs one plan with its story and its picture, and says what it showed. before is what it has shown already, if anything: the
// same, or nothing that the simulator says can be believed.
func simReport(o simOptions, p sim.Plan, how string, before *sim.Result, stdout io.Writer) error {
	plan := stdout
	if o.shrink {
		stdout = os.Stderr // so that stdout has the plan and nothing else
	}
	options := sim.Options{Plan: &p, Story: o.last, Picture: &sim.Picture{}}
	if o.trace {
		options.Trace = func(s string) { fmt.Fprintln(stdout, s) }
		options.Story = 0
	}
	r, err := sim.Run(p.Seed, options)
	if err != nil {
		return usage("%w", err)
	}
	if r.Failure != nil && !o.trace {
		for _, line := range r.Story {
			fmt.Fprintln(stdout, line)
		}
	}
	fmt.Fprintf(stdout, "trace hash %016x: %d events, %d messages, %d calls in %v of virtual time\n", r.TraceHash, r.Events, r.Messages, r.Calls, r.Virtual.Round(time.Millisecond))
	fmt.Fprintf(stdout, "faults: %v\n", r.Faults)
	var undrawn error
	if o.html != "none" {
		if undrawn = os.WriteFile(o.html, []byte(options.Picture.HTML(r)), 0o644); undrawn == nil {
			fmt.Fprintf(stdout, "drawn in %s\n", o.html)
		}
	}
	if before != nil && (r.TraceHash != before.TraceHash || r.Failure == nil) {
		fmt.Fprintf(stdout, "FAIL not the same run twice: %v, trace hash %016x, and then %v\nrepeat, perhaps: %s sim %s\n",
			before.Failure, before.TraceHash, r.Failure, strings.Join(program(os.Args[0]), " "), how)
		return exit{chaos.ExitFail, nil}
	}
	if r.Failure == nil {
		fmt.Fprintln(stdout, "PASS")
		switch {
		case undrawn != nil:
			return environment("--html: %w", undrawn)
		case o.shrink:
			return usage("--shrink: this run passes, there is nothing to shrink")
		}
		return nil
	}
	if undrawn != nil { // what was found is said all the same
		fmt.Fprintf(stdout, "not drawn: %v\n", undrawn)
	}
	fmt.Fprintf(stdout, "FAIL %v\nrepeat: %s sim %s\n", r.Failure, strings.Join(program(os.Args[0]), " "), how)
	if o.shrink {
		c, said := newConsole(stdout), ""
		small := sim.Shrink(p, func(tried int, best sim.Plan) {
			if said = fmt.Sprintf("shrinking: %d tried, %s left", tried, chaos.Counted(len(best.Faults), "fault")); c.live {
				fmt.Fprint(stdout, clearLine+said)
			}
		})
		if c.live {
			fmt.Fprint(stdout, clearLine)
		}
		fmt.Fprintln(stdout, said)
		if again, err := sim.Run(small.Seed, sim.Options{Plan: &small}); err == nil && again.Failure != nil {
			fmt.Fprintf(plan, "# %v\n", again.Failure)
		}
		fmt.Fprintf(plan, "%v", small.String())
	}
	return exit{chaos.ExitFail, nil}
}

// gcPercent: a run lives in a few megabytes, which the default would collect hundreds of times a second.
const gcPercent = 1000

// simMany runs seed after seed until one fails.
func simMany(o simOptions, stdout, progress io.Writer) error {
	first, err := sim.Seed(o.seed)
	if err != nil {
		return usage("--seed: %w", err)
	}
	var interrupted atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	go func() {
		if _, ok := <-signals; ok {
			interrupted.Store(true)
		}
	}()
	debug.SetGCPercent(gcPercent)
	t := simTotals{began: time.Now()}
	for n := 0; (o.within > 0 || n < o.seeds) && !interrupted.Load(); n++ {
		if o.within > 0 && time.Since(t.began) >= o.within {
			break
		}
		seed := first + uint64(n)
		r, err := sim.Run(seed, sim.Options{})
		if err != nil {
			return usage("%w", err)
		}
		t.add(r)
		if r.Failure != nil {
			t.line(stdout)
			return simReport(o, r.Plan, fmt.Sprintf("--seed %d", seed), &r, stdout)
		}
		if now := time.Now(); now.Sub(t.said) >= time.Second {
			t.said = now
			t.line(progress)
		}
	}
	t.line(stdout)
	fmt.Fprintf(stdout, "faults: %v\n", t.faults)
	if interrupted.Load() {
		return exit{chaos.ExitInterrupted, errors.New("interrupted; what ran has passed")}
	}
	return t.judgeMarks(o, stdout)
}

// simTotals sums what the seeds showed.
type simTotals struct {
	began, said time.Time
	seeds       int
	messages    uint64
	virtual     time.Duration
	faults      sim.FaultCounts
	marks       sim.Marks
}

func (t *simTotals) add(r sim.Result) {
	t.seeds++
	t.messages += r.Messages
	t.virtual += r.Virtual
	t.faults.Add(r.Faults)
	t.marks.Join(r.Marks)
}

func (t *simTotals) line(to io.Writer) {
	s := time.Since(t.began).Seconds()
	faults := 0
	for _, n := range t.faults {
		faults += n
	}
	fmt.Fprintf(to, "%s in %.0f s: %.1f seeds/s, %.0f s of virtual time a second, %.0f messages/s, %d of %d marks, %s (%s)\n",
		chaos.Counted(t.seeds, "seed"), s, float64(t.seeds)/s, t.virtual.Seconds()/s, float64(t.messages)/s, t.marks.Count(), len(sim.AllMarks()),
		chaos.Counted(faults, "fault"), t.faults.Most(4))
}

// judgeMarks names what no seed has seen. Without --marks that is only said.
func (t *simTotals) judgeMarks(o simOptions, stdout io.Writer) error {
	var never []string
	for _, m := range sim.AllMarks() {
		if !t.marks.Has(m) {
			never = append(never, m.String())
		}
	}
	if len(never) > 0 {
		fmt.Fprintf(stdout, "never seen: %s\n", strings.Join(never, ", "))
		if o.marks {
			fmt.Fprintln(stdout, "UNKNOWN: what no seed has seen was not tested")
			return exit{chaos.ExitUnknown, nil}
		}
	}
	fmt.Fprintln(stdout, "PASS")
	return nil
}
