package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/chaos"
)

// What failed is run again as it was executed, and shrunk. Both need a failure that comes: the bug local-read.
func TestARunThatFailedIsReplayedAndShrunk(t *testing.T) {
	if os.Getenv("RAFTLAB_SLOW_TESTS") == "" {
		t.Skip("it runs a cluster a dozen times: RAFTLAB_SLOW_TESTS=1 go test ./chaos/cmd/raftlab -run Shrunk")
	}
	root, err := filepath.Abs("../../..") // a mutant is built from source
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	out := filepath.Join(t.TempDir(), "runs")
	schedule := filepath.Join(t.TempDir(), "canary.txt")
	const text = "seed 5\nat 500ms pause follower for 1s\nat 2s partition leader for 3500ms\nat 6s crash follower for 1s\nend 8s\n"
	if err := os.WriteFile(schedule, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	run := func(want int, args ...string) string {
		t.Helper()
		said.Reset()
		if code := run(args, &said, &said); code != want {
			t.Fatalf("%v: exit %d\n%s", args, code, said.String())
		}
		return said.String()
	}
	run(chaos.ExitFail, "run", "--schedule", schedule, "--backend", "process", "--mutant", "local-read", "--out", out)
	first, err := filepath.EvalSymlinks(filepath.Join(out, "latest"))
	if err != nil {
		t.Fatal(err)
	}
	if text := run(chaos.ExitFail, "replay", first, "--count", "2", "--out", out); !strings.Contains(text, "failed 2 of 2 tries") {
		t.Error(text)
	}
	text2 := run(chaos.ExitPass, "shrink", first, "--tries", "1", "--rate", "1", "--out", out)
	shrunk, err := os.ReadFile(filepath.Join(first, "shrunk.txt"))
	if err != nil || !strings.Contains(string(shrunk), "partition") || strings.Contains(string(shrunk), "crash") || strings.Contains(string(shrunk), "pause") {
		t.Errorf("%v\n%s\n%s", err, shrunk, text2)
	}
}

func TestOnlyARunThatWasJudgedCanBeReplayedAndOnlyAFailureShrunk(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"run.json": `{"verdict":"PASS","options":{"nodes":5}}`, "check.json": `{"checks":[]}`,
		chaos.ExecutedFile: "seed 1\nat 1s crash n1 for 1s\nend 3s\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"replay " + t.TempDir(), "is no directory of a run that was judged"},
		{"replay " + dir + " --count 0", "--count 0 must be from 1"},
		{"shrink " + dir, "there is nothing to shrink, for no check is FAIL"},
		{"shrink " + t.TempDir(), "is no directory of a run that was judged"},
		{"run --count 0", "--count 0 must be from 1"},
	} {
		if got := invoke(t, nil, strings.Fields(c.args)...); got.code != chaos.ExitUsage || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit %d, %q; want %q", c.args, got.code, got.stderr, c.want)
		}
	}
}
