package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The processes of a run are this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := dispatch(context.Background(), os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// onDisk is a directory for data; the usual temporary one may be in memory.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func buildRaftd(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raftd")
	build := exec.Command("go", "build", "-o", path, "./node/cmd/raftd")
	build.Dir = filepath.Join("..", "..") // another module: a binary is all that we have in common
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// nothingLeft fails if a file or a process of the run is still there.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in %s: %v %v", dir, entries, err)
	}
	absolute, _ := filepath.Abs(dir)
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, _ := os.ReadFile(file); bytes.Contains(line, []byte(absolute)) {
			t.Errorf("still runs: %s %q", file, line)
		}
	}
}

func TestARunMeasuresEverySystemAndLeavesNothing(t *testing.T) {
	runtime.LockOSThread() // for Pdeathsig, as in main
	dir := onDisk(t)
	o, err := parseOptions([]string{"-raftd", buildRaftd(t), "-dir", dir, "-conns", "1,5", "-reps", "2",
		"-time", "100ms", "-warmup", "20ms", "-pause", "0s", "-keys", "100", "-verify", "20"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := compare(t.Context(), o, &out, &progress); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &progress, &out)
	}
	for _, want := range []string{"| PUT | 1 | raftd |", "| GET | 5 | raftd |", "| PUT | 5 | etcd-http |", "| GET | 1 | etcd-grpc |", "| GET | 5 | bare |",
		" / etcd-http | / etcd-grpc | / bare |", " 0 failed.", " 0 held another value", "measured: 32 of 32", "Repeat: `"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	nothingLeft(t, dir)
}

// stopAt calls stop at the first line that holds a word.
type stopAt struct {
	word string
	stop func()
}

func (s stopAt) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(s.word)) {
		s.stop()
	}
	return len(b), nil
}

func TestAnInterruptedRunLeavesNothing(t *testing.T) {
	runtime.LockOSThread()
	dir := onDisk(t)
	o, err := parseOptions([]string{"-systems", "etcd-http,bare", "-dir", dir, "-conns", "1", "-time", "100ms", "-keys", "100"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := compare(ctx, o, &out, stopAt{"etcd-http", cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "measured: 1 of 20") {
		t.Errorf("what had been measured should be told, and was %q", &out)
	}
	nothingLeft(t, dir)
}

func TestAServerThatEndsIsToldWithItsLog(t *testing.T) {
	runtime.LockOSThread()
	dir := onDisk(t)
	o, err := parseOptions([]string{"-raftd", "/bin/false", "-systems", "raftd", "-dir", dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(t.Context(), o, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "raftd-1 ended: exit status 1") {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
}

func TestOptionsThatCannotBeUsedAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"":                                        "-raftd",
		"-systems redis":                          "redis",
		"-systems bare,bare":                      "bare,bare",
		"-systems bare -ops delete":               "delete",
		"-systems bare -conns 0":                  "-conns",
		"-systems bare -conns 1;2":                "-conns",
		"-systems bare -keys 100":                 "-keys",
		"-systems bare -value 8":                  "-value",
		"-systems bare -reps 0":                   "-reps",
		"-systems bare now":                       "now",
		"-raftd /nowhere/raftd":                   "/nowhere/raftd",
		"-raftd /bin/true -raftd /bin/true":       "two",
		"-raftd bare=/bin/true":                   "bare",
		"-raftd a=/bin/true -raftd a=/bin/true":   "two",
		"-raftd old=/bin/true -raftd /bin/true a": "unexpected",
	} {
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and should name %s", args, err, want)
		}
	}
	o, err := parseOptions(strings.Fields("-systems bare -quick -reps 7"), io.Discard)
	if err != nil || o.reps != 7 || len(o.connections) != 2 || o.measure != 700*time.Millisecond {
		t.Errorf("%+v %v", o, err)
	}
}

func TestTheCommandCanBePasted(t *testing.T) {
	got := commandLine([]string{"-dir", "a b", "-type", "it's", ""})
	if !strings.HasSuffix(got, ` -dir 'a b' -type 'it'\''s' ''`) {
		t.Error(got)
	}
}
