package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
)

// Where Docker was not looked at, nobody knows what became of its containers: their faults stay open.
func TestCleanClosesOnlyWhatItHasLookedAt(t *testing.T) {
	out := t.TempDir()
	journals := make(map[string]string)
	for _, world := range []string{"docker", "process"} {
		dir := filepath.Join(out, "20260101-000000-default-"+world)
		journals[world] = filepath.Join(dir, "faults.jsonl")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		j, err := chaos.CreateJournal(journals[world])
		if err != nil {
			t.Fatal(err)
		}
		intent := chaos.Entry{Step: chaos.Intent, Fault: 2, What: chaos.Fault{Kind: chaos.Pause, Target: chaos.Leader}, Nodes: []string{"n3"}, World: world}
		if err := j.Write(intent); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open := func(world string, want int) {
		t.Helper()
		if got, err := chaos.Unfinished(journals[world]); err != nil || len(got) != want {
			t.Errorf("%s: %d open, want %d (%v)", world, len(got), want, err)
		}
	}
	noDocker := []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}
	got := invoke(t, noDocker, "clean", "--out", out)
	if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, "1 fault in containers still open: run raftlab clean again when Docker answers") {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	for _, want := range []string{
		"fault #2 pause leader on n3 (docker) was never healed; it stays open, because Docker was not looked at",
		"fault #2 pause leader on n3 (process) was never healed; its members are gone now",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	open("docker", 1)
	open("process", 0)
	if err := os.Remove(journals["docker"]); err != nil {
		t.Fatal(err)
	}
	if got := invoke(t, noDocker, "clean", "--out", out); got.code != chaos.ExitPass {
		t.Errorf("nothing of Docker's is open: exit %d, %s", got.code, got.stderr)
	}
}
