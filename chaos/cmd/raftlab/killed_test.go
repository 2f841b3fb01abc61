package main

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"raftlab/chaos"
	"raftlab/harness/docker"
	"raftlab/harness/process"
)

// busy has faults of all sorts in force most of the time.
const busy = `seed 9
at 100ms pause follower for 30s
at 200ms delay all delay=20ms for 30s
at 300ms partition follower for 30s
end 31s
`

// A lab that is killed with SIGKILL leaves no process, stopped or not, and nothing that clean does not remove.
func TestALabThatIsKilledAtAnyMomentLeavesNothingThatCleanDoesNotRemove(t *testing.T) {
	moments, worlds := 2, []string{"process"}
	if os.Getenv("RAFTLAB_SLOW_TESTS") != "" { // and in containers: ten moments each
		moments = 10
		if _, err := docker.FindImage(t.Context(), slowImage()); err == nil {
			worlds = append(worlds, "docker")
		}
	}
	schedule := filepath.Join(t.TempDir(), "busy.txt")
	faults := busy
	if err := process.CheckDisks(t.Context(), []string{lab}); err == nil {
		faults = strings.Replace(busy, "end ", "at 400ms disk-slow follower for 30s\nend ", 1) // so all members are above mounted disks
	} else {
		t.Logf("without disks: %v", err)
	}
	if err := os.WriteFile(schedule, []byte(faults), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, world := range worlds {
		t.Logf("%d labs in the world %s", moments, world)
		for range moments {
			after := time.Duration(rand.Int64N(int64(6 * time.Second)))
			out := filepath.Join(t.TempDir(), "runs")
			args := []string{"run", "--schedule", schedule, "--backend", world, "--nodes", "5", "--out", out}
			if world == "docker" {
				args = append(args, "--image", slowImage())
			}
			cmd := exec.Command(lab, args...)
			cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after) // the moment is the input of this test, not something to wait for
			cmd.Process.Kill()
			cmd.Wait()
			await(t, "no process is left", func() bool { return len(processesOf(out)) == 0 })
			if world == "docker" {
				sweepRuns(t, out)
				continue
			}
			// Without Docker, so that this clean takes nothing away from other runs on this machine.
			got := invoke(t, []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}, "clean", "--out", out)
			if got.code != chaos.ExitPass {
				t.Fatalf("killed after %v: exit %d: %s%s", after, got.code, got.stdout, got.stderr)
			}
			journals, _ := filepath.Glob(filepath.Join(out, "2*", "faults.jsonl"))
			for _, path := range journals {
				if open, err := chaos.Unfinished(path); err != nil || len(open) > 0 {
					t.Errorf("killed after %v: %d intents are open after clean, %v", after, len(open), err)
				}
			}
		}
	}
}

func slowImage() string {
	if image := os.Getenv("RAFTLAB_IMAGE"); image != "" {
		return image
	}
	return defaultImage
}

// sweepRuns does what clean does, for these runs only: others may run on this machine.
func sweepRuns(t *testing.T, out string) {
	t.Helper()
	runs, _ := filepath.Glob(filepath.Join(out, "2*"))
	for _, run := range runs {
		if _, err := docker.Sweep(context.Background(), filepath.Base(run)); err != nil {
			t.Fatal(err)
		}
		if left, err := docker.Sweep(context.Background(), filepath.Base(run)); err != nil || len(left) > 0 {
			t.Errorf("left after a sweep: %v, %v", left, err)
		}
	}
}

// processesOf lists the processes, stopped ones too, whose command line names the directory. A zombie has none.
func processesOf(dir string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), dir) && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
