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
	removed, err := e.sweep(ctx, runID, nobody)
	return removed, errors.Join(err, e.close())
}

// SweepAllBut sweeps every run but those that go on. It asks after it has listed what there is: a run that has begun since is
// not in the list.
func SweepAllBut(ctx context.Context, goOn func() []string) ([]string, error) {
	e, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := e.sweep(ctx, "", goOn)
	return removed, errors.Join(err, e.close())
}

// Leftovers removes what is left of the run, and names it. Ask it after Close: a chaos.Experiment does.
func (c *Cluster) Leftovers(ctx context.Context) ([]string, error) {
	return Sweep(ctx, c.options.RunID)
}

func (e *engine) sweep(ctx context.Context, runID string, goOn func() []string) ([]string, error) {
	label := labelRun
	if runID != "" {
		label += "=" + runID
	}
	filters := client.Filters{}.Add("label", label)
	s := &sweeper{engine: e, goOn: goOn}
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
	goOn   func() []string

	mu      sync.Mutex
	removed []string
	errs    []error
}

func nobody() []string { return nil }

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
	spared := s.goOn()
	for _, c := range list.Items {
		if slices.Contains(spared, c.Labels[labelRun]) {
			continue
		}
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
	spared := s.goOn()
	for _, n := range list.Items {
		if slices.Contains(spared, n.Labels[labelRun]) {
			continue
		}
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
	spared := s.goOn()
	for _, v := range list.Items {
		if slices.Contains(spared, v.Labels[labelRun]) {
			continue
		}
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
	spared := s.goOn()
	for _, i := range list.Items {
		if slices.Contains(spared, i.Labels[labelRun]) {
			continue
		}
		name := i.ID
		if len(i.RepoTags) > 0 && i.RepoTags[0] != "<none>:<none>" { // so an engine of API 1.41 calls an untagged one
			name = i.RepoTags[0]
		}
		s.note("image", name, s.engine.removeImage(ctx, name))
	}
}
