package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"raftlab/chaos"
	"raftlab/harness/process"
)

const doctorTimeout = 30 * time.Second

// finding is one line of the doctor's table.
type finding struct {
	check  string
	found  string
	effect string // what follows for runs
	mend   string // empty where nothing is wrong
	fatal  bool   // no containers can be run
}

func doctorCommand(stdout io.Writer) *cobra.Command {
	var image, out string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What this machine can run, and how to mend what it cannot",
		Long:  "Prints what was found, what follows from it, and how to mend it. Exit code 3 where containers cannot be run.",
		Args:  noWords,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := context.WithTimeout(context.Background(), doctorTimeout)
			defer cancel()
			return diagnose(ctx, stdout, image, out)
		},
	}
	c.Flags().StringVar(&image, "image", defaultImage, "image of a member")
	c.Flags().StringVar(&out, "out", "runs", "directory in which run directories are made")
	return c
}

func diagnose(ctx context.Context, stdout io.Writer, image, out string) error {
	host := inContainer() // before harness/docker sets the environment for testcontainers
	findings := append(engine(ctx, image), kernel(), queue(), disksOfProcesses(ctx), host, machine(), disk(out), leftovers(ctx, out))
	rows := [][]string{{"CHECK", "FOUND", "WHAT FOLLOWS", "HOW TO MEND"}}
	code := chaos.ExitPass
	for _, f := range findings {
		if f.mend == "" {
			f.mend = "-"
		}
		rows = append(rows, []string{f.check, f.found, f.effect, f.mend})
		if f.fatal {
			code = chaos.ExitEnvironment
		}
	}
	if err := printTable(stdout, rows); err != nil {
		return err
	}
	if code != chaos.ExitPass {
		fmt.Fprintln(stdout, "containers cannot be run as things are; `raftlab run --backend process` needs none of it")
		return exit{code: code}
	}
	return nil
}

// kernel looks for netem, which delays and reorders packets.
func kernel() finding {
	f := finding{check: "netem", effect: "packets can be delayed in the kernel"}
	if found := moduleIs("sch_netem"); found != "" {
		f.found = found + ", kernel " + release()
		return f
	}
	f.found, f.effect = "not found, kernel "+release(), "packets are delayed in user space: NFQUEUE, or a relay"
	return f
}

// disksOfProcesses mounts a disk as a run on local processes does.
func disksOfProcesses(ctx context.Context) finding {
	f := finding{check: "disks of processes", found: "work", effect: "disk faults can be had without containers"}
	self, err := os.Executable()
	if err == nil {
		err = process.CheckDisks(ctx, []string{self})
	}
	if err != nil {
		f.found, f.effect = oneLine(err), "runs on processes that break disks end with 3"
		f.mend = "modprobe fuse, and root or user namespaces"
	}
	return f
}

// inContainer notes what misleads testcontainers: where /.dockerenv exists it takes the gateway of the bridge
// for the host, although the engine may be local.
func inContainer() finding {
	f := finding{check: "/.dockerenv", found: "absent", effect: "testcontainers finds the host by itself"}
	if _, err := os.Stat("/.dockerenv"); err != nil {
		return f
	}
	f.found, f.effect = "present", "testcontainers would take the bridge's gateway for the host"
	const override = "TESTCONTAINERS_HOST_OVERRIDE"
	if host := os.Getenv(override); host != "" {
		f.effect += fmt.Sprintf("; %s=%s is set", override, host)
		return f
	}
	f.mend = fmt.Sprintf("for other programs than raftlab set %s to localhost", override)
	return f
}

// diskMin is what a few runs with their logs and data need.
const diskMin = 1 << 30

func disk(out string) finding {
	f := finding{check: "free disk", effect: "enough for many runs"}
	at := out
	var stat unix.Statfs_t
	for unix.Statfs(at, &stat) != nil {
		if at == "." {
			f.found, f.effect = "unknown", "a full disk ends a run"
			return f
		}
		at = "."
	}
	free := stat.Bavail * uint64(stat.Bsize)
	f.found = fmt.Sprintf("%.1f GiB", float64(free)/(1<<30))
	if free < diskMin {
		f.effect, f.mend = "a run may end with a full disk", fmt.Sprintf("free space, or use --out on another disk; old runs are below %s", strings.TrimSuffix(out, "/"))
	}
	return f
}
