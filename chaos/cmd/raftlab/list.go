package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

func listCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Scenarios, the faults that a schedule may have, and mutants that they must convict",
		Args:  noWords,
		RunE: func(*cobra.Command, []string) error {
			table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SCENARIO\tWHAT IT DOES")
			for _, s := range chaos.Scenarios {
				fmt.Fprintf(table, "%s\t%s\n", s.Name, s.Shows)
			}
			fmt.Fprintln(table, "\nFAULT\tWHAT IT DOES\tPARAMETERS")
			for _, f := range chaos.Families() {
				fmt.Fprintf(table, "%s\t%s\t%s\n", f.Kind, f.Does, parameters(f))
			}
			all, err := mutants.All()
			if err != nil {
				return environment("%w", err)
			}
			fmt.Fprintln(table, "\nMUTANT\tBREAKS\tSEEN IN")
			for _, m := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\n", m.ID, m.Breaks, m.Seen)
			}
			return table.Flush()
		},
	}
}

// parameters shows what may be said of a fault, with its default.
func parameters(f chaos.Family) string {
	var all []string
	for _, p := range f.Params {
		text := p.Name + "=" + p.Default
		if len(p.Words) > 0 {
			text += " (" + strings.Join(p.Words, ", ") + ")"
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, " ")
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "What this program was built from",
		Args:  noWords,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, version())
			return err
		},
	}
}

func version() string {
	return fmt.Sprintf("raftlab %s, %s, %s/%s", revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revision is the commit that the program was built from, as far as the build recorded it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "+changes"
		}
	}
	if commit == "" {
		return info.Main.Version
	}
	return commit[:min(len(commit), 12)] + dirty
}
