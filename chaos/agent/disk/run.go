//go:build linux

package disk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"raftlab/harness/diskfault"
)

// ErrUnsupported says that no file system can be mounted here: it takes /dev/fuse and CAP_SYS_ADMIN.
var ErrUnsupported = errors.New("disk: a disk cannot be put under a member here")

// Main is `agent disk`, `agent disk-ask` and `agent disk-check`, for every program that can be the agent. Exit codes: the program's, 3 where this machine cannot do it, 64 usage.
func Main(args []string, stdout, stderr io.Writer) int {
	var exit int
	var err error
	switch args[0] {
	case "disk-ask":
		exit, err = ask(args[1:], os.Stdin, stdout)
	case "disk-check":
		if exit, err = 64, errors.New("usage: disk-check DIR"); len(args) == 2 {
			err = Check(args[1])
			exit = exitOf(err)
		}
	default:
		exit, err = run(args[1:])
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return exit
}

// ask sends each line of the standard input to a disk, and prints its reply.
func ask(args []string, stdin io.Reader, stdout io.Writer) (exit int, err error) {
	if len(args) != 1 {
		return 64, errors.New("usage: disk-ask SOCKET, with lines such as " + `{"set":{"full":true}}` + " or {} on the standard input")
	}
	answer := json.NewEncoder(stdout)
	if err := answer.Encode("ready"); err != nil {
		return 1, err
	}
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		var q diskfault.Request
		var reply diskfault.Reply
		err := json.Unmarshal(lines.Bytes(), &q)
		if err == nil {
			reply.Counters, err = diskfault.Ask(context.Background(), args[0], q)
		}
		if err != nil {
			reply.Error = err.Error()
		}
		if err := answer.Encode(reply); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

// layer is one member above its disk.
type layer struct {
	disk    *Disk
	program *exec.Cmd
	ended   chan struct{} // the program has
	cutting sync.Mutex    // held for good by the power cut, if there is one
	cut     chan struct{} // closed when a power cut is done
}

// run mounts the disk, runs a program above it, and returns the program's exit code, or that of a power cut (137). The
// program ends when this thread does, however that ends.
func run(args []string) (exit int, err error) {
	o, err := parse(args)
	if err != nil {
		return 64, err
	}
	runtime.LockOSThread() // the death signal of the child is bound to this thread (golang/go #27505)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)

	d, err := o.open()
	if err != nil {
		return 1, fmt.Errorf("disk: %w", err)
	}
	server, err := d.mount(o.mount, o.user != "")
	if err != nil {
		return diskfault.ExitUnsupported, explain(err)
	}
	defer server.Unmount()
	if err := closeOnExec(); err != nil {
		return 1, fmt.Errorf("disk: %w", err)
	}
	l := &layer{disk: d, ended: make(chan struct{}), cut: make(chan struct{}), program: exec.Command(o.program[0], o.program[1:]...)}
	l.program.Stdin, l.program.Stdout, l.program.Stderr = os.Stdin, os.Stdout, os.Stderr
	l.program.SysProcAttr = attributes(o.uid, o.gid)
	os.Remove(o.control) // of a layer that was killed
	listener, err := net.Listen("unix", o.control)
	if err != nil {
		return 1, fmt.Errorf("disk: control: %w", err)
	}
	defer listener.Close()
	if err := l.program.Start(); err != nil {
		return 1, fmt.Errorf("disk: start %s: %w", o.program[0], err)
	}
	go l.serve(listener)
	go func() {
		for s := range signals {
			if o.forward { // elsewhere the whole process group has got it
				_ = l.program.Process.Signal(s)
			}
		}
	}()
	exit = exitCode(l.program.Wait(), l.program.ProcessState)
	close(l.ended)
	if !l.cutting.TryLock() {
		<-l.cut
		return 137, nil
	}
	d.release()
	return exit, d.Save()
}

func exitCode(err error, state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if err != nil && state.ExitCode() == 0 {
		return 1
	}
	return state.ExitCode()
}

func (l *layer) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go l.answer(conn)
	}
}

func (l *layer) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	var q diskfault.Request
	err := json.NewDecoder(conn).Decode(&q)
	switch {
	case err != nil:
	case q.Set != nil:
		err = l.disk.Set(*q.Set)
	case q.Cut != nil:
		if err = l.cutPower(*q.Cut); err == nil {
			defer close(l.cut)
		}
	}
	reply := diskfault.Reply{Counters: l.disk.Counters()}
	if err != nil {
		reply.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(reply)
	if q.Cut != nil { // who asks through an exec in this container ends with it: let it read first
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Read(make([]byte, 1))
	}
}

// cutPower ends the program, and then lets the disk forget. In this order: what is answered after the signal was sent no
// longer reaches it.
func (l *layer) cutPower(c diskfault.PowerCut) error {
	if !l.cutting.TryLock() {
		return errors.New("disk: the program has ended already, or its power was cut")
	}
	if c.Gather > 0 {
		l.disk.Slow(c.Gather / 2)
		l.wait(c.Gather)
		l.disk.Slow(0)
	}
	if c.WriteBack || c.Hold > 0 {
		if err := l.disk.Stall(c.WriteBack); err != nil {
			return err
		}
		l.wait(c.Hold)
	}
	if err := l.program.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	l.disk.release()
	<-l.ended
	return errors.Join(l.disk.Cut(c), l.disk.Save())
}

// wait lets the program run on for d, if it does.
func (l *layer) wait(d time.Duration) {
	select {
	case <-l.ended:
	case <-time.After(d):
	}
}
