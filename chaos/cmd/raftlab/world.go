package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/process"
	"raftlab/harness/scratch"
)

const (
	startTimeout   = 60 * time.Second
	collectTimeout = 30 * time.Second // of the logs of a cluster that did not start

	journalName = "faults.jsonl" // in a run directory
)

// member says what will run and where, once it is known that it can.
type member struct {
	system  tested
	start   func(_ context.Context, _ *harness.Run, failed func(harness.Cluster)) (world, error)
	discard func() error // what was made for this run only; nil if nothing was
	lab     *scratch.Dir
}

// note says what the run is about to have outside this process, so that whoever looks for what a killed lab has left finds it.
func (m member) note(dir *harness.Run, backend string) error {
	journal, err := filepath.Abs(dir.Path(journalName))
	if err != nil {
		return err
	}
	e := scratch.Elsewhere{Journal: journal}
	if backend == "docker" {
		e.Docker = dir.ID()
	}
	return m.lab.Note(e)
}

// world is a running cluster and who can say what is left of it.
type world struct {
	cluster   harness.Cluster
	leftovers func(context.Context) ([]string, error)
	discard   func() error // what is kept only of runs that did not pass
}

// choose settles on a backend. Where auto finds no Docker it says so in one line and takes processes; what
// was asked for by name is never replaced by something else.
func (o *options) choose(ctx context.Context, stdout io.Writer) (member, func(), error) {
	if o.backend == "auto" {
		o.backend = "docker"
		if err := docker.Available(ctx); err != nil {
			fmt.Fprintf(stdout, "no containers: %s; running on local processes with a relay per link\n", oneLine(err))
			o.backend = "process"
		}
	}
	if err := sweepGone(ctx, stdout); err != nil {
		fmt.Fprintf(stdout, "not swept: %s\n", oneLine(err))
	}
	lab, err := scratch.Make()
	if err != nil {
		return member{}, nil, environment("%w", err)
	}
	m := member{}
	if o.backend == "docker" {
		m, err = o.inContainers(ctx, lab)
	} else {
		m, err = o.asProcesses(ctx, lab.Path())
	}
	m.lab = lab
	cleanup := func() {
		if m.system != nil {
			m.system.Close()
		}
		if m.discard != nil {
			if err := m.discard(); err != nil {
				fmt.Fprintf(stdout, "left behind: %s\n", oneLine(err))
			}
		}
		if err := lab.Close(); err != nil {
			fmt.Fprintf(stdout, "left behind: %s\n", oneLine(err))
		}
	}
	if err != nil {
		cleanup()
	}
	return m, cleanup, err
}

func (o *options) asProcesses(ctx context.Context, scratch string) (member, error) {
	binary, err := o.findBinary(ctx, scratch)
	if err == nil {
		err = o.needDisks()
	}
	if err != nil {
		return member{}, err
	}
	o.binary = binary
	sum, err := fingerprint(binary)
	if err != nil {
		return member{}, environment("%w", err)
	}
	o.tested = map[string]string{"binary": binary, "sha256": sum}
	m := member{system: o.store.open("", binary)}
	m.start = func(ctx context.Context, dir *harness.Run, failed func(harness.Cluster)) (world, error) {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		data := dir.Path("data") // not nodes/, where the copies of the logs go
		agent, err := o.diskAgent()
		if err != nil {
			return world{}, err
		}
		cluster, err := process.Start(ctx, m.system, process.Options{Nodes: o.nodes, Dir: data, Failed: failed, DiskAgent: agent})
		if err != nil {
			return world{}, err
		}
		return world{
			cluster:   cluster,
			leftovers: cluster.Leftovers,
			discard:   func() error { return os.RemoveAll(data) },
		}, nil
	}
	return m, nil
}
