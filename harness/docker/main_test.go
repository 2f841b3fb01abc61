package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"raftlab/harness/internal/kvdtest"
)

// image holds kvd and the agent; it is made by TestMain and removed at its end. noDocker says why it is not there.
var (
	image    = fmt.Sprintf("raftlab-test/kvd:%d", os.Getpid())
	noDocker error
	started  int // clusters
)

func TestMain(m *testing.M) {
	noDocker = Available(context.Background())
	if noDocker != nil && os.Getenv("RAFTLAB_REQUIRE_DOCKER") != "" {
		fmt.Fprintln(os.Stderr, "RAFTLAB_REQUIRE_DOCKER is set:", noDocker)
		os.Exit(1)
	}
	if noDocker != nil {
		os.Exit(m.Run())
	}
	e, err := connect(context.Background())
	if err == nil {
		err = importImage(e)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if _, err := e.api.ImageRemove(context.Background(), image, client.ImageRemoveOptions{Force: true}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	e.close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// importImage makes an image with nothing in it but two static programs and a directory for data, as
// `FROM scratch` would. No builder is needed and nothing is pulled.
func importImage(e *engine) error {
	dir, err := os.MkdirTemp("", "kvd")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	for name, pkg := range map[string]string{"kvd": kvdtest.Package, "raftlab-agent": "raftlab/chaos/agent"} {
		path, err := kvdtest.Build(dir, pkg)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b))})
		tw.Write(b)
	}
	tw.WriteHeader(&tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 65532, Gid: 65532})
	if err := tw.Close(); err != nil {
		return err
	}
	progress, err := e.api.ImageImport(context.Background(), client.ImageImportSource{Source: &archive, SourceName: "-"}, image,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/kvd"]`, "USER 65532:65532"}})
	if err != nil {
		return err
	}
	defer progress.Close()
	_, err = io.Copy(io.Discard, progress)
	return err
}

func needDocker(t *testing.T) {
	t.Helper()
	if noDocker != nil {
		t.Skip(noDocker)
	}
}

func startKVD(t *testing.T, nodes int) (*Cluster, *kvdtest.System) {
	t.Helper()
	return startWith(t, Options{Nodes: nodes})
}

func startWith(t *testing.T, o Options) (*Cluster, *kvdtest.System) {
	t.Helper()
	needDocker(t)
	system := &kvdtest.System{Image: image}
	started++
	id := fmt.Sprintf("test-%d-%d", os.Getpid(), started)
	o.RunID = id
	c, err := Start(kvdtest.Deadline(t, 60*time.Second), system, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		system.Close()
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if left, err := Sweep(context.Background(), id); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	return c, system
}
