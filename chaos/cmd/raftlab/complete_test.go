package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWordsAreCompleted(t *testing.T) {
	for line, want := range map[string]string{
		"run part": "partition-ring\teverybody hears a majority", "run default kill": "kill-leader\t", "run --system ": "etcd-serializable\n", "run --backend ": "process\n",
		"run --workload ": "sessions\n", "run --mutant ": "local-read\t", "bugs loc": "local-read\t", "bugs --layers ": "explorer\n", "fault ": "partition\n", "comp": "completion\t",
	} {
		got := invoke(t, nil, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%q: no %q in %s", line, want, got.stdout)
		}
	}
}

// A shell reads the script, and asks this program what may follow.
func TestTheCompletionOfBashIsAScriptThatItReads(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := invoke(t, nil, "completion", shell)
		if got.code != 0 || !strings.Contains(got.stdout, "__complete") {
			t.Errorf("%s: %d %.80s", shell, got.code, got.stdout)
		}
		if shell != "bash" {
			continue
		}
		script := filepath.Join(t.TempDir(), "completion")
		if err := os.WriteFile(script, []byte(got.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), "bash", "-c", "source "+script+" && complete -p raftlab").CombinedOutput()
		if err != nil || !strings.Contains(string(said), "__start_raftlab raftlab") {
			t.Errorf("%v: %s", err, said)
		}
	}
}
