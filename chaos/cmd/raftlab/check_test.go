package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

func planted(t *testing.T, name string) string {
	t.Helper()
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "linearizability", "testdata", name+".jsonl")
}

func TestAHistoryIsJudgedAgain(t *testing.T) {
	for name, want := range map[string]struct {
		code int
		says string
	}{
		"stale-read": {chaos.ExitFail, "k: get (#5 at n3) returned v12 although put v13 (#3 at n1) was acknowledged 84 ms before it began"},
		"honest":     {chaos.ExitPass, "nothing to look at: no reply carries a log index\nPASS\n"},
	} {
		got := invoke(t, nil, "check", planted(t, name))
		if got.code != want.code || !strings.Contains(got.stdout, want.says) || got.stderr != "" {
			t.Errorf("%s: exit %d: %s%s", name, got.code, got.stdout, got.stderr)
		}
	}
}

// What was cut off may be what is wrong: a history of which a part is missing is no PASS.
func TestAHistoryOfWhichAPartIsMissingIsNoPass(t *testing.T) {
	text, err := os.ReadFile(planted(t, "honest"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	sum := fmt.Sprintf("%x", sha256.Sum256(text))
	for name, c := range map[string]struct {
		history, summary string
		code             int
		says             string
	}{
		"as it was judged":     {string(text), `{"verdict":"PASS","history_sha256":"` + sum + `"}`, chaos.ExitPass, "the history is the one that run.json is about"},
		"cut off in a line":    {string(text[:len(text)-9]), "", chaos.ExitUnknown, "the history is cut off: line "},
		"cut off after a line": {strings.Join(lines[:len(lines)-2], ""), `{"verdict":"PASS","history_sha256":"` + sum + `"}`, chaos.ExitUnknown, "it is not the one that was judged"},
		"of an older lab":      {string(text), `{"verdict":"PASS","operations":{"operations":999}}`, chaos.ExitUnknown, "and run.json says {Operations:999"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "history.jsonl"), []byte(c.history), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.summary != "" {
			if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(c.summary), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := invoke(t, nil, "check", dir)
		if got.code != c.code || !strings.Contains(got.stdout, c.says) {
			t.Errorf("%s: exit %d: %s%s", name, got.code, got.stdout, got.stderr)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "history.jsonl"), []byte(lines[0]+lines[1]+lines[1]+lines[2]), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := invoke(t, nil, "check", dir); got.code != chaos.ExitUsage || !strings.Contains(got.stderr, "is called a second time") {
		t.Errorf("a line twice: exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestAHistoryIsExportedForOtherCheckers(t *testing.T) {
	got := invoke(t, nil, "export", planted(t, "stale-read"), "--edn", "--key", "k")
	if first, _, _ := strings.Cut(got.stdout, "\n"); got.code != 0 || first != `{:index 0, :time 10000000, :process 0, :type :invoke, :f :write, :value "v12", :node "n1"}` {
		t.Errorf("exit %d: %s%s", got.code, first, got.stderr)
	}
	for args, want := range map[string]string{
		"check /nonexistent": "has no history: give a run directory",
		"export":             "say in which format: --edn",
		"export --edn":       "runs/latest has no history",
		"check a b":          "one run directory or history.jsonl, not 2",
		"export --edn --key x " + planted(t, "stale-read"): `--key "x": no operation is on it`,
	} {
		got := invoke(t, nil, strings.Fields(args)...)
		if got.code != chaos.ExitUsage || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: exit %d: %q", args, got.code, got.stderr)
		}
	}
}
