package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The kernel releases the lock of a lab that is killed: then its directory is there, and nobody holds it.
func TestAbandonedIsWhatLabsHaveLeftThatAreGone(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	running, killed := made(t), made(t)
	noted := []Elsewhere{{Docker: "a-run"}, {Journal: "/somewhere/with\nan odd name"}}
	for _, e := range noted {
		if err := killed.Note(e); err != nil {
			t.Fatal(err)
		}
	}
	torn, err := os.OpenFile(filepath.Join(killed.path, notes), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = torn.WriteString(`{"docker":"half`)
	file, other := filepath.Join(temp, prefix+"file"), filepath.Join(temp, "other")
	if err := errors.Join(err, torn.Close(), os.WriteFile(file, nil, 0o600), os.Mkdir(other, 0o700), os.Symlink(other, filepath.Join(temp, prefix+"link"))); err != nil {
		t.Fatal(err)
	}
	if gone, err := Abandoned(); err != nil || len(gone) > 0 {
		t.Errorf("both labs run: %v, %v", gone, err)
	}
	if err := running.Note(Elsewhere{Docker: "goes on"}); err != nil {
		t.Fatal(err)
	}
	if got, err := InUse(); err != nil || len(got) != 3 || !slices.Contains(got, Elsewhere{Docker: "goes on"}) {
		t.Errorf("both labs run, and have %v elsewhere: %v", got, err)
	}
	if err := killed.Release(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	if got, err := InUse(); err != nil || !slices.Equal(got, []Elsewhere{{Docker: "goes on"}}) {
		t.Errorf("one lab runs, and has %v elsewhere: %v", got, err)
	}
	gone, err := Abandoned()
	if err != nil || len(gone) != 1 || gone[0].Path() != killed.path {
		t.Fatalf("gone is %v, want %s only: %v", gone, killed.path, err)
	}
	if got, err := gone[0].Elsewhere(); err != nil || !slices.Equal(got, noted) {
		t.Errorf("it noted %v, want %v: %v", got, noted, err)
	}
	if again, err := Abandoned(); err != nil || len(again) > 0 {
		t.Errorf("taken twice: %v, %v", again, err)
	}
	for range 2 { // who has it may close it twice
		if err := errors.Join(gone[0].Close(), running.Close()); err != nil {
			t.Error(err)
		}
	}
	for path, stays := range map[string]bool{running.path: false, killed.path: false, file: true, other: true} {
		if _, err := os.Lstat(path); stays == errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: stays is %v, want %v", path, !stays, stays)
		}
	}
}

// Between the making of a directory and its lock, and between the opening of one and its lock, somebody may sweep it.
func TestAHeldDirectoryIsThere(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := filepath.Join(os.TempDir(), prefix+"1")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	sweeping := make(chan struct{})
	go func() {
		defer close(sweeping)
		for range 2000 {
			gone, _ := Abandoned()
			for _, d := range gone {
				d.Close()
			}
		}
	}()
	for range 200 {
		d, err := Make()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Note(Elsewhere{Docker: "x"}); err != nil {
			t.Fatalf("%s is held, and not there: %v", d.path, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	<-sweeping
}

func made(t *testing.T) *Dir {
	t.Helper()
	d, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
