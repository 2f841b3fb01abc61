package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"raftlab/chaos/report"
)

func reportCommand(stdout io.Writer) *cobra.Command {
	var open bool
	c := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Make report.html of a run directory again, from the directory alone",
		Long: `Makes report.html and junit.xml of a run directory (default: runs/latest) out of what is stored in it, and prints
where the report is. It runs and judges nothing.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("report takes one run directory, not %d", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			dir := filepath.Join("runs", "latest")
			if len(args) == 1 {
				dir = args[0]
			}
			if err := report.Write(dir); err != nil {
				if errors.Is(err, report.ErrNoRun) {
					return usage("%w", err)
				}
				return environment("%w", err)
			}
			path := filepath.Join(dir, report.FileName)
			fmt.Fprintln(stdout, path)
			if open {
				return show(path)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&open, "open", false, "open it in the browser too")
	return c
}

// show opens a file or an address with the program that this desktop has for it.
func show(what string) error {
	words := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if words == nil {
		words = []string{"xdg-open"}
	}
	if said, err := exec.Command(words[0], append(words[1:], what)...).CombinedOutput(); err != nil {
		return environment("--open: %s %s: %w %s; open it yourself", words[0], what, err, said)
	}
	return nil
}
