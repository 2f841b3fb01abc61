package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

// What the museum builds is some hundred megabytes for each bug: who stops it must not find them there for ever.
func TestTheMuseumLeavesNothingBehindWhoeverEndsIt(t *testing.T) {
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	museum := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), lab, append([]string{"bugs"}, args...)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "TMPDIR="+temp)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	left := func() []string {
		all, err := filepath.Glob(filepath.Join(temp, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		cmd := museum("no-log-check", "--layers", "explorer", "--explore", "-members 5 -terms 9 -crashes 9 -states 100000000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "it has planted a bug", func() bool {
			overlays, _ := filepath.Glob(filepath.Join(temp, "raftlab-*", "overlay.json"))
			return len(overlays) > 0
		})
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its exit code says more
		code := cmd.ProcessState.ExitCode()
		if sig == syscall.SIGKILL {
			if code != -1 || len(left()) == 0 {
				t.Fatalf("killed: exit %d, and has left %v: there is nothing to sweep", code, left())
			}
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the compiler that it had started goes on for a while
			await(t, "what it had started has ended", func() bool { return len(processesOf(temp)) == 0 })
			continue
		}
		if code != chaos.ExitInterrupted || len(left()) > 0 {
			t.Errorf("%v: exit %d, and has left %v", sig, code, left())
		}
	}
	// No layer that is named looks for this one, so it ends at once.
	said, err := museum("checker-unknown-is-pass", "--layers", "explorer").Output()
	if !strings.Contains(string(said), "of a lab that was killed") {
		t.Errorf("the next one says nothing of what it has swept: %v\n%s", err, said)
	}
	for _, path := range left() {
		if strings.HasPrefix(filepath.Base(path), "raftlab-") {
			t.Errorf("the next one has left %s", path)
		}
	}
}

// Who did not look has not failed to find.
func TestALayerThatCouldNotLookIsNoMiss(t *testing.T) {
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"no-log-check", "--layers", ""}, chaos.ExitUsage, "--layers names none of"},
		{[]string{"no-log-check", "--explore", "-members 99"}, chaos.ExitEnvironment, "Members 99 must be between 1 and 5"},
		{[]string{"no-log-check", "--explore", "-slow-disk -1"}, chaos.ExitEnvironment, "SlowDisk -1 must not be negative"},
		{[]string{"no-log-check", "--explore", "-frob 3"}, chaos.ExitEnvironment, "flag provided but not defined: -frob"},
		{[]string{"duplicate-vote-skips-check", "--explore", "-frob 3"}, chaos.ExitEnvironment, "NOT LOOKED FOR"}, // a trap
		{[]string{"checker-unknown-is-pass", "--layers", "explorer"}, chaos.ExitEnvironment, "none of these layers runs the code"},
	} {
		cmd := exec.CommandContext(t.Context(), lab, append([]string{"bugs"}, c.args...)...)
		cmd.Dir = root
		said, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(said), c.says) || strings.Contains(string(said), "NOT FOUND") {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.says, said)
		}
	}
}
