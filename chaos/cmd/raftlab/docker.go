package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"raftlab/chaos/mutants"
	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/systems/raftkv"
)

const (
	agentPath = "/raftlab-agent" // where the image of a member has the side-car's program
	runLabel  = "raftlab.run"    // what harness/docker puts on everything, and Sweep looks for
)

func (o *options) inContainers(ctx context.Context, scratch string) (member, error) {
	if err := docker.Available(ctx); err != nil {
		return member{}, environment("%w", err)
	}
	e, err := newEngine()
	if err != nil {
		return member{}, environment("%w", err)
	}
	base, err := e.findImage(ctx, o.image)
	if err != nil {
		return member{}, environment("%w", err)
	}
	if o.planted != nil {
		if o.image, err = o.mutantImage(ctx, e, base, scratch); err != nil {
			return member{}, err
		}
	}
	m := member{system: raftkv.New(raftkv.Options{Image: o.image})}
	if o.planted != nil {
		mutant := o.image
		m.discard = func() error { return e.removeImage(context.WithoutCancel(ctx), mutant) }
	}
	m.start = func(ctx context.Context, dir *harness.Run) (world, error) {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		cluster, err := docker.Start(ctx, m.system, docker.Options{Nodes: o.nodes, RunID: dir.ID()})
		if err != nil {
			return world{}, err
		}
		return world{
			cluster:   cluster,
			leftovers: func(ctx context.Context) ([]string, error) { return docker.Sweep(ctx, dir.ID()) },
			discard:   func() error { return nil },
		}, nil
	}
	return m, nil
}

// mutantImage puts the mutant's raftd over the one in the image: everything else stays what it is. Nothing
// is pulled, and the context of the build is a tar in memory.
func (o *options) mutantImage(ctx context.Context, e *dockerEngine, base image, scratch string) (string, error) {
	if len(base.Config.Entrypoint) == 0 {
		return "", environment("image %s has no entry point, so it is not known where its raftd is; run `make image`", o.image)
	}
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		return "", environment("--mutant %s: %w", o.mutant, err)
	}
	built := filepath.Join(scratch, "raftd")
	if err := o.planted.Build(ctx, root, built); err != nil {
		return "", environment("%w", err)
	}
	program, err := os.ReadFile(built)
	if err != nil {
		return "", environment("%w", err)
	}
	recipe := fmt.Sprintf("FROM %s\nCOPY raftd %s\n", o.image, base.Config.Entrypoint[0])
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	for _, file := range []struct {
		name string
		mode int64
		data []byte
	}{{"Dockerfile", 0o644, []byte(recipe)}, {"raftd", 0o755, program}} {
		head := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.data)), ModTime: time.Unix(0, 0)}
		if err := archive.WriteHeader(head); err != nil {
			return "", environment("%w", err)
		}
		if _, err := archive.Write(file.data); err != nil {
			return "", environment("%w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return "", environment("%w", err)
	}
	tag := "raftlab/node:mutant-" + o.mutant
	if err := e.build(ctx, tag, &files); err != nil {
		return "", environment("%w", err)
	}
	return tag, nil
}

// sweepDocker removes what runs have left. Without an engine there is nothing that it could have left running.
func sweepDocker(ctx context.Context, stdout io.Writer) error {
	removed, err := docker.Sweep(ctx, "")
	if errors.Is(err, docker.ErrUnavailable) {
		fmt.Fprintf(stdout, "%s: nothing of Docker's was looked at\n", oneLine(err))
		return nil
	}
	for _, what := range removed {
		fmt.Fprintf(stdout, "removed %s\n", what)
	}
	if err != nil {
		return environment("%w", err)
	}
	if len(removed) == 0 {
		fmt.Fprintln(stdout, "no container, network or volume of a run was left")
	}
	return nil
}
