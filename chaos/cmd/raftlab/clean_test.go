package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
	"raftlab/harness/scratch"
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

// A run that goes on heals what it breaks itself: whoever cleans beside it must not call its faults over.
func TestCleanLeavesARunAloneThatGoesOn(t *testing.T) {
	temp, out := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := filepath.Join(out, "20260101-000000-default-1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(dir, journalName)
	intent := chaos.Entry{Step: chaos.Intent, Fault: 1, What: chaos.Fault{Kind: chaos.Pause, Target: chaos.Leader}, Nodes: []string{"n1"}, World: "process"}
	if err := chaos.NoteIntent(journal, intent); err != nil {
		t.Fatal(err)
	}
	goesOn, err := scratch.Make()
	if err != nil {
		t.Fatal(err)
	}
	if err := goesOn.Note(scratch.Elsewhere{Journal: journal}); err != nil {
		t.Fatal(err)
	}
	env := []string{"DOCKER_HOST=unix:///nonexistent/docker.sock", "TMPDIR=" + temp}
	for _, want := range []int{1, 0} { // open while it goes on, and when it is gone
		if got := invoke(t, env, "clean", "--out", out); got.code != chaos.ExitPass {
			t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
		}
		if open, err := chaos.Unfinished(journal); err != nil || len(open) != want {
			t.Errorf("%d open, want %d (%v)", len(open), want, err)
		}
		goesOn.Release() // as the kernel does
	}
}
