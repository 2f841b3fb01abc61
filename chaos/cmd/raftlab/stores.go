package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"raftlab/chaos/mutants"
	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/systems/etcd"
	"raftlab/harness/systems/pyraft"
	"raftlab/harness/systems/raftkv"
	"raftlab/internal/nearest"
)

// store is what --system names: an adapter, and where its program comes from.
type store struct {
	name  string
	image string // default
	// program is the name of the binary beside raftlab; pkg is where it is built from, in the module at dir below the
	// source of raftlab. Without pkg the program must be given.
	program, dir, pkg string
	open              func(image, binary string) tested
}

// tested is an adapter that keeps connections.
type tested interface {
	harness.System
	Close()
}

var stores = []store{
	{"raftkv", raftkv.DefaultImage, "raftd", ".", raftdPackage,
		func(image, binary string) tested { return raftkv.New(raftkv.Options{Image: image, Binary: binary}) }},
	{"etcd", etcd.DefaultImage, "etcd", etcdModule, ".",
		func(image, binary string) tested { return etcd.New(etcd.Options{Image: image, Binary: binary}) }},
	{"etcd-serializable", etcd.DefaultImage, "etcd", etcdModule, ".", func(image, binary string) tested {
		return etcd.New(etcd.Options{Image: image, Binary: binary, Serializable: true})
	}},
	{"pyraft", "", "", "", "",
		func(image, binary string) tested { return pyraft.New(pyraft.Options{Image: image, Binary: binary}) }},
}

const etcdModule = "harness/systems/etcd/server"

func storeNames() []string {
	var names []string
	for _, s := range stores {
		names = append(names, s.name)
	}
	return names
}

func findStore(name string) (store, error) {
	i := slices.IndexFunc(stores, func(s store) bool { return s.name == name })
	if i < 0 {
		return store{}, usage("--system %q is not known; %s", name,
			nearest.Hint(name, storeNames(), "use "+strings.Join(storeNames(), ", ")+", or write an adapter (harness/GUIDE.md)"))
	}
	return stores[i], nil
}

// compile builds the store's program in scratch.
func (s store) compile(ctx context.Context, scratch string) (string, error) {
	if s.pkg == "" {
		return "", usage("--system %s wants --image or --binary: raftlab has no program of it", s.name)
	}
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		return "", environment("no %s to run: there is none beside raftlab, and %w, or give --binary", s.program, err)
	}
	built := filepath.Join(scratch, s.program)
	if err := mutants.GoBuild(ctx, filepath.Join(root, s.dir), built, s.pkg); err != nil {
		return "", environment("%w", err)
	}
	return built, nil
}

// findImage looks for the image on the engine. One of a store that is not ours is made where it is missing: a static
// program and nothing else.
func (o *options) findImage(ctx context.Context, scratch string) (docker.Image, error) {
	if o.image == "" {
		return docker.Image{}, usage("--system %s wants --image: raftlab has none of it", o.store.name)
	}
	image, err := docker.FindImage(ctx, o.image)
	ours := o.store.dir == "." // has a Dockerfile and `make image`
	if err == nil || ours || o.image != o.store.image {
		return image, environmentOrNil(err)
	}
	program, err := o.store.compile(ctx, scratch)
	if err != nil {
		return docker.Image{}, err
	}
	if err := docker.BuildImage(ctx, o.image, "/"+o.store.program, program); err != nil {
		return docker.Image{}, environment("%w", err)
	}
	image, err = docker.FindImage(ctx, o.image)
	return image, environmentOrNil(err)
}

func environmentOrNil(err error) error {
	if err == nil {
		return nil
	}
	return environment("%w", err)
}
