package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"raftlab/chaos"
	"raftlab/chaos/report"
)

// each is one set of options for each scenario on each system, in that order.
func (o options) each(scenarios []string) ([]options, error) {
	systems := strings.Split(o.system, ",")
	if len(systems) > 1 && (o.image != "" || o.binary != "" || o.mutant != "") {
		return nil, usage("--image, --binary and --mutant are for one system, not for %s", o.system)
	}
	if len(scenarios) == 0 {
		scenarios = []string{"default"}
	}
	var runs []options
	for _, scenario := range scenarios {
		for _, system := range systems {
			one := o
			one.scenario, one.system = scenario, system
			runs = append(runs, one)
		}
	}
	return runs, nil
}

// severally runs one after the other, and ends with a table of what came of it. Bad input in any of them is said before the
// first begins. The worst verdict is the exit code's; an interrupt ends all.
func severally(stdout io.Writer, flags *pflag.FlagSet, runs []options) error {
	for i := range runs {
		o := &runs[i]
		if o.scheduleFile != "" {
			return usage("give scenarios or --schedule, not both")
		}
		if err := o.take(flags); err != nil {
			return err
		}
		if i > 0 { // the same seed everywhere, drawn once
			o.seedText = fmt.Sprint(runs[0].schedule.Seed)
		}
		if err := o.validate(false); err != nil {
			return err
		}
	}
	var ends []end
	worst := chaos.Nothing
	interrupted := false
	for i := range runs {
		o := &runs[i]
		if o.dryRun {
			fmt.Fprintf(stdout, "# %s\n%s", o.again(), o.schedule)
			continue
		}
		err := o.run(stdout)
		var known exit
		if err != nil && !errors.As(err, &known) {
			return err
		}
		e := endOf(o, known)
		ends = append(ends, e)
		worst = chaos.Worst(worst, e.verdict)
		fmt.Fprintln(stdout)
		if interrupted = known.code == chaos.ExitInterrupted; interrupted {
			break
		}
	}
	if len(ends) == 0 {
		return nil
	}
	if err := tell(stdout, runs[0].out, ends); err != nil {
		return environment("%w", err)
	}
	if interrupted {
		return exit{code: chaos.ExitInterrupted}
	}
	return exit{code: worst.ExitCode()}
}

// end is how one run of several ended.
type end struct {
	scenario, system string
	verdict          chaos.Verdict
	cell             string // what the table says
	reason, dir      string
}

func endOf(o *options, known exit) end {
	e := end{scenario: o.scenario, system: o.system, dir: o.dir}
	switch known.code {
	case chaos.ExitPass:
		e.verdict = chaos.Pass
	case chaos.ExitFail:
		e.verdict = chaos.Fail
	case chaos.ExitEnvironment:
		e.verdict = chaos.Environment
	default:
		e.verdict = chaos.Unknown
	}
	e.cell = string(e.verdict)
	if known.err != nil {
		e.reason = oneLine(known.err)
	}
	if r, err := report.Read(o.dir); o.dir != "" && err == nil {
		e.reason = r.Reason
		for _, c := range r.Checks {
			if e.verdict == chaos.Fail && c.Verdict == string(chaos.Fail) {
				e.cell += ": " + c.Name
				break
			}
		}
	}
	return e
}

// tell prints the table, and why each run that did not pass did not, and writes the same as markdown.
func tell(stdout io.Writer, out string, ends []end) error {
	var scenarios, systems []string
	cells := map[[2]string]string{}
	for _, e := range ends {
		if !slices.Contains(scenarios, e.scenario) {
			scenarios = append(scenarios, e.scenario)
		}
		if !slices.Contains(systems, e.system) {
			systems = append(systems, e.system)
		}
		cells[[2]string{e.scenario, e.system}] = e.cell
	}
	rows := [][]string{append([]string{"SCENARIO"}, systems...)}
	for _, scenario := range scenarios {
		row := []string{scenario}
		for _, system := range systems {
			cell := cells[[2]string{scenario, system}]
			if cell == "" {
				cell = "not run"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	if err := printTable(stdout, rows); err != nil {
		return err
	}
	var md strings.Builder
	for i, row := range rows {
		md.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			md.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	for _, e := range ends {
		if e.verdict != chaos.Pass {
			fmt.Fprintf(stdout, "%s on %s: %s  %s   %s\n", e.scenario, e.system, e.verdict, e.reason, e.dir)
			fmt.Fprintf(&md, "\n%s on %s: %s  %s\n", e.scenario, e.system, e.verdict, e.reason)
		}
	}
	path := filepath.Join(out, "table.md")
	if err := os.WriteFile(path, []byte(md.String()), 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "      %s\n", path)
	return err
}
