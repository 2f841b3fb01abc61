package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/chaos"
)

// aRun is a run directory that check, report, export, replay and shrink take, of a run that failed.
func aRun(t *testing.T) string {
	t.Helper()
	history, err := os.ReadFile(planted(t, "honest"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "20260101-000000-default-1")
	if err := os.MkdirAll(filepath.Join(dir, "nodes", "n1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"run.json":         fmt.Sprintf(`{"verdict":"FAIL","history_sha256":"%x","options":{"nodes":5}}`, sha256.Sum256(history)),
		"check.json":       `{"verdict":"FAIL","checks":[{"name":"linearizable","verdict":"FAIL"}]}`,
		"history.jsonl":    string(history),
		"faults.jsonl":     "",
		chaos.ExecutedFile: "seed 1\nat 1s crash n1 for 1s\nend 3s\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bounded is invoke for what may wait for ever.
func bounded(t *testing.T, args ...string) invoked {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lab, args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "DOCKER_HOST=unix:///nonexistent/docker.sock")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("raftlab %s does not end", strings.Join(args, " "))
	}
	return invoked{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// A run directory may come from elsewhere: what lies in it in the place of a file keeps nobody waiting, and shows nobody another file.
func TestWhatIsNoFileOfARunIsNamedAndNotRead(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		says string
		put  func(path string) error
	}{
		{"a named pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"a link out of the run directory", func(path string) error { return os.Symlink(secret, path) }},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }},
	} {
		for name, names := range map[string][]string{ // the commands that name it
			"run.json":                    {"check", "report", "replay", "shrink"},
			"check.json":                  {"report", "replay", "shrink"},
			"history.jsonl":               {"check", "report", "export"},
			"faults.jsonl":                {},
			chaos.ExecutedFile:            {"replay", "shrink"},
			"nodes/n1/status.jsonl":       {"report"},
			"report.html.new":             {},
			"nodes/n2/status.jsonl/where": {},
		} {
			t.Run(kind.says+" "+name, func(t *testing.T) {
				dir := aRun(t)
				path := filepath.Join(dir, name)
				if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700), kind.put(path)); err != nil {
					t.Fatal(err)
				}
				for _, command := range names {
					args := []string{command, dir}
					if command == "export" {
						args = append(args, "--edn")
					}
					if command == "replay" { // of what it would run it shows no more than why it does not
						args = append(args, "--count", "0")
					}
					got := bounded(t, args...)
					said := got.stdout + got.stderr
					if command == "report" {
						page, err := os.ReadFile(filepath.Join(dir, "report.html"))
						if err != nil {
							t.Fatalf("%s: %v: %s", command, err, said)
						}
						said = string(page)
					}
					if !strings.Contains(said, kind.says) || got.code == chaos.ExitPass && command != "report" || strings.Contains(said, "a secret") {
						t.Errorf("%s: exit %d, and no word of %s: %.2000s", command, got.code, kind.says, said)
					}
				}
				for _, args := range [][]string{{"check", dir}, {"report", dir}, {"export", dir, "--edn"}, {"replay", dir, "--count", "0"}, {"clean", "--out", filepath.Dir(dir)}} {
					bounded(t, args...)
				}
			})
		}
	}
}

// Who takes a history to another checker must know that it is not the whole one: there what is wrong may be what is missing.
func TestAHistoryThatIsNotWholeIsNotExportedWithoutAWord(t *testing.T) {
	for name, c := range map[string]struct {
		change func(string) string
		code   int
		says   string
	}{
		"as it was recorded":   {func(h string) string { return h }, chaos.ExitPass, ""},
		"cut off in a line":    {func(h string) string { return h[:len(h)-9] }, chaos.ExitUnknown, "the history is cut off: line "},
		"cut off after a line": {func(h string) string { return h[:strings.LastIndex(h[:len(h)-1], "\n")+1] }, chaos.ExitUnknown, "its SHA-256 is another than the one in run.json"},
		"another value":        {func(h string) string { return strings.Replace(h, `"n1"`, `"n2"`, 1) }, chaos.ExitUnknown, "its SHA-256 is another than the one in run.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := aRun(t)
			path := filepath.Join(dir, "history.jsonl")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.change(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			got := bounded(t, "export", "--edn", dir)
			if got.code != c.code || !strings.Contains(got.stderr, c.says) || (c.says == "") != (got.stderr == "") || !strings.Contains(got.stdout, ":type :invoke") {
				t.Errorf("exit %d, %q, want %d with %q; %d bytes were written", got.code, got.stderr, c.code, c.says, len(got.stdout))
			}
		})
	}
}
