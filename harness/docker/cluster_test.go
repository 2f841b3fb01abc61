package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
)

func TestContainersKeepThePromisesOfAWorld(t *testing.T) {
	kvdtest.Conformance(t, func(t *testing.T, nodes int) (kvdtest.World, *kvdtest.System) { return startKVD(t, nodes) })
}

func TestSweepFindsWhatAKilledLabHasLeft(t *testing.T) {
	needDocker(t)
	id := fmt.Sprintf("test-%d-killed", os.Getpid())
	system := &kvdtest.System{Image: image}
	defer system.Close()
	c, err := Start(kvdtest.Deadline(t, 60*time.Second), system, Options{Nodes: 2, RunID: id})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Cut(t.Context(), []harness.Link{{From: "n1", To: "n2"}}); err != nil {
		t.Fatal(err)
	}
	removed, err := Sweep(t.Context(), id)
	want := []string{
		"container raftlab-" + id + "-n1", "container raftlab-" + id + "-n1-agent", "container raftlab-" + id + "-n2",
		"network raftlab-" + id + "-net", "volume raftlab-" + id + "-n1", "volume raftlab-" + id + "-n2",
	}
	if err != nil || !slices.Equal(removed, want) {
		t.Fatalf("removed %v %v, want %v", removed, err, want)
	}
}

func TestMissingImageIsNotPulled(t *testing.T) {
	needDocker(t)
	_, err := Start(t.Context(), &kvdtest.System{Image: "raftlab-test/no-such:image"}, Options{Nodes: 1, RunID: "test-missing"})
	var missing ImageMissing
	if !errors.As(err, &missing) || missing.Image != "raftlab-test/no-such:image" || !strings.Contains(err.Error(), "make image") {
		t.Fatalf("%v", err)
	}
}

func TestMemberThatEndsAtOnceIsNamedWithItsLastWords(t *testing.T) {
	needDocker(t)
	system := &kvdtest.System{Image: image}
	defer system.Close()
	var log strings.Builder
	_, err := Start(kvdtest.Deadline(t, 60*time.Second), badFlag{system}, Options{
		Nodes: 1, RunID: fmt.Sprintf("test-%d-flag", os.Getpid()),
		Failed: func(c harness.Cluster) {
			if err := c.Log(t.Context(), "n1", &log); err != nil {
				t.Error(err)
			}
		},
	})
	if !strings.Contains(log.String(), "flag provided but not defined") {
		t.Errorf("its log before it was removed: %q", log.String())
	}
	if err == nil || !strings.Contains(err.Error(), "n1 ended with code 2") || !strings.Contains(err.Error(), "flag provided but not defined") {
		t.Fatalf("start: %v", err)
	}
}

type badFlag struct{ *kvdtest.System }

func (s badFlag) Spec(self harness.Place, all []harness.Place) harness.Spec {
	spec := s.System.Spec(self, all)
	spec.Args = append(spec.Args, "--no-such-flag")
	return spec
}

func TestLinksCanBeCutHere(t *testing.T) {
	needDocker(t)
	if err := CheckNetwork(t.Context(), Options{RunID: fmt.Sprintf("test-%d-check", os.Getpid()), AgentImage: image}); err != nil {
		t.Fatal(err)
	}
}

// Without the capability the kernel says no, and the lab says unsupported instead of pretending.
func TestLinksCannotBeCutWithoutNetAdmin(t *testing.T) {
	needDocker(t)
	e, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{options: Options{RunID: fmt.Sprintf("test-%d-powerless", os.Getpid()), AgentImage: image, AgentPath: "/raftlab-agent"}, engine: e}
	defer c.Close(context.Background())
	if err := c.checkNetwork(t.Context()); !errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Fatalf("%v", err)
	}
}

func TestUnreachableEngineIsOneSentenceAndNoFallback(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///no/such/docker.sock")
	began := time.Now()
	err := Available(t.Context())
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "/no/such/docker.sock") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("%v", err)
	}
	if _, err := Start(t.Context(), &kvdtest.System{Image: image}, Options{Nodes: 1, RunID: "test-none"}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("start: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Fatalf("took %s", took)
	}
}

// An engine that accepts and says nothing is not waited for.
func TestHangingEngineIsUnavailableWithinASecond(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	began := time.Now()
	if err := Available(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Fatalf("%v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Fatalf("took %s", took)
	}
}

func TestOwnersTakeAsFewAgentsAsTheyCan(t *testing.T) {
	all := map[string]bool{"n1": true, "n2": true, "n3": true}
	isolated := []harness.Link{{From: "n2", To: "n1"}, {From: "n1", To: "n2"}, {From: "n2", To: "n3"}, {From: "n3", To: "n2"}}
	if plan := owners(isolated, all); len(plan) != 1 || len(plan["n2"]) != 4 {
		t.Fatalf("isolating n2: %v", plan)
	}
	if plan := owners(isolated, map[string]bool{"n1": true, "n3": true}); len(plan) != 2 || len(plan["n1"]) != 2 || len(plan["n3"]) != 2 {
		t.Fatalf("isolating n2 while it is dead: %v", plan)
	}
	if plan := owners(isolated[:1], nil); len(plan["n2"]) != 1 {
		t.Fatalf("nobody runs: %v", plan)
	}
}
