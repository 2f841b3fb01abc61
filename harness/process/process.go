package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"raftlab/harness"
)

// parent starts all processes from one operating-system thread that lives as long as they do: Linux sends the
// death signal when the thread that started a child ends, not the process (golang/go #27505).
type parent struct {
	requests chan func()
	done     chan struct{}
	once     sync.Once
}

func newParent() *parent {
	p := &parent{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		for request := range p.requests {
			request()
		}
	}()
	return p
}

// close ends the thread; every child must have ended before.
func (p *parent) close() {
	p.once.Do(func() { close(p.requests) })
	<-p.done
}

// process is one run of a member's binary.
type process struct {
	pid  int
	mark string        // in the environment of all its processes
	done chan struct{} // closed when it has ended and exit is set
	exit int
}

// markOf is what all processes of a member have in their environment: its log is no other's.
func markOf(log string) string { return "RAFTLAB_MEMBER=" + log }

// start runs the binary in a process group of its own, with its output appended to the log.
func (p *parent) start(spec harness.Spec, attr *syscall.SysProcAttr, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(spec.Binary, spec.Args...)
	mark := markOf(log)
	cmd.Env = append(append(os.Environ(), spec.Env...), mark)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = attr
	started := make(chan error)
	p.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	proc := &process{pid: cmd.Process.Pid, mark: mark, done: make(chan struct{})}
	go func() {
		proc.exit = exitCode(cmd.Wait(), cmd.ProcessState)
		close(proc.done)
	}()
	return proc, nil
}

func exitCode(err error, state *os.ProcessState) int {
	if state == nil {
		return -1
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if err != nil && state.ExitCode() == 0 {
		return -1
	}
	return state.ExitCode()
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process: %d has not ended: %w", p.pid, context.Cause(ctx))
	}
}

// signal goes to the whole group, so that a member's own children cannot outlive it.
func (p *process) signal(signal syscall.Signal) error {
	if p.ended() {
		return fmt.Errorf("send %s: process %d has ended", signal, p.pid)
	}
	if err := syscall.Kill(-p.pid, signal); err != nil {
		return fmt.Errorf("send %s to process group %d: %w", signal, p.pid, err)
	}
	return nil
}

// freePorts finds ports below the range from which the kernel gives ports to outgoing connections: one of
// those could take a member's port while the member is down.
func freePorts(n int) ([]int, error) {
	const low, high = 12000, 32000
	var (
		ports []int
		held  []net.Listener // all at once, so that none is found twice
	)
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("process: found %d free ports of %d between %d and %d on 127.0.0.1", len(ports), n, low, high)
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(b))
	if len(text) > 500 {
		text = "..." + text[len(text)-500:]
	}
	if text == "" {
		return "it wrote nothing"
	}
	return text
}
