//go:build linux

package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program that inherits /dev/fuse keeps the connection alive: when its layer is killed it can never die.
func TestTheProgramDoesNotHoldTheMountItLivesOn(t *testing.T) {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil || os.Getuid() != 0 {
		t.Skipf("needs root and /dev/fuse (%v); run it where raftlab doctor finds both", err)
	}
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
