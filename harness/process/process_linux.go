package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"raftlab/harness"
)

// supported says whether this system has what the package needs.
func supported() error { return nil }

// attributes make the member the head of a process group that the kernel kills when the lab ends, however it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// inOwnMounts gives the member a mount namespace: what it mounts is gone when its last process is. Who is not root needs a
// user namespace too.
func inOwnMounts(a *syscall.SysProcAttr) {
	a.Unshareflags |= syscall.CLONE_NEWNS
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
}

// state reads /proc/<pid>/stat (proc(5)): the third field is the state, the 22nd the start time in ticks since boot.
func (p *process) state() (harness.Probe, error) {
	if p.ended() {
		return harness.Probe{State: harness.Exited, Exit: p.exit}, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		<-p.done // it has ended since we looked
		return harness.Probe{State: harness.Exited, Exit: p.exit}, nil
	}
	if err != nil {
		return harness.Probe{}, fmt.Errorf("process: probe: %w", err)
	}
	// The second field is the program's name in brackets and may itself hold spaces and brackets.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return harness.Probe{}, fmt.Errorf("process: probe: cannot read %q", stat)
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return harness.Probe{}, fmt.Errorf("process: probe: start time: %w", err)
	}
	probe := harness.Probe{State: harness.Running, PID: p.pid, Started: bootTime().Add(time.Duration(ticks) * (time.Second / ticksPerSecond))}
	probe.Ran = ran(p.pid)
	switch fields[0] {
	case "T", "t":
		probe.State = harness.Paused
	case "Z", "X", "x":
		<-p.done
		return harness.Probe{State: harness.Exited, Exit: p.exit}, nil
	}
	return probe, nil
}

// ran adds up the context switches of all threads (proc(5), status). It is zero where they cannot be read, or end meanwhile.
func ran(pid int) (times uint64) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0
	}
	for _, thread := range threads {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, thread.Name()))
		if err != nil {
			return 0
		}
		for line := range strings.Lines(string(status)) {
			if name, count, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "ctxt_switches") {
				n, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
				times += n
			}
		}
	}
	return times
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// bootTime is read once, so that the start time of one process is the same at every probe.
var bootTime = sync.OnceValue(func() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Unix(0, 0) // start times are then counted from 1970: still different for different processes
	}
	return time.Now().Add(-time.Duration(up.Nano())).Round(0)
})
