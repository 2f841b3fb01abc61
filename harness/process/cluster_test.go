package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
)

var kvd, agent string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kvd")
	if err == nil {
		kvd, err = kvdtest.Build(dir, kvdtest.Package)
	}
	if err == nil {
		agent, err = kvdtest.Build(dir, "raftlab/chaos/agent")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startKVD(t *testing.T, nodes int) (*Cluster, *kvdtest.System) {
	t.Helper()
	return startWith(t, Options{Nodes: nodes})
}

func startWith(t *testing.T, o Options) (*Cluster, *kvdtest.System) {
	t.Helper()
	system := &kvdtest.System{Binary: kvd}
	o.Dir = t.TempDir()
	c, err := Start(kvdtest.Deadline(t, 20*time.Second), system, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		system.Close()
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, system
}

func TestProcessesKeepThePromisesOfAWorld(t *testing.T) {
	kvdtest.Conformance(t, func(t *testing.T, nodes int) (kvdtest.World, *kvdtest.System) { return startKVD(t, nodes) })
}

// A paused member can still be killed: Close must not hang on one.
func TestCloseEndsPausedMembers(t *testing.T) {
	c, _ := startKVD(t, 1)
	if err := c.Pause(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	paused, err := c.Probe(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(paused.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("process %d after Close: %v", paused.PID, err)
	}
}

func TestLeftoversAreTheMembersThatHaveNotEnded(t *testing.T) {
	c, _ := startKVD(t, 2)
	if err := c.Kill(t.Context(), "n2", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if left, err := c.Leftovers(t.Context()); err != nil || len(left) != 1 || !strings.HasPrefix(left[0], "n1 (pid ") {
		t.Errorf("before Close: %v, %v", left, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := c.Leftovers(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("after Close: %v, %v", left, err)
	}
}

func TestMemberThatEndsAtOnceIsNamedWithItsLastWords(t *testing.T) {
	system := &kvdtest.System{Binary: kvd}
	defer system.Close()
	_, err := Start(kvdtest.Deadline(t, 20*time.Second), badFlag{system}, Options{Nodes: 2, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "n1 ended with code 2") || !strings.Contains(err.Error(), "flag provided but not defined") {
		t.Fatalf("start: %v", err)
	}
}

type badFlag struct{ *kvdtest.System }

func (s badFlag) Spec(self harness.Place, all []harness.Place) harness.Spec {
	spec := s.System.Spec(self, all)
	spec.Args = append(spec.Args, "--no-such-flag")
	return spec
}

func TestMissingBinaryIsOneSentence(t *testing.T) {
	_, err := Start(t.Context(), &kvdtest.System{Binary: "/no/such/kvd"}, Options{Nodes: 1, Dir: t.TempDir()})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start n1") {
		t.Fatalf("start: %v", err)
	}
}

func eventually(ok func() bool) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return true
		}
		<-time.After(5 * time.Millisecond)
	}
	return false
}
