package main

import (
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
