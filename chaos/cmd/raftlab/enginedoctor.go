package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"raftlab/harness/docker"
)

// apiMin is the oldest API of the engine that the client of harness/docker speaks.
const apiMin = 40

// engine examines Docker. Each line that is fatal means that no containers can be run.
func engine(ctx context.Context, image string) []finding {
	if err := docker.Available(ctx); err != nil {
		return []finding{{
			check: "Docker engine", found: oneLine(err), effect: "runs use local processes", fatal: true,
			mend: "start Docker, or point DOCKER_HOST at it, or join the group docker",
		}}
	}
	e, err := newEngine()
	if err != nil { // it answered a moment ago
		return []finding{{check: "Docker engine", found: oneLine(err), fatal: true}}
	}
	return []finding{e.version(ctx), e.cgroup(ctx), e.image(ctx, image), e.nft(ctx, image)}
}

func (e *dockerEngine) version(ctx context.Context) finding {
	f := finding{check: "Docker engine"}
	var v struct{ Version, ApiVersion, MinAPIVersion string }
	if err := e.call(ctx, http.MethodGet, "/version", nil, &v); err != nil {
		f.found, f.effect, f.fatal = oneLine(err), "its version is unknown", true
		return f
	}
	f.found = fmt.Sprintf("%s, API %s", v.Version, v.ApiVersion)
	major, minor, _ := strings.Cut(v.ApiVersion, ".")
	if n, err := strconv.Atoi(minor); major != "1" || err != nil || n < apiMin {
		f.effect, f.mend, f.fatal = fmt.Sprintf("the lab needs API 1.%d", apiMin), "use Docker 20.10 or newer", true
		return f
	}
	f.effect = "containers can be run"
	return f
}

func (e *dockerEngine) cgroup(ctx context.Context) finding {
	f := finding{check: "cgroup", effect: "pausing works with v1 and v2"}
	var info struct{ CgroupVersion, CgroupDriver string }
	if err := e.call(ctx, http.MethodGet, "/info", nil, &info); err != nil {
		f.found = oneLine(err)
		return f
	}
	f.found = fmt.Sprintf("v%s, driver %s", info.CgroupVersion, info.CgroupDriver)
	if info.CgroupDriver == "none" {
		f.effect, f.mend = "pause faults are skipped and runs UNKNOWN", "rootless Docker needs cgroup v2 and systemd"
	}
	return f
}

func (e *dockerEngine) image(ctx context.Context, name string) finding {
	found, err := e.findImage(ctx, name)
	if err != nil {
		return finding{check: "image", found: oneLine(err), effect: "there is nothing to run in containers", mend: "make image", fatal: true}
	}
	id := strings.TrimPrefix(found.ID, "sha256:")
	return finding{check: "image", found: name + " " + id[:min(len(id), 12)], effect: "members are made from it"}
}

// nft runs the side-car's own check in an empty network namespace: the kernel may lack nf_tables, or the
// engine may refuse NET_ADMIN.
func (e *dockerEngine) nft(ctx context.Context, image string) finding {
	f := finding{check: "nft in a netns", effect: "partitions can be cut and counted"}
	if _, err := e.findImage(ctx, image); err != nil {
		f.found, f.effect = "not tried: the side-car is in the image", "unknown until the image is there"
		return f
	}
	if err := e.runAgent(ctx, image, "check"); err != nil {
		f.found, f.effect, f.fatal = oneLine(err), "partitions cannot be cut in containers", true
		f.mend = "a kernel with nf_tables, and an engine that grants NET_ADMIN"
		return f
	}
	f.found = "works"
	return f
}

// runAgent runs one command of the agent in a container of its own, which is removed.
func (e *dockerEngine) runAgent(ctx context.Context, image, command string) (err error) {
	spec, err := json.Marshal(map[string]any{
		"Image": image, "Entrypoint": []string{agentPath}, "Cmd": []string{command}, "User": "0",
		"Labels":      map[string]string{runLabel: "doctor"},
		"HostConfig":  map[string]any{"CapAdd": []string{"NET_ADMIN"}, "NetworkMode": "none"},
		"Healthcheck": map[string]any{"Test": []string{"NONE"}},
	})
	if err != nil {
		return err
	}
	var made struct{ Id string }
	if err := e.call(ctx, http.MethodPost, "/containers/create", bytes.NewReader(spec), &made); err != nil {
		return err
	}
	path := "/containers/" + made.Id
	defer func() {
		err = errors.Join(err, e.call(context.WithoutCancel(ctx), http.MethodDelete, path+"?force=1", nil, nil))
	}()
	if err := e.call(ctx, http.MethodPost, path+"/start", nil, nil); err != nil {
		return err
	}
	var ended struct{ StatusCode int }
	if err := e.call(ctx, http.MethodPost, path+"/wait", nil, &ended); err != nil {
		return err
	}
	if ended.StatusCode == 0 {
		return nil
	}
	said, err := e.stream(ctx, http.MethodGet, path+"/logs?stderr=1", "", nil)
	if err != nil {
		return err
	}
	defer said.Close()
	text, err := io.ReadAll(io.LimitReader(said, 4096))
	if err != nil {
		return err
	}
	// Each piece has a header of eight bytes when there is no terminal (Engine API, "attach").
	return fmt.Errorf("exit code %d: %s", ended.StatusCode, text[min(len(text), 8):])
}
