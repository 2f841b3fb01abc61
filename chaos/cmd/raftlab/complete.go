package main

import (
	"strings"

	"github.com/spf13/cobra"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

// completion is cobra's command, shown, and with a sentence for a shell that it does not know.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	c.Short = "Complete commands, scenarios, mutants and flags: source <(raftlab completion bash), or zsh, fish, powershell"
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(_ *cobra.Command, args []string) error {
		return usage("there is no completion for %q; there is for bash, zsh, fish and powershell", strings.Join(args, " "))
	}
}

// words completes to those that are given, each with what it means after a tab where that is known.
func words(all ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
}

func scenarioWords(*cobra.Command, []string, string) (known []string, _ cobra.ShellCompDirective) {
	for _, s := range chaos.Scenarios {
		known = append(known, s.Name+"\t"+s.Shows)
	}
	return known, cobra.ShellCompDirectiveNoFileComp
}

func mutantWords(*cobra.Command, []string, string) (known []string, _ cobra.ShellCompDirective) {
	all, _ := mutants.All() // what is wrong with them is said where they are used
	for _, m := range all {
		known = append(known, m.ID+"\t"+m.Breaks)
	}
	return known, cobra.ShellCompDirectiveNoFileComp
}

// completeFlags panics for a flag that is not there: that is a mistake in this program.
func completeFlags(c *cobra.Command, flags map[string]cobra.CompletionFunc) {
	for name, complete := range flags {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err)
		}
	}
}
