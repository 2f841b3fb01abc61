package process

import (
	"path/filepath"
	"syscall"
	"testing"

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
	until := func(what string, done func(harness.Probe) bool) (probe harness.Probe) {
		t.Helper()
		if !eventually(func() bool {
			probe, err = p.probe()
			return err == nil && done(probe)
		}) {
			t.Fatalf("it never %s: %+v, %v", what, probe, err)
		}
		return probe
	}
	stop := func() harness.Probe {
		t.Helper()
		if err := p.signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return until("stopped", func(now harness.Probe) bool { return now.State == harness.Paused })
	}
	still := stop()
	for range 20 { // each goes through /proc, some milliseconds: one that runs would be seen
		if now, err := p.probe(); err != nil || now.Ran != still.Ran || now.Ran == 0 {
			t.Fatalf("it is stopped, and ran: %+v, %+v, %v", still, now, err)
		}
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until("went on", func(now harness.Probe) bool { return now.Ran > still.Ran })
	if again := stop(); again.Ran <= still.Ran {
		t.Errorf("it has run, and %d is not more than %d", again.Ran, still.Ran)
	}
}
