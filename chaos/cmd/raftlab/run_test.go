package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		"re-run: raftlab run --schedule ", "--seed 5 ",
	} {
		if !strings.Contains(rest, want) {
			t.Errorf("no %q in\n%s", want, rest)
		}
	}
}

// The short container run of `make test`. Where there is nothing to run it with, that must be said.
func TestTheSameScheduleRunsInContainers(t *testing.T) {
	got := invoke(t, nil, "run", "--schedule", briefSchedule(t), "--nodes", "3", "--backend", "docker")
	switch err := docker.Available(t.Context()); {
	case err != nil:
		if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, "no Docker engine answered") {
			t.Errorf("exit %d: %s", got.code, got.stderr)
		}
	case got.code == chaos.ExitEnvironment:
		if !strings.Contains(got.stderr, "make image") {
			t.Errorf("no containers, and it is not said how to get them: %s", got.stderr)
		}
	case got.code != chaos.ExitPass || !strings.Contains(got.stdout, " packets dropped by 4 rules"):
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
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
	for _, want := range []string{"CHECK", "Docker engine", "no Docker engine answered", "start Docker", "netem", "/dev/fuse", "/.dockerenv", "free disk", "--backend process"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	if docker.Available(t.Context()) != nil {
		return // the rest of the table is about an engine
	}
	got = invoke(t, nil, "doctor", "--image", "raftlab/node:no-such-tag")
	for _, want := range []string{"API 1.", "cgroup", "nft in a netns", "not tried", "make image"} {
		if got.code != chaos.ExitEnvironment || !strings.Contains(got.stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", got.code, want, got.stdout)
		}
	}
}
