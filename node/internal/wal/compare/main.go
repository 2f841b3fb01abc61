// Command compare does the same damage to five logs and looks at what a reopen of each does: raftlab's own, etcd's,
// raft-wal, and Pebble in its default and in its newest format. It prints the table that stands in ../README.md.
// It is a module of its own, so that nobody else carries what it needs.
//
//	go run .            measure, print the table
//	go run . -v         and every cell as it is measured, with the error of a refusal
//	go run . -write     and put it into ../README.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

var stores = []store{ours{}, etcd{}, hashicorp{}, pebbled{pebble.FormatMajorVersion(0), "default"}, pebbled{pebble.FormatNewest, "newest"}}

func main() {
	verbose := flag.Bool("v", false, "tell every cell")
	write := flag.Bool("write", false, "put the table into ../README.md")
	flag.Parse()
	if err := run(*verbose, *write); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(verbose, write bool) error {
	root, err := os.MkdirTemp("", "wal-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	tell := func(string) {}
	if verbose {
		tell = func(line string) { fmt.Fprintln(os.Stderr, line) }
	}
	table, err := measure(root, stores, tell)
	if err != nil {
		return err
	}
	text := table.markdown(stores)
	fmt.Print(text)
	if !write {
		return nil
	}
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		return err
	}
	old, err := published(string(readme))
	if err != nil {
		return err
	}
	return os.WriteFile(readmePath, []byte(strings.Replace(string(readme), tableBegin+old, tableBegin+text, 1)), 0o644)
}

const (
	readmePath = "../README.md"
	tableBegin = "<!-- measured by compare -->\n"
	tableEnd   = "<!-- /measured -->"
)

// published is the table in the README.
func published(readme string) (string, error) {
	_, rest, begins := strings.Cut(readme, tableBegin)
	table, _, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		return "", errors.New("README.md has no measured table")
	}
	return table, nil
}

// version is that of a module in this program.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "?"
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "?"
}
