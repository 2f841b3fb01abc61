// Command agent cuts links inside one container's network namespace. It runs in a side-car that shares
// the namespace of a member and has NET_ADMIN, and everything it does is in one nftables table of its own, so heal
// leaves no trace and touches nothing else. The counters are the kernel's: what they say was dropped was dropped.
//
//	agent wait                          idle until SIGTERM: process 1 of the side-car
//	agent cut --peer IP[/in|/out] ...   drop packets from (in) or to (out) a peer, or both
//	agent shape --peer IP[/in|/out] ... [--loss 0.3] [--delay 50ms] [--jitter 10ms] [--reorder 0.2] [--duplicate 0.1] [--rate 65536]
//	                                    hold packets in user space until stdin ends; a line on it asks what has passed
//	agent counters                      the rules in force and what each has dropped, as JSON
//	agent heal [--peer IP[/in|/out]]... remove the rules for these peers, or the whole table
//	agent check                         can this kernel do all of this here?
//	agent disk FLAGS -- PROGRAM ...     run a member above a disk that can be broken: see the package disk
//	agent disk-ask SOCKET               send lines of requests to such a disk, print its replies
//	agent disk-check DIR                can a disk be mounted here, below this directory?
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/google/nftables"

	"raftlab/chaos/agent/disk"
)

// Exit codes: 0 done, 1 the kernel refused, 3 it cannot do this here, 64 usage.
func main() {
	if disk.Meant(os.Args) {
		os.Exit(disk.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	err := run(os.Args[1:], os.Stdin, os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "agent: %v\n", err)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(64)
	case errors.Is(err, errUnsupported):
		os.Exit(3)
	}
	os.Exit(1)
}

// errUnsupported says that no cut will ever work in this container on this kernel.
var errUnsupported = errors.New("links cannot be cut here")

var errUsage = errors.New("usage: agent wait | cut --peer IP[/in|/out] ... | shape --peer IP[/in|/out] ... | counters | heal [--peer IP[/in|/out]] ... | check")

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	command, args := args[0], args[1:]
	if command == "shape" {
		s, err := parseShape(args)
		if err != nil {
			return err
		}
		return runShape(s, stdin, stdout)
	}
	if command != "cut" && command != "heal" && len(args) > 0 {
		return fmt.Errorf("%s takes no arguments: %w", command, errUsage)
	}
	if command == "wait" {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		return nil
	}
	var drops []Drop
	if command == "cut" || len(args) > 0 {
		var err error
		if drops, err = parseDrops(command, args); err != nil {
			return err
		}
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open netlink: %w", explain(err))
	}
	switch command {
	case "cut":
		return cut(conn, drops)
	case "counters":
		counters, err := readCounters(conn)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(counters)
	case "heal":
		return heal(conn, drops)
	case "check":
		return check(conn)
	}
	return fmt.Errorf("unknown command %q: %w", command, errUsage)
}

// parseDrops reads --peer flags.
func parseDrops(command string, args []string) ([]Drop, error) {
	var drops []Drop
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	peerFlag(flags, &drops)
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", command, err, errUsage)
	}
	if flags.NArg() > 0 || len(drops) == 0 {
		return nil, fmt.Errorf("%s needs --peer and nothing else: %w", command, errUsage)
	}
	return drops, nil
}

// peerFlag adds to drops what --peer names.
func peerFlag(flags *flag.FlagSet, drops *[]Drop) *[]Drop {
	flags.Func("peer", "IP, IP/in or IP/out", func(text string) error {
		ip, direction, _ := strings.Cut(text, "/")
		addr, err := netip.ParseAddr(ip)
		if err != nil || !addr.Is4() {
			return fmt.Errorf("%q is not an IPv4 address", ip)
		}
		switch direction {
		case in, out:
			*drops = append(*drops, Drop{Peer: addr, Direction: direction})
		case "", "both":
			*drops = append(*drops, Drop{Peer: addr, Direction: in}, Drop{Peer: addr, Direction: out})
		default:
			return fmt.Errorf("direction %q is none of in, out and both", direction)
		}
		return nil
	})
	return drops
}
