package harness

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inTime fails where something waits for ever, as who opens a named pipe does.
func inTime(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not return", what)
		return nil
	}
}

// A run directory may come from elsewhere, and anything may lie in it.
func TestOnlyAFileThatIsInTheRunIsRead(t *testing.T) {
	t.Chdir(t.TempDir()) // a socket's path must be short
	const dir = "run"
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "nodes"), 0o700), os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600),
		os.WriteFile("secret", []byte("secret"), 0o600), os.Symlink("file", filepath.Join(dir, "inside")), os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		os.Symlink("../secret", filepath.Join(dir, "outside")), os.Symlink("/dev/null", filepath.Join(dir, "null")), os.Symlink("..", filepath.Join(dir, "nodes", "n1")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("pipe", filepath.Join(dir, "to-pipe")))
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for name, want := range map[string]string{
		"file": "", "inside": "", "missing": "no such file", "dangling": "no such file", "outside": "a link out of the run directory", "null": "a link out of the run directory",
		"nodes/n1/file": "", "nodes/n1/../secret": "a link out of the run directory", "../secret": "a link out of the run directory",
		"pipe": "it is no file of a run, but a named pipe; remove it", "to-pipe": "a named pipe", "nodes": "a directory", "socket": "a socket",
	} {
		var text []byte
		err := inTime(t, name, func() (err error) {
			text, err = ReadFile(dir, name)
			return err
		})
		var path *fs.PathError
		switch {
		case want == "" && (err != nil || string(text) != "text"):
			t.Errorf("%s: %q, %v", name, text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &path) || len(text) > 0):
			t.Errorf("%s: %q, %v; want %q", name, text, err, want)
		case want != "" && errors.Is(err, ErrNotFile) == errors.Is(err, fs.ErrNotExist):
			t.Errorf("%s: %v is one of not there and not a file", name, err)
		}
	}
	if err := inTime(t, "a pipe for a run", func() error { _, err := ReadFile(filepath.Join(dir, "pipe"), "file"); return err }); err == nil {
		t.Error("a file was read below a pipe")
	}
}

// What is written takes the place of what is there, whatever that is, and lands nowhere else.
func TestAFileOfARunIsReplacedAndNoLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	run, secret := filepath.Join(dir, "run"), filepath.Join(dir, "secret")
	err := errors.Join(os.Mkdir(run, 0o700), os.WriteFile(secret, []byte("secret"), 0o600), os.Symlink(secret, filepath.Join(run, "a")),
		os.Symlink(secret, filepath.Join(run, "b.new")), syscall.Mkfifo(filepath.Join(run, "c"), 0o600), syscall.Mkfifo(filepath.Join(run, "d.new"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := inTime(t, name, func() error { return ReplaceFile(run, name, []byte(name)) }); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if text, err := ReadFile(run, name); err != nil || string(text) != name {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
}
