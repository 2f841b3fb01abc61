package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/client"
)

// Left names every container, network and volume of any run that there is now, also of runs that go on. It removes nothing.
func Left(ctx context.Context) ([]string, error) {
	e, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	left, err := e.left(ctx)
	return left, errors.Join(err, e.close())
}

func (e *engine) left(ctx context.Context) ([]string, error) {
	filters := client.Filters{}.Add("label", labelRun)
	var left []string
	containers, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("docker: list containers: %w", err)
	}
	for _, c := range containers.Items {
		left = append(left, "container "+strings.TrimPrefix(strings.Join(c.Names, ","), "/"))
	}
	networks, err := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("docker: list networks: %w", err)
	}
	for _, n := range networks.Items {
		left = append(left, "network "+n.Name)
	}
	volumes, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("docker: list volumes: %w", err)
	}
	for _, v := range volumes.Items {
		left = append(left, "volume "+v.Name)
	}
	slices.Sort(left)
	return left, nil
}
