// Raftbench says how fast raftd is beside etcd, over HTTP and over gRPC, and beside an HTTP handler that stores
// nothing, on the same cores at the same time. It runs three members of each on loopback and on disk, loads one
// after the other, again and again, and prints medians and the ratios of neighbours. See README.md.
//
// It is a module of its own, so that nobody else carries etcd's dependencies, and one binary: its subcommands
// are the processes that it starts. It needs Linux, for /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// All children are started by the main thread and must not outlive it: the kernel kills them when the thread
// that started them ends (prctl(2), PR_SET_PDEATHSIG), so the main goroutine stays on it.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := dispatch(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	switch name {
	case "load":
		return runLoad(ctx, os.Stdin, os.Stdout)
	case "soak":
		return runSoak(ctx, args[1:], os.Stdout, os.Stderr)
	case "bare":
		listen := f.String("listen", "127.0.0.1:0", "address")
		value := f.Int("value", 256, "bytes of a value")
		if err := f.Parse(args[1:]); err != nil {
			return err
		}
		return serveBare(ctx, *listen, *value)
	case "etcd":
		var m etcdMember
		f.StringVar(&m.name, "name", "", "of this member")
		f.StringVar(&m.data, "data", "", "directory")
		f.StringVar(&m.client, "client", "", "address for clients")
		f.StringVar(&m.peer, "peer", "", "address for members")
		f.StringVar(&m.cluster, "cluster", "", "name=url of all members, with commas between")
		if err := f.Parse(args[1:]); err != nil {
			return err
		}
		return serveEtcd(ctx, m)
	}
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	return compare(ctx, o, os.Stdout, os.Stderr)
}
