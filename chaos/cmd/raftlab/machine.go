package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"raftlab/chaos"
	"raftlab/harness/docker"
)

// memoryMin is what five members, their clients and both checkers need together, with room.
const memoryMin = 1 << 30

// machine says whether there is enough to run on. Too little of it makes elections, and shows as a store that fails.
func machine() finding {
	f := finding{check: "CPUs and memory", effect: "enough for five members"}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		f.found = err.Error()
		return f
	}
	available := available(uint64(info.Freeram) * uint64(info.Unit))
	f.found = fmt.Sprintf("%s, %.1f GiB available", chaos.Counted(runtime.NumCPU(), "CPU"), float64(available)/(1<<30))
	switch {
	case available < memoryMin:
		f.effect, f.mend = "members may be killed by the kernel", "close something, or --nodes 3 with fewer --clients"
	case runtime.NumCPU() < 2:
		f.effect, f.mend = "heartbeats come late, so there are elections of themselves", "--nodes 3 and --rate 50, and nothing else running"
	}
	return f
}

// available is what programs can have; what is free is less, for the kernel caches files in the rest.
func available(free uint64) uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return free
	}
	for line := range strings.Lines(string(text)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return free
}

// queue looks for NFQUEUE, by which packets are delayed and reordered in user space where the kernel has no netem.
func queue() finding {
	f := finding{check: "NFQUEUE", effect: "packets can be delayed, reordered and doubled without netem"}
	if _, err := os.Stat("/proc/net/netfilter/nfnetlink_queue"); err == nil {
		f.found = "loaded"
		return f
	}
	if found := moduleIs("nfnetlink_queue"); found != "" {
		f.found = found
		return f
	}
	f.found, f.effect = "not found", "link faults need netem then"
	f.mend = "a kernel with CONFIG_NETFILTER_NETLINK_QUEUE, or netem; modprobe nfnetlink_queue"
	return f
}

// moduleIs says where the kernel has a module, or nothing.
func moduleIs(name string) string {
	loaded, _ := os.ReadFile("/proc/modules")
	if bytes.Contains(append([]byte("\n"), loaded...), []byte("\n"+name+" ")) {
		return "loaded"
	}
	for list, found := range map[string]string{"modules.dep": "available", "modules.builtin": "built in"} {
		text, err := os.ReadFile("/lib/modules/" + release() + "/" + list)
		if err == nil && bytes.Contains(text, []byte("/"+name+".ko")) {
			return found
		}
	}
	return ""
}

func release() string {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(uts.Release[:])
}

// leftovers are what runs that were cut short have left: containers, and faults that nobody healed.
func leftovers(ctx context.Context, out string) finding {
	f := finding{check: "leftovers", found: "none", effect: "nothing disturbs the next run"}
	var found []string
	left, err := docker.Left(ctx)
	if err != nil && !errors.Is(err, docker.ErrUnavailable) {
		found = append(found, oneLine(err))
	}
	if len(left) > 0 {
		found = append(found, fmt.Sprintf("%s of runs, the first: %s", chaos.Counted(len(left), "thing"), left[0]))
	}
	journals, _ := filepath.Glob(filepath.Join(out, "2*", journalName))
	open := 0
	for _, path := range journals {
		if entries, err := chaos.Unfinished(path); err == nil {
			open += len(entries)
		}
	}
	if open > 0 {
		found = append(found, chaos.Counted(open, "fault")+" without a heal in "+out)
	}
	if len(found) > 0 {
		f.found, f.effect = strings.Join(found, "; "), "a run goes on, or one was cut short"
		f.mend = "raftlab clean"
	}
	return f
}
