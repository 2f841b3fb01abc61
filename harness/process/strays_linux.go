package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"raftlab/harness"
)

// marked are the processes that were started with a mark in their environment, or by such processes, which inherit it.
func marked(mark string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		environ, err := os.ReadFile(path) // not of another user; empty of one that has ended
		if err != nil || !bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+mark+"\x00")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// probe is state, and an error where the member has a process that no signal to its group reaches: who is killed or stopped then
// goes on all the same.
func (p *process) probe() (harness.Probe, error) {
	probe, err := p.state()
	if err != nil || probe.State == harness.Running {
		return probe, err
	}
	for _, pid := range marked(p.mark) {
		if group, err := syscall.Getpgid(pid); err == nil && group != p.pid {
			return harness.Probe{}, fmt.Errorf("process: it is %s, and process %d, which it started in a group of its own, is not", probe.State, pid)
		}
	}
	return probe, nil
}

// outlivers are the processes of a member that has ended. Those of its group need a moment; others are killed.
func outlivers(mark string) (pids []int) {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if pids = marked(mark); len(pids) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return pids
}
