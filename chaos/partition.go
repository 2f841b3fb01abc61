package chaos

import (
	"context"
	"fmt"
	"strings"

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

// judgePartition wants a rule for every link between the targets and the rest, packets that were swallowed between each
// target and most of the rest, and no rule left. One rule of eight that bites cuts nobody off.
func judgePartition(nodes []string, o Observations) Evidence {
	f := judgeEdges(nodes, o)
	f.require(len(o.Links) > 0, "it is not known which links were to be cut")
	var total uint64
	var without []string
	for _, packets := range o.Dropped {
		total += packets
	}
	for _, link := range o.Links {
		if _, found := o.Dropped[link]; !found {
			without = append(without, link.From+" → "+link.To)
		}
	}
	f.require(len(without) == 0, "no rule was found for %s", strings.Join(without, ", "))
	for _, node := range nodes {
		bit, silent := swallowed(node, o)
		f.require(bit > len(silent), "the rules between %s and %s dropped nothing", node, strings.Join(silent, " "))
	}
	f.require(len(o.Left) == 0, "%s left after the heal", Counted(len(o.Left), "rule"))
	return f.evidence(fmt.Sprintf("%s %s dropped by %s", thousands(total), unit(o.World), Counted(len(o.Dropped), "rule")), total)
}

// swallowed counts the members on the other side that node was cut off from with packets to show for it, in either
// direction, and names those with none. Not all must have some: followers say nothing to each other.
func swallowed(node string, o Observations) (bit int, silent []string) {
	for _, link := range o.Links {
		if link.From != node {
			continue
		}
		if o.Dropped[link]+o.Dropped[harness.Link{From: link.To, To: node}] > 0 {
			bit++
		} else {
			silent = append(silent, link.To)
		}
	}
	return bit, silent
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
