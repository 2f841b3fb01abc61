package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a child that does not outlive us, however we end: it is killed with its group, and by the kernel
// if we are killed ourselves.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

func child(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	// Its own group, so that Ctrl-C reaches us alone. Pdeathsig follows the thread that starts it: see main.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// start starts a server whose output goes to a file in dir. It ends with ctx at the latest.
func start(ctx context.Context, dir, name, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: child(ctx, path, args...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	return p, nil
}

// ended is why the process is no longer there, with the end of its log; nil while it runs.
func (p *process) ended() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	log, _ := os.ReadFile(p.log)
	return fmt.Errorf("bench: %s ended: %v\n%s", p.name, p.cmd.ProcessState, bytes.TrimSpace(log[max(0, len(log)-2000):]))
}

// kill does not return before the process has ended. Its data is about to be deleted: there is nothing to save.
func (p *process) kill() {
	if p.ended() == nil {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.done
}

// freeAddresses are n loopback addresses that nobody listened on a moment ago.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are known, so that none comes twice
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}

// until asks again and again until there is no error, or the process that is asked has ended.
func until(ctx context.Context, limit time.Duration, p *process, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("bench: %s is not ready: %w", p.name, ctx.Err()), last)
		case <-p.done:
			return p.ended()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
