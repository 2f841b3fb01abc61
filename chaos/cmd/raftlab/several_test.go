package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
)

// One that cannot start stands for all that can go wrong: the table has every run, and the worst is the exit code.
func TestSeveralRunsEndWithATableAndTheWorstVerdict(t *testing.T) {
	out := filepath.Join(t.TempDir(), "runs")
	got := invoke(t, nil, "run", "default", "kill-leader", "--seed", "4", "--backend", "process", "--nodes", "3", "--binary", "/bin/false", "--out", out)
	if got.code != chaos.ExitEnvironment {
		t.Fatalf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
	_, table, found := strings.Cut(got.stdout, "SCENARIO     raftkv\n")
	if !found || !strings.HasPrefix(table, "default      ENVIRONMENT\nkill-leader  ENVIRONMENT\n") || strings.Count(table, "ended with code 1") != 2 {
		t.Errorf("no table in\n%s", got.stdout)
	}
	md, err := os.ReadFile(filepath.Join(out, "table.md"))
	if err != nil || !strings.HasPrefix(string(md), "| SCENARIO | raftkv |\n|---|---|\n| default | ENVIRONMENT |\n") {
		t.Errorf("%v: %s", err, md)
	}
}

func TestTheTableHasScenariosDownAndSystemsAcross(t *testing.T) {
	var b strings.Builder
	err := tell(&b, t.TempDir(), []end{
		{"a", "raftkv", chaos.Pass, "PASS", "all well", "runs/1"}, {"a", "etcd", chaos.Fail, "FAIL: linearizable", "a stale read", "runs/2"},
		{"b", "raftkv", chaos.Unknown, "UNKNOWN", "no evidence", "runs/3"},
	})
	want := "SCENARIO  raftkv   etcd\n" +
		"a         PASS     FAIL: linearizable\n" +
		"b         UNKNOWN  not run\n" +
		"a on etcd: FAIL  a stale read   runs/2\n" +
		"b on raftkv: UNKNOWN  no evidence   runs/3\n"
	if err != nil || !strings.HasPrefix(b.String(), want) {
		t.Errorf("%v\n%swant\n%s", err, b.String(), want)
	}
}

func TestSeveralDryRunsHaveOneSeed(t *testing.T) {
	got := invoke(t, nil, "run", "default", "kill-all", "--dry-run", "--system", "raftkv,etcd")
	lines := strings.Split(got.stdout, "\n")
	var seeds []string
	for _, line := range lines {
		if strings.HasPrefix(line, "seed ") {
			seeds = append(seeds, line)
		}
	}
	if got.code != 0 || len(seeds) != 4 || seeds[0] != seeds[3] || !strings.Contains(got.stdout, "--system etcd\n") {
		t.Errorf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}
