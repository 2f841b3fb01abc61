package process

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
)

// Somebody else may let a process go on that the lab has stopped, and stop it again: its state does not tell, its threads do.
func TestAStoppedProcessHasNoCPU(t *testing.T) {
	parent := newParent()
	defer parent.close()
	// It starts no other: whoever waits for a child that is stopped before it has begun is not called stopped itself.
	p, err := parent.start(harness.Spec{Binary: "/bin/sh", Args: []string{"-c", "while :; do :; done"}}, attributes(), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = p.signal(syscall.SIGKILL)
		<-p.done
	}()
	until := func(what string, done func(harness.Probe) bool) harness.Probe {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if probe, err := p.probe(); err == nil && done(probe) {
				return probe
			}
		}
		t.Fatalf("it never %s", what)
		return harness.Probe{}
	}
	stop := func() harness.Probe {
		t.Helper()
		if err := p.signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return until("stopped", func(now harness.Probe) bool { return now.State == harness.Paused })
	}
	still := stop()
	for range 20 {
		if now, err := p.probe(); err != nil || now.Ran != still.Ran || now.Ran == 0 {
			t.Fatalf("it is stopped, and ran: %+v, %+v, %v", still, now, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until("went on", func(now harness.Probe) bool { return now.Ran > still.Ran })
	if again := stop(); again.Ran <= still.Ran {
		t.Errorf("it has run, and %d is not more than %d", again.Ran, still.Ran)
	}
}
