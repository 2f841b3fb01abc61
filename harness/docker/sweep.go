package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

const (
	labelRun  = "raftlab.run"
	labelRole = "raftlab.role" // member, agent, data, network
	labelNode = "raftlab.node"
)

// Sweep removes every container, network and volume of a run, or of all runs where runID is empty, and names what it
// removed. An image of ReplaceFile has its own tag for a run. The rules that an agent has made go with the namespaces
// that they are in.
func Sweep(ctx context.Context, runID string) ([]string, error) {
	e, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := e.sweep(ctx, runID)
	return removed, errors.Join(err, e.close())
}

// Leftovers removes what is left of the run, and names it. Ask it after Close: a chaos.Experiment does.
func (c *Cluster) Leftovers(ctx context.Context) ([]string, error) {
	return Sweep(ctx, c.options.RunID)
}

func (e *engine) sweep(ctx context.Context, runID string) ([]string, error) {
	label := labelRun
	if runID != "" {
		label += "=" + runID
	}
	filters := client.Filters{}.Add("label", label)
	s := &sweeper{engine: e}
	// In this order: what is in use cannot be removed.
	s.containers(ctx, filters)
	s.networks(ctx, filters)
	s.volumes(ctx, filters)
	s.images(ctx, filters)
	slices.Sort(s.removed)
	return s.removed, errors.Join(s.errs...)
}

type sweeper struct {
	engine *engine

	mu      sync.Mutex
	removed []string
	errs    []error
}

// note records one removal. What is gone already, or being removed by somebody else, is no error.
func (s *sweeper) note(what, name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.removed = append(s.removed, what+" "+name)
	case !errdefs.IsNotFound(err):
		s.errs = append(s.errs, fmt.Errorf("docker: remove %s %s: %w", what, name, err))
	}
}

func (s *sweeper) containers(ctx context.Context, filters client.Filters) {
	list, err := s.engine.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("docker: list containers: %w", err))
		return
	}
	var all sync.WaitGroup
	for _, c := range list.Items {
		all.Go(func() {
			_, err := s.engine.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			if errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") {
				return
			}
			s.note("container", strings.TrimPrefix(strings.Join(c.Names, ","), "/"), err)
		})
	}
	all.Wait()
}

func (s *sweeper) networks(ctx context.Context, filters client.Filters) {
	list, err := s.engine.api.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("docker: list networks: %w", err))
		return
	}
	for _, n := range list.Items {
		_, err := s.engine.api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		s.note("network", n.Name, err)
	}
}

func (s *sweeper) volumes(ctx context.Context, filters client.Filters) {
	list, err := s.engine.api.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("docker: list volumes: %w", err))
		return
	}
	for _, v := range list.Items {
		_, err := s.engine.api.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
		s.note("volume", v.Name, err)
	}
}

// images looks for those of ReplaceFile, and for what was left of one that was not built to its end.
func (s *sweeper) images(ctx context.Context, filters client.Filters) {
	list, err := s.engine.api.ImageList(ctx, client.ImageListOptions{Filters: filters})
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("docker: list images: %w", err))
		return
	}
	for _, i := range list.Items {
		name := i.ID
		if len(i.RepoTags) > 0 && i.RepoTags[0] != "<none>:<none>" { // so an engine of API 1.41 calls an untagged one
			name = i.RepoTags[0]
		}
		s.note("image", name, s.engine.removeImage(ctx, name))
	}
}
