package harness_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
)

func TestRunDirectoryAndItsLinks(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	at := time.Date(2026, 11, 23, 11, 2, 3, 0, time.UTC)
	first, err := harness.CreateRun(root, "leader", 7, at)
	if err != nil {
		t.Fatal(err)
	}
	second, err := harness.CreateRun(root, "leader", 7, at) // in the same second
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() != "20261123-110203-leader-7" || second.ID() != first.ID()+".2" {
		t.Fatalf("%s and %s", first.ID(), second.ID())
	}
	if err := first.WriteJSON("run.json", map[string]string{"verdict": "FAIL"}); err != nil {
		t.Fatal(err)
	}
	for _, link := range []struct {
		run    *harness.Run
		failed bool
	}{{first, true}, {second, false}} {
		if err := link.run.Link(link.failed); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"latest": second.ID(), "latest-fail": first.ID()} {
		if got, err := os.Readlink(filepath.Join(root, name)); err != nil || got != want {
			t.Errorf("%s points at %q, want %q: %v", name, got, want, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "latest-fail", "run.json")); err != nil || !strings.Contains(string(b), "FAIL") {
		t.Errorf("%s %v", b, err)
	}
	for _, scenario := range []string{"", "a/b", "..", ".hidden"} {
		if _, err := harness.CreateRun(root, scenario, 1, at); err == nil {
			t.Errorf("scenario %q was accepted", scenario)
		}
	}
}

func TestLogsOfEveryMemberAreCollected(t *testing.T) {
	c, _ := startKVD(t, 2)
	run, err := harness.CreateRun(t.TempDir(), "logs", 1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := run.CollectLogs(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, node := range harness.Names(c) {
		if b, err := os.ReadFile(run.Path("nodes", node, "log")); err != nil || !strings.Contains(string(b), "listening on") {
			t.Errorf("log of %s: %q %v", node, b, err)
		}
	}
}

// Who imports the harness must not carry a Docker client, and the harness must not know the node: it is for any
// store. Only harness/docker is free to import what it needs. The agent shares the words in which disks are broken with who
// asks it, and no more.
func TestImportsGoOneWay(t *testing.T) {
	for _, c := range []struct {
		packages  []string
		forbidden []string
	}{
		{[]string{"raftlab/harness", "raftlab/harness/process", "raftlab/harness/systems/raftkv"},
			[]string{"github.com/testcontainers/", "github.com/moby/", "github.com/docker/", "github.com/containerd/", "raftlab/node", "raftlab/raft", "raftlab/chaos"}},
		{[]string{"raftlab/harness/docker"}, []string{"raftlab/node", "raftlab/raft", "raftlab/chaos", "raftlab/harness/systems"}},
		{[]string{"raftlab/chaos/agent"}, []string{"github.com/testcontainers/", "github.com/moby/", "raftlab/harness", "raftlab/node", "raftlab/raft"}},
	} {
		out, err := exec.Command("go", append([]string{"list", "-deps"}, c.packages...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, dependency := range strings.Fields(string(out)) {
			for _, forbidden := range c.forbidden {
				if dependency == "raftlab/harness/diskfault" && c.packages[0] == "raftlab/chaos/agent" {
					continue
				}
				if dependency == strings.TrimSuffix(forbidden, "/") || strings.HasPrefix(dependency, strings.TrimSuffix(forbidden, "/")+"/") {
					t.Errorf("one of %v imports %s", c.packages, dependency)
				}
			}
		}
	}
}
