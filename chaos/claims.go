package chaos

import (
	"context"

	"raftlab/harness"
)

// versions asks every member what it was built from. Nothing depends on the answers; what has none says why.
func versions(ctx context.Context, c harness.Cluster, s harness.System) map[string]string {
	system, ok := s.(harness.Versioner)
	if !ok {
		return nil
	}
	said := make(map[string]string)
	for _, node := range members(c) {
		ctx, cancel := context.WithTimeout(ctx, operationMax)
		endpoint, err := c.Endpoint(ctx, node)
		if err == nil {
			said[node], err = system.Version(ctx, endpoint)
		}
		cancel()
		if err != nil {
			said[node] = "unknown: " + text(err)
		}
	}
	return said
}
