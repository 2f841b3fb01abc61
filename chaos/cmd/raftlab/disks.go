package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/process"
	"raftlab/harness/scratch"
)

const diskCheckTimeout = 20 * time.Second

// processes and containers are clusters that do not run yet. What they could do to disks is found out when somebody asks.
type (
	processes struct {
		*process.Cluster
		disks func() error
	}
	containers struct {
		*docker.Cluster
		disks func() error
	}
)

func (p processes) Disks() error  { return p.disks() }
func (c containers) Disks() error { return c.disks() }

// inProcesses says whether the members will be processes, as far as it is known before the start.
func (o *options) inProcesses() bool {
	return o.backend == "process" || o.backend == "auto" && docker.Available(context.Background()) != nil
}

// kind is a cluster of the backend that does not run, to ask what it could do.
func (o *options) kind() harness.Cluster {
	if o.inProcesses() {
		return processes{&process.Cluster{}, o.disks}
	}
	return containers{&docker.Cluster{}, o.disks}
}

// checkDisks mounts one where the members will run. It is asked once for a run, by way of o.disks.
func (o *options) checkDisks() error {
	ctx, cancel := context.WithTimeout(context.Background(), diskCheckTimeout)
	defer cancel()
	if !o.inProcesses() {
		lab, err := scratch.Make() // so that the next run finds the container, should this process be killed
		if err != nil {
			return err
		}
		defer lab.Close()
		id := fmt.Sprintf("check-%d", os.Getpid())
		if err := lab.Note(scratch.Elsewhere{Docker: id}); err != nil {
			return err
		}
		return docker.CheckDisks(ctx, docker.Options{RunID: id, AgentImage: o.agentImage(), FuseDevice: o.fuse})
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return process.CheckDisks(ctx, []string{self})
}

// needDisks ends a run before anything is started where its schedule breaks disks as they cannot be broken here.
func (o *options) needDisks() error {
	for _, e := range o.schedule.Events {
		if !e.Fault.BreaksDisk() {
			continue
		}
		if err := e.Fault.Able(o.kind()); err != nil {
			return environment("%s breaks disks (%s): %w; raftlab doctor says what each world can do", o.scenario, e.Fault, err)
		}
	}
	return nil
}

// diskAgent is this program as the agent that puts a disk under each member, where the schedule breaks disks.
func (o *options) diskAgent() ([]string, error) {
	if !o.schedule.BreaksDisks() {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, environment("disks cannot be broken: %w", err)
	}
	return []string{self}, nil
}
