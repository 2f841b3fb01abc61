//go:build linux

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/internal/needs"
)

// A program that inherits /dev/fuse keeps the connection alive: when its layer is killed it can never die.
func TestTheProgramDoesNotHoldTheMountItLivesOn(t *testing.T) {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if os.Getuid() != 0 {
		err = errors.Join(err, errors.New("it needs root; run it where raftlab doctor finds that and /dev/fuse"))
	}
	needs.Machine(t, err)
	fuse.Close()
	dir := t.TempDir()
	back, mount := filepath.Join(dir, "back"), filepath.Join(dir, "data")
	for _, d := range []string{back, mount} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exit, err := run([]string{"--back", back, "--mount", mount, "--control", filepath.Join(dir, "control"), "--",
		"/bin/sh", "-c", "ls -l /proc/self/fd > " + filepath.Join(mount, "held")})
	if exit != 0 || err != nil {
		t.Fatalf("exit %d: %v", exit, err)
	}
	found, err := filepath.Glob(filepath.Join(back, "*", "held"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	held, err := os.ReadFile(found[0])
	if err != nil || !strings.Contains(string(held), "held") || strings.Contains(string(held), "fuse") {
		t.Fatalf("%v: %s", err, held)
	}
}
