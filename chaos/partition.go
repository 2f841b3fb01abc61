package chaos

import (
	"context"
	"fmt"

	"raftlab/harness"
)

// applyPartition cuts every link between the targets and the rest, both ways. Targets still hear each other,
// and clients still reach everybody: a member that lost its peers but not its clients is the one that is
// tempted to answer for them.
func applyPartition(ctx context.Context, c harness.Cluster, nodes []string) error {
	network, ok := c.(harness.Networker)
	if !ok {
		return fmt.Errorf("cut links in world %s: %w", c.World(), harness.ErrUnsupported)
	}
	links := isolate(members(c), nodes)
	if len(links) == 0 {
		return fmt.Errorf("%w: isolating %v cuts no link", ErrTarget, nodes)
	}
	return network.Cut(ctx, links)
}

// Schedule.Validate keeps faults from overlapping, so every cut in force is this fault's own.
func undoPartition(ctx context.Context, c harness.Cluster, _ []string) error {
	network, ok := c.(harness.Networker)
	if !ok {
		return nil
	}
	return network.Restore(ctx)
}

// judgePartition wants, for every member cut off, rules that were counted, packets that its rules swallowed,
// and no rule left.
func judgePartition(nodes []string, o Observations) Evidence {
	f := judgeEdges(nodes, o)
	var total uint64
	links := make(map[string]int)
	swallowed := make(map[string]uint64)
	for link, packets := range o.Dropped {
		total += packets
		for _, end := range []string{link.From, link.To} {
			links[end]++
			swallowed[end] += packets
		}
	}
	for _, node := range nodes {
		f.require(links[node] > 0, "no rule of the partition was found around %s", node)
		f.require(links[node] == 0 || swallowed[node] > 0, "the rules around %s dropped nothing", node)
	}
	f.require(len(o.Left) == 0, "%d rules are left after the heal", len(o.Left))
	return f.evidence(fmt.Sprintf("%s %s dropped by %d rules", thousands(total), unit(o.World), len(o.Dropped)), total)
}

// isolate lists both directions of every link between the targets and the rest.
func isolate(all, nodes []string) []harness.Link {
	cut := make(map[string]bool)
	for _, node := range nodes {
		cut[node] = true
	}
	var links []harness.Link
	for _, from := range all {
		for _, to := range all {
			if cut[from] != cut[to] {
				links = append(links, harness.Link{From: from, To: to})
			}
		}
	}
	return links
}

func members(c harness.Cluster) []string {
	var names []string
	for _, place := range c.Places() {
		names = append(names, place.Name)
	}
	return names
}
