package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"raftlab/chaos"
	"raftlab/harness/docker"
	"raftlab/internal/needs"
)

// lacking is a run that was asked for on an engine whose machine has no /dev/fuse.
func lacking(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	_, err = docker.FindImage(t.Context(), defaultImage)
	needs.Machine(t, err)
	o := options{fuse: "/dev/no-such-fuse"}
	var stdout bytes.Buffer
	c := newRun(&stdout, &o)
	c.SetArgs(append(args, "--backend", "docker", "--out", t.TempDir()))
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.Execute()
	if entries, _ := os.ReadDir(o.out); len(entries) != 0 {
		t.Errorf("a run directory was made: %v", entries)
	}
	return stdout.String(), err
}

// Nothing is started that would have to say half-way that its faults are skipped.
func TestARunThatBreaksDisksEndsBeforeItBeginsWhereNoneCanBeBroken(t *testing.T) {
	said, err := lacking(t, "hung-disk")
	var known exit
	if !errors.As(err, &known) || known.code != chaos.ExitEnvironment {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"hung-disk breaks disks", "no /dev/no-such-fuse", "modprobe fuse", "raftlab doctor"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if strings.Contains(said, "fault #") {
		t.Errorf("it began:\n%s", said)
	}
	if _, err := lacking(t, "--faults", "disk-hang follower"); !errors.As(err, &known) || known.code != chaos.ExitEnvironment {
		t.Errorf("--faults: %v", err)
	}
}

func TestEverythingSaysThatItLeavesOutDisksWhereNoneCanBeBroken(t *testing.T) {
	said, err := lacking(t, "everything", "--dry-run")
	if err != nil || !strings.Contains(said, "disk-hang") || !strings.Contains(said, "power-cut: docker: disks cannot be broken in containers of this engine") {
		t.Errorf("%v\n%s", err, said)
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "at ") && (strings.Contains(line, "disk-") || strings.Contains(line, "bit-flip") || strings.Contains(line, "power-cut")) {
			t.Errorf("drawn all the same: %s", line)
		}
	}
}

// A process has its disk in common with the machine: filling it is refused, by name too.
func TestTheDiskOfAProcessIsNotFilled(t *testing.T) {
	got := invoke(t, nil, "run", "disk-filled", "--backend", "process")
	if got.code != chaos.ExitEnvironment || !strings.Contains(got.stderr, "fill disks in world process") {
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}
