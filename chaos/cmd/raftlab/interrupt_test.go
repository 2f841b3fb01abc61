package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/chaos"
)

// An interrupt while a fault is in force must leave no process, no open intent, and a report.
func TestAnInterruptHealsReportsAndExits130(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), lab, "run", "pause-follower", "--backend", "process", "--nodes", "3", "--seed", "3")
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	var said strings.Builder
	for !strings.Contains(said.String(), "fault #1") {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			t.Fatalf("no fault came: %v\n%s%s", err, said.String(), stderr.String())
		}
	}
	interrupted := time.Now()
	for time.Since(interrupted) < secondInterruptAfter/4 { // timeout(1) sends two; all that come at once are one
		if err := cmd.Process.Signal(syscall.SIGINT); errors.Is(err, os.ErrProcessDone) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	said.Write(rest)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != chaos.ExitInterrupted || stderr.Len() > 0 {
		t.Errorf("exit %d, stderr %q\n%s", code, stderr.String(), said.String())
	}
	if took := time.Since(interrupted); took > 20*time.Second {
		t.Errorf("healing and reporting took %v", took)
	}
	if !strings.Contains(said.String(), "heal  #1 installed") || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("no heal, or no word of the interrupt:\n%s", said.String())
	}
	latest := filepath.Join(dir, "runs", "latest")
	if open, err := chaos.Unfinished(filepath.Join(latest, "faults.jsonl")); err != nil || len(open) > 0 {
		t.Errorf("open intents: %v, %v", open, err)
	}
	raw, err := os.ReadFile(filepath.Join(latest, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Interrupted bool }
	if err := json.Unmarshal(raw, &report); err != nil || !report.Interrupted {
		t.Errorf("run.json does not say that it was interrupted: %v", err)
	}
}
