package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/chaos/report"
	"raftlab/linearizability"
)

// directory is the run that was named, or the latest.
func directory(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return filepath.Join("runs", "latest")
}

// recorded reads a history: of a run directory, or of a file, or of runs/latest.
func recorded(args []string) (report.Run, error) {
	at := directory(args)
	if info, err := os.Stat(at); err == nil && !info.IsDir() {
		history, err := linearizability.ReadFile(at)
		if err != nil {
			return report.Run{}, usage("%w", err)
		}
		return report.Run{History: history}, nil
	}
	r, err := report.Read(at)
	if errors.Is(err, report.ErrNoRun) || err == nil && len(r.History.Operations) == 0 {
		for _, missing := range r.Missing {
			if why, told := strings.CutPrefix(missing, "history.jsonl: "); told {
				return report.Run{}, usage("%s has no history that can be read: %s", at, why)
			}
		}
		return report.Run{}, usage("%s has no history: give a run directory, or a history.jsonl", at)
	}
	return r, err
}

// whole asks whether the history is all of the one that was recorded: what is not there may be what is wrong. Nobody can tell that of
// a file alone, or of a run whose lab was killed, if it ends with a line.
func whole(run report.Run, at string) chaos.Check {
	c := chaos.Check{Verdict: chaos.Nothing, Reason: "there is no run.json to hold the history against"}
	changed := run.HistoryChanged(at)
	switch {
	case run.History.Torn != "":
		c.Verdict, c.Reason = chaos.Unknown, "the history is cut off: "+run.History.Torn
	case changed != "":
		c.Verdict, c.Reason = chaos.Unknown, changed
	case run.Damaged != "":
		c.Verdict, c.Reason = chaos.Unknown, "run.json, to hold the history against, cannot be read: "+run.Damaged
	case run.Digest != "" || run.Counts != nil:
		c.Verdict, c.Reason = chaos.Pass, "the history is the one that run.json is about"
	}
	return c
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usage("%s takes one run directory or history.jsonl, not %d", what, len(args))
		}
		return nil
	}
}

func checkCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "check [RUN]",
		Short: "Judge the recorded history of a run again, from its history.jsonl alone",
		Long: `Asks both checkers of histories again: porcupine, key by key, and the order that the servers claim. RUN is a run
directory (default: runs/latest) or a history.jsonl, also one that this program did not record. What a run knows beside its
history (faults, members, logs) is not looked at: a PASS here says less than the PASS of a run. A history that is cut off, or not the one
that run.json is about, is no PASS.`,
		Args: exactlyOne("check"),
		RunE: func(_ *cobra.Command, args []string) error {
			run, err := recorded(args)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			return judgeAgain(ctx, stdout, run.History, whole(run, directory(args)))
		},
	}
}

func judgeAgain(ctx context.Context, stdout io.Writer, history linearizability.History, records chaos.Check) error {
	fmt.Fprintf(stdout, "check records        %-7s  %s\n", records.Verdict, records.Reason)
	report := linearizability.Check(ctx, history.Operations, linearizability.Options{})
	witness := linearizability.Witness(history.Operations, nil)
	fmt.Fprintf(stdout, "check linearizable   %-7s  %s\n", report.Verdict, report.Message)
	for _, key := range report.Failing() {
		fmt.Fprintf(stdout, "      %s: %s\n", key.Key, key.Message)
	}
	claimed := chaos.Verdict(witness.Verdict)
	if witness.Nothing {
		claimed = chaos.Nothing
	}
	fmt.Fprintf(stdout, "check claimed order  %-7s  %s\n", claimed, witness.Message)
	worst := chaos.Worst(chaos.Verdict(report.Verdict), claimed, records.Verdict)
	fmt.Fprintf(stdout, "%s\n", worst)
	return exit{code: worst.ExitCode()}
}

func exportCommand(stdout io.Writer) *cobra.Command {
	var edn bool
	var key string
	c := &cobra.Command{
		Use:   "export [RUN] --edn",
		Short: "Write the history of a run for other checkers, as Jepsen keeps it",
		Long: `Writes the history of a run directory (default: runs/latest), or a history.jsonl, as Jepsen's history.edn, with the
semantics of its register workload: values are the tuples of jepsen.independent, a delete writes nil, a refused cas is :fail
with the error :refused, faults are operations of :nemesis. With --key only that key is written, without tuples, as Knossos'
cas-register takes it.

A history that is cut off, or not the one that run.json is about, is written as far as it goes, with exit code 2.`,
		Args: exactlyOne("export"),
		RunE: func(_ *cobra.Command, args []string) error {
			if !edn {
				return usage("say in which format: --edn is the one that there is")
			}
			run, err := recorded(args)
			if err != nil {
				return err
			}
			var windows []linearizability.Window
			for _, f := range run.Faults {
				windows = append(windows, linearizability.Window{Name: fmt.Sprintf("#%d %s", f.Number, f.Name()), From: f.From, To: f.To})
			}
			if !hasKey(run.History.Operations, key) {
				return usage("--key %q: no operation is on it", key)
			}
			if err := linearizability.WriteEDN(stdout, run.History.Operations, key, windows); err != nil {
				return environment("%w", err)
			}
			if records := whole(run, directory(args)); records.Verdict == chaos.Unknown {
				return exit{records.Verdict.ExitCode(), fmt.Errorf("export: what was written is not what the run recorded: %s; do not judge by it", records.Reason)}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&edn, "edn", false, "Jepsen's EDN")
	c.Flags().StringVar(&key, "key", "", "only the operations on this key, without tuples")
	return c
}

func hasKey(ops []linearizability.Operation, key string) bool {
	for _, op := range ops {
		if key == "" || op.Key == key {
			return true
		}
	}
	return false
}
