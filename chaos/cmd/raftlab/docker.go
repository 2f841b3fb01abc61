package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"raftlab/chaos/mutants"
	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/scratch"
	"raftlab/harness/systems/raftkv"
)

func (o *options) inContainers(ctx context.Context, lab *scratch.Dir) (member, error) {
	base, err := o.findImage(ctx, lab.Path())
	if err == nil {
		err = o.needDisks()
	}
	if err != nil {
		return member{}, err
	}
	var discard func() error
	if o.planted != nil {
		if o.image, err = o.mutantImage(ctx, base, lab); err != nil {
			return member{}, err
		}
		discard = func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTimeout)
			defer cancel()
			return docker.RemoveImage(ctx, o.image)
		}
	}
	m := member{system: o.store.open(o.image, ""), discard: discard}
	tested := base
	if o.planted != nil {
		if tested, err = docker.FindImage(ctx, o.image); err != nil {
			return m, environment("%w", err)
		}
	}
	o.tested = map[string]string{"image": o.image, "image_id": tested.ID}
	m.start = func(ctx context.Context, dir *harness.Run, failed func(harness.Cluster)) (world, error) {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		cluster, err := docker.Start(ctx, m.system, docker.Options{Nodes: o.nodes, RunID: dir.ID(), AgentImage: o.agentImage(),
			Disks: o.schedule.BreaksDisks(), DiskSize: o.schedule.DiskSize(), Failed: failed})
		if err != nil {
			return world{}, err
		}
		return world{
			cluster:   cluster,
			leftovers: cluster.Leftovers,
			discard:   func() error { return nil },
		}, nil
	}
	return m, nil
}

// agentImage holds the side-car: the image of a raftd has it, others have not.
func (o *options) agentImage() string {
	if o.store.name == stores[0].name {
		return o.image
	}
	return cmp.Or(os.Getenv("RAFTLAB_IMAGE"), raftkv.DefaultImage)
}

// mutantImage puts the mutant's raftd over the one in the image: everything else stays what it is.
func (o *options) mutantImage(ctx context.Context, base docker.Image, lab *scratch.Dir) (string, error) {
	if len(base.EntryPoint) == 0 {
		return "", environment("image %s has no entry point, so it is not known where its raftd is; run `make image`", o.image)
	}
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		return "", environment("--mutant %s: %w", o.mutant, err)
	}
	built := filepath.Join(lab.Path(), "raftd")
	if err := o.planted.Build(ctx, root, built); err != nil {
		return "", environment("%w", err)
	}
	program, err := os.ReadFile(built)
	if err != nil {
		return "", environment("%w", err)
	}
	// A name of its own: a run must not take the image away from another that goes on beside it.
	tag := fmt.Sprintf("raftlab/node:mutant-%s-%s", o.mutant, filepath.Base(lab.Path()))
	if err := lab.Note(scratch.Elsewhere{Docker: tag}); err != nil {
		return "", environment("%w", err)
	}
	if err := docker.ReplaceFile(ctx, o.image, tag, base.EntryPoint[0], program); err != nil {
		return "", environment("%w", err)
	}
	return tag, nil
}

// sweepDocker removes what runs have left. Without an engine nothing was looked at: what it had may be there again
// when the engine is. What labs have that go on is spared, and named.
func sweepDocker(ctx context.Context, stdout io.Writer) (looked bool, err error) {
	spared := make(map[string]bool)
	var unread error
	removed, err := docker.SweepAllBut(ctx, func() []string {
		inUse, err := scratch.InUse()
		unread = errors.Join(unread, err)
		for _, e := range inUse {
			if e.Docker != "" {
				spared[e.Docker] = true
			}
		}
		return slices.Collect(maps.Keys(spared))
	})
	err = errors.Join(err, unread)
	if errors.Is(err, docker.ErrUnavailable) {
		fmt.Fprintf(stdout, "%s: nothing of Docker's was looked at\n", oneLine(err))
		return false, nil
	}
	for _, what := range removed {
		fmt.Fprintf(stdout, "removed %s\n", what)
	}
	for _, run := range slices.Sorted(maps.Keys(spared)) {
		fmt.Fprintf(stdout, "left alone: %s, of a raftlab that goes on\n", run)
	}
	if err != nil {
		return true, environment("%w", err)
	}
	if len(removed)+len(spared) == 0 {
		fmt.Fprintln(stdout, "no container, network, volume or image of a run was left")
	}
	return true, nil
}
