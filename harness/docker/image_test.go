package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

func TestAnImageWithOneFileReplacedIsElseTheSameAndLeavesNoLayer(t *testing.T) {
	needDocker(t)
	e, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	tag := fmt.Sprintf("raftlab-test/replaced:%d", os.Getpid())
	if err := ReplaceFile(t.Context(), image, tag, "/kvd", []byte("another program")); err != nil {
		t.Fatal(err)
	}
	defer e.sweep(context.Background(), tag, nobody)
	made, err := FindImage(t.Context(), tag)
	if err != nil || !slices.Equal(made.EntryPoint, []string{"/kvd"}) {
		t.Errorf("entry point %v, %v", made.EntryPoint, err)
	}
	if mode, text := fileIn(t, e, tag, "/kvd"); mode != 0o755 || text != "another program" {
		t.Errorf("/kvd is %q with mode %o", text, mode)
	}
	if _, text := fileIn(t, e, tag, "/raftlab-agent"); len(text) < 1<<20 {
		t.Errorf("/raftlab-agent has %d bytes", len(text))
	}
	if err := RemoveImage(t.Context(), tag); err != nil {
		t.Fatal(err)
	}
	if left := labelled(t, e, tag); len(left) > 0 {
		t.Errorf("layers are left: %v", left)
	}
	var missing ImageMissing
	if _, err := FindImage(t.Context(), tag); !errors.As(err, &missing) {
		t.Errorf("found after it was removed: %v", err)
	}
	if _, err := FindImage(t.Context(), image); err != nil {
		t.Errorf("its base went with it: %v", err)
	}
}

func TestSweepFindsAnImageThatAKilledLabHasLeft(t *testing.T) {
	needDocker(t)
	tag := fmt.Sprintf("raftlab-test/left:%d", os.Getpid())
	if err := ReplaceFile(t.Context(), image, tag, "/kvd", []byte("left")); err != nil {
		t.Fatal(err)
	}
	e, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	if removed, err := e.sweep(t.Context(), tag, func() []string { return []string{tag} }); err != nil || len(removed) > 0 {
		t.Errorf("of a lab that goes on: removed %v, %v", removed, err)
	}
	if removed, err := Sweep(t.Context(), tag); err != nil || !slices.Equal(removed, []string{"image " + tag}) {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func TestABuildThatFailsSaysWhyAndNothingIsPulledForIt(t *testing.T) {
	needDocker(t)
	tag := fmt.Sprintf("raftlab-test/failed:%d", os.Getpid())
	defer Sweep(context.Background(), tag)
	if err := ReplaceFile(t.Context(), image, tag, "/kvd/inside", []byte("x")); err == nil || !strings.Contains(err.Error(), "kvd") {
		t.Errorf("a file inside of a file: %v", err)
	}
	var missing ImageMissing
	if err := ReplaceFile(t.Context(), "raftlab-test/no-such:image", tag, "/kvd", []byte("x")); !errors.As(err, &missing) {
		t.Errorf("no base: %v", err)
	}
}

func labelled(t *testing.T, e *engine, tag string) []string {
	t.Helper()
	list, err := e.api.ImageList(t.Context(), client.ImageListOptions{All: true, Filters: client.Filters{}.Add("label", labelRun+"="+tag)})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range list.Items {
		ids = append(ids, i.ID)
	}
	return ids
}

// fileIn reads one file of an image out of a container that is never started.
func fileIn(t *testing.T, e *engine, name, path string) (int64, string) {
	t.Helper()
	created, err := e.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: name, Labels: map[string]string{labelRun: name}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.api.ContainerRemove(context.Background(), created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	copied, err := e.api.CopyFromContainer(t.Context(), created.ID, client.CopyFromContainerOptions{SourcePath: path})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Content.Close()
	archive := tar.NewReader(copied.Content)
	head, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	return head.Mode & 0o777, string(text)
}
