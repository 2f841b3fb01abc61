package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/internal/needs"
)

// needDisks skips where the engine cannot have such disks, with the reason that a run would give.
func needDisks(t *testing.T) {
	t.Helper()
	needDocker(t)
	err := CheckDisks(t.Context(), Options{RunID: fmt.Sprintf("test-%d-disks", os.Getpid()), AgentImage: image})
	if errors.Is(err, harness.ErrUnsupported) {
		needs.Machine(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDisksInContainersKeepTheirPromises(t *testing.T) {
	needDisks(t)
	kvdtest.Disks(t, func(t *testing.T, nodes int) (kvdtest.DiskWorld, *kvdtest.System) {
		return startWith(t, Options{Nodes: nodes, Disks: true})
	})
}

// The member must not notice who started it, nor may its neighbours: it runs as the user of its image, and a newcomer and
// one that lost its data have disks of their own.
func TestAMemberAboveADiskIsTheUserOfItsImageAndSoAreThoseThatComeLater(t *testing.T) {
	needDisks(t)
	c, system := startWith(t, Options{Nodes: 1, Disks: true})
	if code, body := kvdtest.Call(t, c, "n1", "PUT", "/k", "v", 5*time.Second); code != 200 {
		t.Fatal(code, body)
	}
	added, err := c.Add(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.AwaitReady(kvdtest.Deadline(t, 10*time.Second), c, system, added.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DiskCounters(t.Context(), added.Name); err != nil {
		t.Error(err)
	}
	if err := c.CutPower(t.Context(), []string{"n1"}, harness.PowerCut{Keep: "all"}); err != nil {
		t.Fatal(err)
	}
	m, err := c.member("n1")
	if err != nil {
		t.Fatal(err)
	}
	copied, err := c.engine.api.CopyFromContainer(t.Context(), m.id(), client.CopyFromContainerOptions{SourcePath: diskBack + "/files/log"})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Content.Close()
	head, err := tar.NewReader(copied.Content).Next()
	if err != nil || head.Uid != 65532 || head.Gid != 65532 {
		t.Errorf("the log is of %d:%d, and the image's user is 65532:65532 (%v)", head.Uid, head.Gid, err)
	}
	if err := c.Wipe(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if err := harness.AwaitReady(kvdtest.Deadline(t, 10*time.Second), c, system); err != nil {
		t.Fatal(err)
	}
	if counted, err := c.DiskCounters(t.Context(), "n1"); err != nil || counted.Cuts != 0 {
		t.Errorf("a disk that is new has counted %+v, %v", counted, err)
	}
}

func TestWithoutDisksOfTheLabNothingIsPretended(t *testing.T) {
	c, _ := startKVD(t, 1)
	for _, err := range []error{
		c.Disks(), c.SetDisk(t.Context(), "n1", harness.Disk{Full: true}), c.CutPower(t.Context(), []string{"n1"}, harness.PowerCut{Keep: "none"}),
	} {
		if !errors.Is(err, harness.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
	if p, err := c.Probe(t.Context(), "n1"); err != nil || p.State != harness.Running {
		t.Errorf("n1 is %+v, %v", p, err)
	}
}

// What an engine lacks is said in one sentence before a member is started.
func TestAnEngineThatCannotHaveDisksSaysWhatItLacks(t *testing.T) {
	needDocker(t)
	o := Options{RunID: fmt.Sprintf("test-%d-nofuse", os.Getpid()), AgentImage: image, FuseDevice: "/dev/no-such-fuse"}
	err := CheckDisks(t.Context(), o)
	if !errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), "/dev/no-such-fuse") || !strings.Contains(err.Error(), "modprobe fuse") {
		t.Errorf("no device: %v", err)
	}
	o.AgentImage = "raftlab-test/no-such:image"
	var missing ImageMissing
	if err := CheckDisks(t.Context(), o); !errors.As(err, &missing) {
		t.Errorf("no image: %v", err)
	}
	for what, hc := range map[string]*container.HostConfig{
		"SYS_ADMIN":    {Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rw"}}}},
		"no /dev/fuse": {CapAdd: []string{"SYS_ADMIN"}},
	} {
		o := Options{RunID: fmt.Sprintf("test-%d-powerless", os.Getpid()), AgentImage: image}
		err := check(t.Context(), o, func(c *Cluster) error { return c.checkDisks(t.Context(), hc) })
		if !errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), what) {
			t.Errorf("without %s: %v", what, err)
		}
	}
	for _, id := range []string{"nofuse", "powerless"} {
		if left, err := Sweep(context.Background(), fmt.Sprintf("test-%d-%s", os.Getpid(), id)); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

// A tmpfs volume is gone when its last container ends: it is held for as long as the cluster is there.
func TestADiskWithASizeIsFilledByTheKernelsAccountAndOutlivesItsMember(t *testing.T) {
	needDisks(t)
	c, system := startWith(t, Options{Nodes: 1, Disks: true, DiskSize: 4 << 20})
	again := func() {
		t.Helper()
		if err := c.Start(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
		if err := harness.AwaitReady(kvdtest.Deadline(t, 10*time.Second), c, system); err != nil {
			t.Fatal(err)
		}
		if code, body := kvdtest.Call(t, c, "n1", "GET", "/k", "", 5*time.Second); code != 200 || body != "v" {
			t.Fatalf("n1 has %d %q", code, body)
		}
	}
	if code, body := kvdtest.Call(t, c, "n1", "PUT", "/k", "v", 5*time.Second); code != 200 {
		t.Fatal(code, body)
	}
	if err := c.Kill(t.Context(), "n1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again()
	if err := c.SetDisk(t.Context(), "n1", harness.Disk{Filled: true}); err != nil {
		t.Fatal(err)
	}
	if counted, err := c.DiskCounters(t.Context(), "n1"); err != nil || counted.Room != 0 {
		t.Errorf("%d bytes are left, %v", counted.Room, err)
	}
	if code, body := kvdtest.Call(t, c, "n1", "PUT", "/k", strings.Repeat("x", 10_000), 5*time.Second); code == 200 {
		t.Errorf("a put on a full disk: %d %s", code, body)
	}
	m, err := c.member("n1")
	if err == nil {
		err = c.engine.ended(kvdtest.Deadline(t, 10*time.Second), "n1", m.id())
	}
	if err != nil {
		t.Fatal(err)
	}
	if counted, err := c.DiskCounters(t.Context(), "n1"); err != nil || counted.Refused == 0 {
		t.Errorf("nothing was refused: %+v, %v", counted, err)
	}
	again()
}
