package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"raftlab/harness/docker"
)

// engine examines Docker. Each line that is fatal means that no containers can be run.
func engine(ctx context.Context, name string) []finding {
	found, err := docker.Describe(ctx)
	if err != nil {
		return []finding{{
			check: "Docker engine", found: oneLine(err), effect: "runs use local processes", fatal: true,
			mend: "start Docker 20.10 or newer, or point DOCKER_HOST at it, or join the group docker",
		}}
	}
	findings := []finding{
		{check: "Docker engine", found: fmt.Sprintf("%s, API %s", found.Version, found.API), effect: "containers can be run"},
		cgroup(found),
	}
	image, err := docker.FindImage(ctx, name)
	if err != nil {
		return append(findings,
			finding{check: "image", found: oneLine(err), effect: "there is nothing to run in containers", mend: "make image", fatal: true},
			finding{check: "nft in a netns", found: "not tried: the side-car is in the image", effect: "unknown until the image is there"},
			finding{check: "disks of containers", found: "not tried: the agent is in the image", effect: "unknown until the image is there"})
	}
	id := strings.TrimPrefix(image.ID, "sha256:")
	return append(findings,
		finding{check: "image", found: name + " " + id[:min(len(id), 12)], effect: "members are made from it"},
		nft(ctx, name), disksOfContainers(ctx, name))
}

func cgroup(found docker.Description) finding {
	f := finding{check: "cgroup", effect: "pausing works with v1 and v2"}
	f.found = fmt.Sprintf("v%s, driver %s", found.CgroupVersion, found.CgroupDriver)
	if found.CgroupDriver == "none" {
		f.effect, f.mend = "pause faults are skipped and runs UNKNOWN", "rootless Docker needs cgroup v2 and systemd"
	}
	return f
}

// nft runs the side-car's own check in an empty network namespace: the kernel may lack nf_tables, or the
// engine may refuse NET_ADMIN.
func nft(ctx context.Context, image string) finding {
	f := finding{check: "nft in a netns", effect: "partitions can be cut and counted", found: "works"}
	if err := docker.CheckNetwork(ctx, docker.Options{RunID: fmt.Sprintf("doctor-%d", os.Getpid()), AgentImage: image}); err != nil {
		f.found, f.effect, f.fatal = oneLine(err), "partitions cannot be cut in containers", true
		f.mend = "a kernel with nf_tables, and an engine that grants NET_ADMIN"
	}
	return f
}

// disksOfContainers mounts a disk as the container of a member does: the engine may have no /dev/fuse to give, or refuse
// SYS_ADMIN. All other faults can be had without it.
func disksOfContainers(ctx context.Context, image string) finding {
	f := finding{check: "disks of containers", found: "work", effect: "disk faults can be had in containers"}
	if err := docker.CheckDisks(ctx, docker.Options{RunID: fmt.Sprintf("doctor-%d", os.Getpid()), AgentImage: image}); err != nil {
		f.found, f.effect = oneLine(err), "runs in containers that break disks end with 3"
		f.mend = "modprobe fuse on the engine's machine, and an engine that gives containers /dev/fuse and SYS_ADMIN"
	}
	return f
}
