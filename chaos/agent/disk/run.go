//go:build linux

package disk

import (
	"encoding/json"
	"errors"
	"flag"
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
)

// ErrUnsupported says that no file system can be mounted here: it takes /dev/fuse and CAP_SYS_ADMIN.
var ErrUnsupported = errors.New("disk: a disk cannot be put under a member here")

const usage = "usage: disk --back DIR --mount DIR --control SOCKET [--uid N --gid N] [--forward] -- PROGRAM ARGUMENT..."

// Main is `agent disk` and `agent disk-ask`, for every program that can be the agent. Exit codes: the program's, 3 where
// this machine cannot do it, 64 usage.
func Main(args []string, stdout, stderr io.Writer) int {
	if args[0] == "disk-ask" {
		if len(args) != 3 {
			fmt.Fprintln(stderr, "usage: disk-ask SOCKET JSON")
			return 64
		}
		reply, err := Ask(args[1], []byte(args[2]))
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		fmt.Fprintf(stdout, "%s\n", reply)
		return 0
	}
	exit, err := run(args[1:])
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return exit
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
	var back, mount, control string
	var uid, gid int
	var forward bool
	flags := flag.NewFlagSet("disk", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&back, "back", "", "")
	flags.StringVar(&mount, "mount", "", "")
	flags.StringVar(&control, "control", "", "")
	flags.IntVar(&uid, "uid", -1, "")
	flags.IntVar(&gid, "gid", -1, "")
	flags.BoolVar(&forward, "forward", false, "")
	if err := flags.Parse(args); err != nil || back == "" || mount == "" || control == "" || flags.NArg() == 0 {
		return 64, errors.New(usage)
	}
	runtime.LockOSThread() // the death signal of the child is bound to this thread (golang/go #27505)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)

	d, err := Open(back)
	if err != nil {
		return 1, fmt.Errorf("disk: %w", err)
	}
	server, err := d.mount(mount, uid >= 0)
	if err != nil {
		return 3, fmt.Errorf("%w: mount: %w", ErrUnsupported, err)
	}
	defer server.Unmount()
	if err := closeOnExec(); err != nil {
		return 1, fmt.Errorf("disk: %w", err)
	}
	l := &layer{disk: d, ended: make(chan struct{}), cut: make(chan struct{}),
		program: exec.Command(flags.Arg(0), flags.Args()[1:]...)}
	l.program.Stdin, l.program.Stdout, l.program.Stderr = os.Stdin, os.Stdout, os.Stderr
	l.program.SysProcAttr = attributes(uid, gid)
	os.Remove(control) // of a layer that was killed
	listener, err := net.Listen("unix", control)
	if err != nil {
		return 1, fmt.Errorf("disk: control: %w", err)
	}
	defer listener.Close()
	if err := l.program.Start(); err != nil {
		return 1, fmt.Errorf("disk: start %s: %w", flags.Arg(0), err)
	}
	go l.serve(listener)
	go func() {
		for s := range signals {
			if forward { // elsewhere the whole process group has got it
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

// Request is one line to the control socket: exactly one of these, or none, which reads the counters.
type Request struct {
	Set *Faults   `json:"set,omitempty"`
	Cut *PowerCut `json:"cut,omitempty"`
}

// Reply is the line that comes back.
type Reply struct {
	Counters Counters `json:"counters"`
	Error    string   `json:"error,omitempty"`
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
	var q Request
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
	reply := Reply{Counters: l.disk.Counters()}
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
func (l *layer) cutPower(c PowerCut) error {
	if !l.cutting.TryLock() {
		return errors.New("disk: the program has ended already, or its power was cut")
	}
	if err := l.program.Process.Kill(); err != nil {
		return err
	}
	l.disk.release()
	<-l.ended
	return errors.Join(l.disk.Cut(c), l.disk.Save())
}

// Ask sends one request to a control socket.
func Ask(control string, request []byte) ([]byte, error) {
	conn, err := net.DialTimeout("unix", control, 2*time.Second)
	if err != nil {
		return nil, fmt.Errorf("disk: control: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(append(request, '\n')); err != nil {
		return nil, fmt.Errorf("disk: control: %w", err)
	}
	var reply json.RawMessage
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return nil, fmt.Errorf("disk: control: %w", err)
	}
	return reply, nil
}
