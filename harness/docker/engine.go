package docker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

// ErrUnavailable wraps the reason why no engine can be used.
var ErrUnavailable = errors.New("no Docker engine answered")

// The preflight takes less than a second, all sockets together.
const (
	connectTimeout = 900 * time.Millisecond
	pingTimeout    = 700 * time.Millisecond // of one
)

// Available returns nil if a Docker engine answers, else one clear sentence. It takes less than a second.
func Available(ctx context.Context) error {
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	return e.close()
}

// Description is what the engine says of itself and of its machine.
type Description struct {
	Version, API                string // API is the newest that it speaks
	CgroupVersion, CgroupDriver string
}

// Describe asks the engine. One whose API is too old for the lab is ErrUnavailable.
func Describe(ctx context.Context) (Description, error) {
	e, err := connect(ctx)
	if err != nil {
		return Description{}, err
	}
	defer e.close()
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return Description{}, fmt.Errorf("docker: version: %w", err)
	}
	machine, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Description{}, fmt.Errorf("docker: info: %w", err)
	}
	return Description{
		Version: version.Version, API: version.APIVersion,
		CgroupVersion: machine.Info.CgroupVersion, CgroupDriver: machine.Info.CgroupDriver,
	}, nil
}

// engine is a connection to the one Docker engine that the lab uses.
type engine struct {
	host  string
	local bool // on a unix socket, so that its published ports are ours
	api   *client.Client
}

func (e *engine) close() error { return e.api.Close() }

// connect finds the engine. A DOCKER_HOST that does not answer is an error: testcontainers would go on to the
// default socket without a word, and the run would be on another machine than the user thinks.
func connect(ctx context.Context) (*engine, error) {
	pinging, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var tried []string
	for _, host := range candidates() {
		e, err := ping(pinging, host)
		if err == nil {
			e.prepareEnvironment()
			return e, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %s", host, reason(err)))
	}
	return nil, fmt.Errorf("docker: %w (tried %s); start one, or run on local processes", ErrUnavailable, strings.Join(tried, "; "))
}

func candidates() []string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return []string{host}
	}
	hosts := []string{client.DefaultDockerHost}
	home, _ := os.UserHomeDir()
	for _, socket := range []string{
		filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"), // rootless
		filepath.Join(home, ".docker", "run", "docker.sock"),       // Docker Desktop
	} {
		if _, err := os.Stat(socket); err == nil && filepath.IsAbs(socket) {
			hosts = append(hosts, "unix://"+socket)
		}
	}
	return hosts
}

func ping(ctx context.Context, host string) (*engine, error) {
	api, err := client.New(client.FromEnv, client.WithHost(host))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if _, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		api.Close()
		return nil, err
	}
	u, err := url.Parse(host)
	return &engine{host: host, api: api, local: err == nil && (u.Scheme == "unix" || u.Scheme == "npipe")}, nil
}

// reason is the root of an error of the client, which says the same thing three times over.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err.Error()
}

// prepareEnvironment tells testcontainers, which reads its settings from the environment, what it would guess
// wrong. What the user has set stays.
func (e *engine) prepareEnvironment() {
	set := func(name, value string) {
		if _, ok := os.LookupEnv(name); !ok {
			os.Setenv(name, value)
		}
	}
	set("DOCKER_HOST", e.host)
	// The image of its reaper would have to be pulled. Our labels and Sweep do its work.
	set("TESTCONTAINERS_RYUK_DISABLED", "true")
	if _, err := os.Stat("/.dockerenv"); err == nil && e.local {
		// In a container testcontainers takes the gateway for the host. With a socket that was mounted in that
		// may be right, but where the engine runs beside us the published ports are on localhost.
		set("TESTCONTAINERS_HOST_OVERRIDE", "localhost")
	}
}

// provider makes the testcontainers provider and checks that it talks to the same engine.
func (e *engine) provider() (*testcontainers.DockerProvider, error) {
	tclog.SetDefault(tclog.NewNoopLogger())
	p, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(tclog.NewNoopLogger()))
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if host := p.Client().DaemonHost(); host != e.host {
		p.Close()
		return nil, fmt.Errorf("docker: testcontainers uses %s and DOCKER_HOST is %s: see tc.host in ~/.testcontainers.properties", host, e.host)
	}
	return p, nil
}
