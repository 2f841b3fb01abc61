// Command raftlab breaks clusters on purpose and judges, with evidence, what their clients saw.
//
//	raftlab run [SCENARIO...]  runs, and a table of several: exit code 0 PASS, 1 FAIL, 2 UNKNOWN, 3 the environment
//	raftlab report [RUN]       makes the report of a run again, from its directory
//	raftlab check [RUN]        judges its history again
//	raftlab export [RUN] --edn writes it for Jepsen's checkers
//	raftlab replay RUN         what a run executed, again: how often does it fail?
//	raftlab shrink RUN         a smaller schedule that fails too
//	raftlab fault ...          break the cluster of docker compose by hand, heal it
//	raftlab serve              runs in a browser; with --cluster N a live cluster to break by hand
//	raftlab list               scenarios and mutants
//	raftlab bugs [ID]...       which layer of the lab finds which planted bug, how fast
//	raftlab doctor             what this machine can run, and how to mend what it cannot
//	raftlab sim                the whole node in virtual time, over networks, disks and clocks that fail
//	raftlab clean              removes what an interrupted run has left
//
// Every error is one line on stderr. 64 is the exit code for bad usage, 130 for an interrupted run, which has
// still healed what it broke and written its report.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"raftlab/chaos"
	layer "raftlab/chaos/agent/disk"
	"raftlab/internal/nearest"
)

func main() {
	if layer.Meant(os.Args) { // this program as the agent, see process.Options
		os.Exit(layer.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// exit is an error that carries the exit code of the program.
type exit struct {
	code int
	err  error // nil where everything has been said already
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return exit{chaos.ExitUsage, fmt.Errorf(format, args...)}
}

func environment(format string, args ...any) error {
	return exit{chaos.ExitEnvironment, fmt.Errorf(format, args...)}
}

func run(args []string, stdout, stderr io.Writer) int {
	root := command(stdout)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var known exit
	switch {
	case err == nil:
		return chaos.ExitPass
	case !errors.As(err, &known):
		// Cobra's own errors are all about how it was called; ours carry their code.
		known = exit{chaos.ExitUsage, err}
	}
	if known.err != nil {
		fmt.Fprintf(stderr, "raftlab: %s\n", oneLine(known.err))
	}
	return known.code
}

// oneLine keeps the first paragraph of what libraries say on several.
func oneLine(err error) string {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n\n")
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", "; ")), " ")
}

// plain says in a sentence what pflag says with the words of strconv.
func plain(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usage("%w; %s --help lists what there is", err, c.CommandPath())
	}
	want, known := map[string]string{"int": "a whole number", "float64": "a number", "bool": "true or false", "duration": "a time such as 10s"}[invalid.GetFlag().Value.Type()]
	if !known {
		return err
	}
	return usage("--%s %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// commandNames are those that help shows.
func commandNames(root *cobra.Command) (names []string) {
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

// noWords refuses arguments where there are only flags.
func noWords(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no words, and got %q", c.Name(), args[0])
	}
	return nil
}

// oneRun wants a run directory.
func oneRun(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("%s takes one run directory, such as runs/latest, not %d", c.Name(), len(args))
	}
	return nil
}

func command(stdout io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "raftlab",
		Short:         "Break a cluster on purpose, and judge with evidence what its clients saw",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage("command %q is not known; %s", args[0], nearest.Hint(args[0], commandNames(c), ""))
		},
		// Before every command.
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return notEmpty(c.Flags()) },
		RunE: func(c *cobra.Command, _ []string) error {
			return usage("say what to do: %s (raftlab --help explains)", strings.Join(commandNames(c), ", "))
		},
	}
	root.AddCommand(bugsCommand(stdout))
	root.Version = version()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(plain)
	root.AddCommand(runCommand(stdout), replayCommand(stdout), shrinkCommand(stdout), faultCommand(stdout), listCommand(stdout), doctorCommand(stdout), cleanCommand(stdout), reportCommand(stdout), serveCommand(stdout), versionCommand(stdout))
	root.AddCommand(simCommand(stdout), checkCommand(stdout), exportCommand(stdout))
	completion(root)
	return root
}
