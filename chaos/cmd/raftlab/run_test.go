package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"raftlab/chaos"
	"raftlab/harness/docker"
)

// brief is the shortest schedule with a fault that must be survived.
const brief = "seed 5\nat 200ms partition leader for 3s\nend 4s\n"

func briefSchedule(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "brief.txt")
	if err := os.WriteFile(path, []byte(brief), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWithoutDockerAutoSaysSoInOneLineAndRunsOnProcesses(t *testing.T) {
	got := invoke(t, []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}, "run", "--schedule", briefSchedule(t), "--nodes", "3")
	first, rest, _ := strings.Cut(got.stdout, "\n")
	if got.code != chaos.ExitPass || !strings.HasPrefix(first, "no containers: ") || !strings.HasPrefix(rest, "run   schedule  seed=5") {
		t.Fatalf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
	for _, want := range []string{
		"  process  → runs/", "fault #1 partition leader: ", "heal  #1 installed: ", "leader n", "healed: all 3 members",
		"ops ", "elections ", "dropped by the rules ", "without a leader ", "longest gap ", "check linearizable ", "PASS ",
		"re-run: " + lab + " run --schedule ", "--seed 5 ", "1 fault proven", "1 fault window with ",
	} {
		if !strings.Contains(rest, want) {
			t.Errorf("no %q in\n%s", want, rest)
		}
	}
}

// The short container run of `make test`. Where there is nothing to run it with, that must be said; where
// RAFTLAB_REQUIRE_DOCKER is set, there must be something to run it with.
func TestTheSameScheduleRunsInContainers(t *testing.T) {
	_, missing := docker.FindImage(t.Context(), defaultImage)
	if missing != nil && os.Getenv("RAFTLAB_REQUIRE_DOCKER") != "" {
		t.Fatal("RAFTLAB_REQUIRE_DOCKER is set: ", missing)
	}
	got := invoke(t, nil, "run", "--schedule", briefSchedule(t), "--nodes", "3", "--backend", "docker")
	switch {
	case missing != nil:
		if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, missing.Error()) {
			t.Errorf("exit %d: %q, want %q", got.code, got.stderr, missing)
		}
	case got.code != chaos.ExitPass || !strings.Contains(got.stdout, " packets dropped by 4 rules"):
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestAClusterThatDoesNotStartLeavesAReportAndTheLogsThatThereAre(t *testing.T) {
	dir := t.TempDir()
	broken, out := filepath.Join(dir, "raftd"), filepath.Join(dir, "runs")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho the disk is on fire >&2\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := invoke(t, []string{"GITHUB_ACTIONS=true"}, "run", "--backend", "process", "--nodes", "3", "--binary", broken, "--out", out)
	const why = "n1 ended with code 7: the disk is on fire"
	if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, "the cluster did not start: process: "+why) || !strings.Contains(got.stderr, why) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	if !strings.Contains(got.stdout, "\n::error title=ENVIRONMENT%3A default seed ") || !strings.Contains(got.stdout, "::run: the cluster did not start: process: "+why) {
		t.Errorf("not annotated for GitHub:\n%s", got.stdout)
	}
	made := filepath.Join(out, "latest", "report.html")
	if err := os.Remove(made); err != nil {
		t.Fatal(err)
	}
	again := invoke(t, nil, "report", filepath.Join(out, "latest"))
	if _, err := os.Stat(made); err != nil || again.code != 0 || again.stdout != made+"\n" {
		t.Errorf("raftlab report: exit %d, %q%s, %v", again.code, again.stdout, again.stderr, err)
	}
	if strings.Contains(got.stdout, "not complete") {
		t.Errorf("members that were never started are missed:\n%s", got.stdout)
	}
	raw, err := os.ReadFile(filepath.Join(out, "latest", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Verdict, Reason string
		ExitCode        int `json:"exit_code"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != "ENVIRONMENT" || report.ExitCode != chaos.ExitEnvironment || !strings.Contains(report.Reason, why) {
		t.Errorf("run.json: %+v", report)
	}
	for file, want := range map[string]string{"summary.md": why, "report.html": "The run could not be judged.", "junit.xml": `errors="1"`, "nodes/n1/log": "the disk is on fire", "nodes/n3/log": ""} {
		text, err := os.ReadFile(filepath.Join(out, "latest", file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v: %q", file, err, text)
		}
	}
}

func TestAnImageThatIsMissingIsSaidWithTheRemedy(t *testing.T) {
	want := "make image"
	if docker.Available(t.Context()) != nil {
		want = "no Docker engine answered"
	}
	got := invoke(t, nil, "run", "--backend", "docker", "--image", "raftlab/node:no-such-tag")
	if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("exit %d: %q, want %q", got.code, got.stderr, want)
	}
}

func TestDoctorSaysWhatWasFoundAndExits3WhereContainersCannotRun(t *testing.T) {
	got := invoke(t, []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}, "doctor")
	if got.code != chaos.ExitEnvironment || got.stderr != "" {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	for line := range strings.Lines(got.stdout) {
		if width := utf8.RuneCountInString(strings.TrimSpace(line)); width >= 120 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
	for _, want := range []string{"CHECK", "Docker engine", "no Docker engine", "start Docker", "netem", "NFQUEUE", "disks of processes", "/.dockerenv", "CPUs and memory", "GiB available", "free disk", "leftovers", "--backend process"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	if docker.Available(t.Context()) != nil {
		return // the rest of the table is about an engine
	}
	got = invoke(t, nil, "doctor", "--image", "raftlab/node:no-such-tag")
	for _, want := range []string{"API 1.", "cgroup", "nft in a netns", "disks of containers", "not tried", "make image"} {
		if got.code != chaos.ExitEnvironment || !strings.Contains(got.stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", got.code, want, got.stdout)
		}
	}
}

func TestLongCellsOfATableGoOnBelow(t *testing.T) {
	var b strings.Builder
	if err := printTable(&b, [][]string{{"A", "B"}, {strings.Repeat("word ", 9), "/" + strings.Repeat("x", cellMax+3)}, {"é", "-"}}); err != nil {
		t.Fatal(err)
	}
	want := "A                              B\n" +
		"word word word word word word  /" + strings.Repeat("x", cellMax-1) + "\n" +
		"word word word                 xxxx\n" +
		"é                              -\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestDoctorNamesAFaultThatNobodyHealed(t *testing.T) {
	out := filepath.Join(t.TempDir(), "runs")
	dir := filepath.Join(out, "20260101-000000-default-1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	journal, err := chaos.CreateJournal(filepath.Join(dir, "faults.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Write(chaos.Entry{Step: chaos.Intent, Fault: 1, Nodes: []string{"n1"}, World: "process"}); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	if f := leftovers(t.Context(), out); !strings.Contains(f.found, "1 fault without a heal") || f.mend == "" {
		t.Errorf("%+v", f)
	}
	if f := leftovers(t.Context(), t.TempDir()); strings.Contains(f.found, "without a heal") {
		t.Errorf("%+v", f)
	}
}
