package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The kernel releases the lock of a lab that is killed: then its sockets are there, and nobody holds the directory.
func TestSweepRemovesTheSocketsOfLabsThatAreGoneAndNoOthers(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	running, err := newSockets()
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newSockets()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed.dir, "n1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, other := filepath.Join(temp, socketsPrefix+"file"), filepath.Join(temp, "other")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(other, 0o700), os.Symlink(other, filepath.Join(temp, socketsPrefix+"link"))); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(); err != nil || len(removed) > 0 {
		t.Errorf("both labs run: removed %v, %v", removed, err)
	}
	if err := killed.held.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(); err != nil || !slices.Equal(removed, []string{killed.dir}) {
		t.Errorf("removed %v, want %s only: %v", removed, killed.dir, err)
	}
	for path, stays := range map[string]bool{running.dir: true, killed.dir: false, file: true, other: true} {
		if _, err := os.Lstat(path); stays == errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: stays is %v, want %v", path, !stays, stays)
		}
	}
	for range 2 { // a cluster may be closed twice
		if err := running.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(running.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lab that ends leaves %s: %v", running.dir, err)
	}
}
