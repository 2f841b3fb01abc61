package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"raftlab/harness"
)

// startAll lets the first member come up alone, then the others, and waits for all.
func (c *Cluster) startAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel(nil)
	start := func(node string) error {
		if err := c.Start(ctx, node); err != nil {
			return err
		}
		watchers.Go(func() { c.watch(ctx, node, cancel) })
		return nil
	}
	first, others := c.Places()[0].Name, c.Places()[1:]
	if err := start(first); err != nil {
		return err
	}
	alone, stop := context.WithTimeout(ctx, c.options.Grace)
	err := harness.AwaitReady(alone, c, c.system, first)
	stop()
	if err != nil && ctx.Err() != nil {
		return err
	}
	errs := make([]error, len(others))
	var starts sync.WaitGroup
	for i, place := range others {
		starts.Go(func() { errs[i] = start(place.Name) })
	}
	starts.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return harness.AwaitReady(ctx, c, c.system)
}

// watch ends the start when a member ends by itself: it will never be ready.
func (c *Cluster) watch(ctx context.Context, node string, cancel context.CancelCauseFunc) {
	m, err := c.member(node)
	if err != nil {
		cancel(err)
		return
	}
	wait := c.engine.api.ContainerWait(ctx, m.id(), client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case result := <-wait.Result:
		var log strings.Builder
		if err := c.Log(context.WithoutCancel(ctx), node, &log); err != nil {
			log.WriteString(err.Error())
		}
		text := strings.TrimSpace(log.String())
		cancel(fmt.Errorf("docker: %s ended with code %d: %s", node, result.StatusCode, text[max(0, len(text)-500):]))
	case <-wait.Error:
	case <-ctx.Done():
	}
}
