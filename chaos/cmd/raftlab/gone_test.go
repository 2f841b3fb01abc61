package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"raftlab/chaos"
	"raftlab/harness/docker"
	"raftlab/internal/needs"
)

// A run that cannot even begin, for it has no program, has swept before.
func TestTheNextRunSweepsWhatALabThatWasKilledHasLeft(t *testing.T) {
	for world, program := range map[string]string{"process": "--binary", "docker": "--image"} {
		t.Run(world, func(t *testing.T) {
			if world == "docker" {
				_, err := docker.FindImage(t.Context(), slowImage())
				needs.Machine(t, err)
			}
			temp, out := t.TempDir(), filepath.Join(t.TempDir(), "runs")
			journal := killMidFault(t, world, temp, out)
			next := invoke(t, []string{"TMPDIR=" + temp}, "run", "--backend", world, program, "/no/such:thing", "--out", t.TempDir())
			if next.code != chaos.ExitEnvironment && next.code != chaos.ExitUsage {
				t.Errorf("the next run: exit %d: %s%s", next.code, next.stdout, next.stderr)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("the killed lab's temporary files are still there: %v, %v\n%s", left, err, next.stdout)
			}
			if open, err := chaos.Unfinished(journal); err != nil || len(open) > 0 {
				t.Errorf("%d faults of the killed lab are open: %v\n%s", len(open), err, next.stdout)
			}
			if world == "docker" {
				if left, err := docker.Sweep(t.Context(), filepath.Base(filepath.Dir(journal))); err != nil || len(left) > 0 {
					t.Errorf("left: %v, %v\n%s", left, err, next.stdout)
				}
			}
		})
	}
}

// killMidFault kills a lab while a fault is in force, and returns the journal of its run.
func killMidFault(t *testing.T, world, temp, out string) (journal string) {
	t.Helper()
	schedule := filepath.Join(t.TempDir(), "busy.txt")
	if err := os.WriteFile(schedule, []byte(busy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lab, "run", "--schedule", schedule, "--backend", world, "--nodes", "5", "--out", out)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	if world == "docker" {
		cmd.Args = append(cmd.Args, "--image", slowImage())
	}
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(60 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(out, "2*", journalName)); len(found) == 1 {
			if open, err := chaos.Unfinished(found[0]); err == nil && len(open) > 0 {
				return found[0]
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no fault was in force in time")
		}
	}
}
