package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
)

func TestTheReportSaysWhichProgramWasTested(t *testing.T) {
	out := filepath.Join(t.TempDir(), "runs")
	got := invoke(t, nil, "run", "--schedule", briefSchedule(t), "--nodes", "3", "--backend", "process", "--at-leader", "3", "--out", out)
	if got.code != chaos.ExitPass {
		t.Fatalf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
	raw, err := os.ReadFile(filepath.Join(out, "latest", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tested  map[string]string
		Members map[string]string `json:"member_versions"`
		Options map[string]any
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Tested["sha256"]) != 64 || !strings.HasSuffix(report.Tested["binary"], "raftd") {
		t.Errorf("tested: %v", report.Tested)
	}
	if len(report.Members) != 3 || !strings.Contains(report.Members["n2"], `"version"`) {
		t.Errorf("members say: %v", report.Members)
	}
	if report.Options["at_leader"] != 3.0 || report.Options["clients"] != 10.0 {
		t.Errorf("options: %v", report.Options)
	}
}

func TestAScenarioBringsItsLoadAndFlagsChangeIt(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"default", "--clients 10 --keys 10 --rate 100 --at-leader 0"},
		{"pause-leader", "--clients 24 --keys 8 --rate 240 --at-leader 14"},
		{"pause-leader --clients 5 --keys 3", "--clients 5 --keys 3 --rate 240 --at-leader 5"},
		{"default --at-leader 4", "--clients 10 --keys 10 --rate 100 --at-leader 4"},
	} {
		got := invoke(t, nil, append([]string{"run", "--dry-run"}, strings.Fields(c.args)...)...)
		if got.code != chaos.ExitPass || !strings.Contains(got.stdout, c.want) {
			t.Errorf("%s: exit %d: %s%s; want %q", c.args, got.code, got.stdout, got.stderr, c.want)
		}
	}
	if got := invoke(t, nil, "run", "--dry-run", "--at-leader", "11"); got.code != chaos.ExitUsage || !strings.Contains(got.stderr, "--at-leader 11 must be from 0 to 10") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
}
