package process

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"raftlab/harness"
)

// A member whose server is a daemon goes on when the lab kills what it has started. That is no crash, and something left behind.
func TestAMemberWhoseDaemonGoesOnIsNotDead(t *testing.T) {
	dir := t.TempDir()
	parent := newParent()
	defer parent.close()
	log, ready := filepath.Join(dir, "log"), filepath.Join(dir, "ready")
	p, err := parent.start(harness.Spec{Binary: "/bin/sh", Args: []string{"-c", "setsid sh -c 'echo > " + ready + "; sleep 100' & wait"}}, attributes(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer outlivers(p.mark)
	if !eventually(func() bool { _, err = os.Stat(ready); return err == nil }) {
		t.Fatal(err)
	}
	if probe, err := p.probe(); err != nil || probe.State != harness.Running {
		t.Errorf("nothing was done to it: %+v, %v", probe, err)
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if _, err := p.probe(); err == nil || !strings.Contains(err.Error(), "it is exited, and process ") {
		t.Errorf("its daemon goes on: %v", err)
	}
	if left := outlivers(p.mark); len(left) == 0 {
		t.Error("nothing was left behind")
	}
	if left := outlivers(p.mark); len(left) != 0 {
		t.Errorf("%v outlives SIGKILL", left)
	}
	if probe, err := p.probe(); err != nil || probe.State != harness.Exited {
		t.Errorf("all of it has ended: %+v, %v", probe, err)
	}
}
