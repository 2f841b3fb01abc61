package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/jsonmessage"
)

// ImageMissing says that an image is not on this engine. Nothing is ever pulled.
type ImageMissing struct{ Image string }

func (e ImageMissing) Error() string {
	return fmt.Sprintf("image %s is not on this Docker engine: run `make image`", e.Image)
}

// Image is what the engine knows of one.
type Image struct {
	ID         string // sha256:...
	EntryPoint []string
	Cmd        []string
	User       string // as it stands there, empty for root
}

// FindImage returns ImageMissing where a start would have to pull.
func FindImage(ctx context.Context, name string) (Image, error) {
	e, err := connect(ctx)
	if err != nil {
		return Image{}, err
	}
	defer e.close()
	return e.findImage(ctx, name)
}

func (e *engine) findImage(ctx context.Context, name string) (Image, error) {
	inspected, err := e.api.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return Image{}, ImageMissing{Image: name}
	}
	if err != nil {
		return Image{}, fmt.Errorf("docker: image %s: %w", name, err)
	}
	found := Image{ID: inspected.ID}
	if inspected.Config != nil {
		found.EntryPoint, found.Cmd, found.User = inspected.Config.Entrypoint, inspected.Config.Cmd, inspected.Config.User
	}
	return found, nil
}

// ReplaceFile makes the image tag out of base with another program at path. All else stays what it is, so a run of it
// differs from a run of base by this program alone. The new image is the caller's to remove; Sweep finds it too.
func ReplaceFile(ctx context.Context, base, tag, path string, program []byte) error {
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	if _, err := e.findImage(ctx, base); err != nil { // the builder would pull it
		return err
	}
	// The label comes first, so that what a build leaves when it is cut short carries it.
	recipe := fmt.Sprintf("FROM %s\nLABEL %s=%q\nCOPY [\"program\", %q]\n", base, labelRun, tag, path)
	return e.build(ctx, tag, recipe, program)
}

func (e *engine) build(ctx context.Context, tag, recipe string, program []byte) error {
	files, err := buildContext(recipe, program)
	if err != nil {
		return fmt.Errorf("docker: build %s: %w", tag, err)
	}
	built, err := e.api.ImageBuild(ctx, files, client.ImageBuildOptions{Tags: []string{tag}, Remove: true, ForceRemove: true})
	if err != nil {
		return fmt.Errorf("docker: build %s: %w", tag, err)
	}
	defer built.Body.Close()
	// The status was sent before the build began: a failure is in the stream.
	if err := jsonmessage.DisplayStream(built.Body, io.Discard); err != nil {
		return fmt.Errorf("docker: build %s: %w", tag, err)
	}
	return nil
}

// BuildImage makes an image of one static program at path, which is its entry point, and nothing else. It stays until
// somebody removes it.
func BuildImage(ctx context.Context, tag, path, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("docker: build %s: %w", tag, err)
	}
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	return e.build(ctx, tag, fmt.Sprintf("FROM scratch\nCOPY [\"program\", %q]\nENTRYPOINT [%q]\n", path, path), data)
}

// buildContext is a tar of a Dockerfile and of one program.
func buildContext(recipe string, program []byte) (io.Reader, error) {
	files, err := archive(file{"Dockerfile", 0o644, []byte(recipe)}, file{"program", 0o755, program})
	return bytes.NewReader(files), err
}

type file struct {
	name string
	mode int64
	data []byte
}

// archive is a tar of these files, all root's.
func archive(all ...file) ([]byte, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, f := range all {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return files.Bytes(), err
}

// RemoveImage removes a tag, and the layers that only this image needs.
func RemoveImage(ctx context.Context, tag string) error {
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	if err = e.removeImage(ctx, tag); err != nil {
		err = fmt.Errorf("docker: remove image %s: %w", tag, err)
	}
	return errors.Join(err, e.close())
}

func (e *engine) removeImage(ctx context.Context, name string) error {
	// The classic builder makes an image of each step: without this those would stay, untagged.
	_, err := e.api.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	return err
}
