package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"raftlab/harness"
)

// Partitions, by which links they cut. Clients still reach everybody: a member that lost its peers but not its clients is
// the one that is tempted to answer for them.
const (
	Partition Kind = "partition" // the members from every other member, both ways; they still hear each other
	OneWay    Kind = "one-way"   // one direction only between the members and the rest
	Bridge    Kind = "bridge"    // groups that hear each other only through the members in between
	Ring      Kind = "ring"      // everybody sees a majority, and nobody the same one
)

func init() {
	cutting := func(k Kind, target Target, does string, cut func(f Fault, nodes, members []string) []harness.Link, draws ...string) Family {
		return Family{
			Kind: k, Does: does, Target: target, Draws: draws, Needs: "a world that can cut links", Able: needs[harness.Networker]("cut links"), Spares: true, Outside: true,
			Effect: func(f Fault, nodes, members []string) Effect { return Effect{Cut: cut(f, nodes, members)} },
			Fits: func(f Fault, nodes, members []string) error {
				if len(cut(f, nodes, members)) == 0 {
					return fmt.Errorf("%w: %s at %s cuts no link among %s", ErrTarget, k, strings.Join(nodes, " "), strings.Join(members, " "))
				}
				return nil
			},
			New: func() Action { return &partition{apart: k == Partition || k == OneWay} },
		}
	}
	whole := func(cut func(nodes, members []string) []harness.Link) func(Fault, []string, []string) []harness.Link {
		return func(_ Fault, nodes, members []string) []harness.Link { return cut(nodes, members) }
	}
	apart := cutting(Partition, "", "members are cut off from all others, both ways; those cut off together still hear each other",
		whole(func(nodes, members []string) []harness.Link { return isolate(members, nodes) }),
		"partition leader", "partition leader-minority", "partition half", "partition follower")
	apart.Suffers = "isolated" // a ring leaves every leader its majority, and so does a bridge between halves
	Register(apart)
	// In more parts than two it is not drawn: whoever else breaks the target leaves nobody who could lead, and the fault does
	// not say so. Its log may be behind, and then those that have more can win no election (Omni-Paxos, EuroSys 2023).
	span := cutting(Bridge, One, "the others fall into groups that hear each other only through the target",
		func(f Fault, nodes, members []string) []harness.Link {
			return bridge(members, nodes, int(f.Number("parts")))
		}, "bridge follower")
	span.Params = []Param{{Name: "parts", Unit: Number, Default: "2", Means: "how many groups; with as many as there are others nobody but the target can lead"}}
	span.Check = func(f Fault) error {
		if f.Number("parts") < 2 {
			return errors.New("a bridge is between two parts or more")
		}
		return nil
	}
	Register(span)
	Register(cutting(Ring, All, "every member hears a majority, and no two the same one; of four members or more",
		whole(func(_, members []string) []harness.Link { return ring(members) }), "ring all"))
	oneWay := cutting(OneWay, "", "only one direction between members and all others is cut", oneWay,
		"one-way leader", "one-way leader direction=in", "one-way follower direction=in")
	oneWay.Suffers = "isolated"
	oneWay.Params = []Param{{Name: "direction", Unit: Word, Default: "out", Words: []string{"out", "in"},
		Means: "out: nobody hears the members; in: the members hear nobody"}}
	Register(oneWay)
}

// partition cuts what its family's Effect says.
type partition struct {
	apart bool // the targets are apart from the rest, so that each of them must have been silenced
	links []harness.Link
	cut   harness.Cut // nil while nothing is in force

	dropped map[harness.Link]uint64 // counters of the rules in force, before they are removed
	left    map[harness.Link]uint64 // rules that are still there after the undo
}

func (p *partition) Prepare(_ context.Context, i *Injected) error {
	p.links = i.Fault.effect(i.Nodes, i.Members).Cut
	return nil
}

func (p *partition) Apply(ctx context.Context, i *Injected) (err error) {
	if err := i.Fault.Kind.family().Fits(i.Fault, i.Nodes, i.Members); err != nil {
		return err
	}
	p.cut, err = i.Cluster.(harness.Networker).Cut(ctx, p.links)
	return err
}

func (p *partition) Observe(ctx context.Context, _ *Injected) (err error) {
	if p.cut != nil {
		p.dropped, err = p.cut.Dropped(ctx)
	}
	return err
}

func (p *partition) Undo(ctx context.Context, _ *Injected) error {
	if p.cut == nil {
		return nil
	}
	healed := p.cut.Heal(ctx)
	var counted error
	p.left, counted = p.cut.Dropped(ctx)
	return errors.Join(healed, counted)
}

// Judge wants a rule for every link, packets that were swallowed on most of them, and no rule left. Where the targets are
// apart from the rest that is asked for each target: one rule of eight that bites cuts nobody off. Not all can have some:
// followers say nothing to each other.
func (p *partition) Judge(i *Injected, f *Findings) {
	f.Require(len(p.links) > 0, "it is not known which links were to be cut")
	var total uint64
	var without []harness.Link
	for _, packets := range p.dropped {
		total += packets
	}
	for _, link := range p.links {
		if _, found := p.dropped[link]; !found {
			without = append(without, link)
		}
	}
	f.Require(len(without) == 0, "no rule was found for %s", arrows(without))
	if p.apart {
		for _, node := range i.Nodes {
			bit, silent := p.swallowed(node)
			f.Require(bit > len(silent), "the rules between %s and %s dropped nothing", node, others(node, silent))
		}
	} else {
		bit, silent := p.swallowed("")
		f.Require(bit > len(silent), "the rules for %s dropped nothing", arrows(silent))
	}
	f.Require(len(p.left) == 0, "%s left after the heal", Counted(len(p.left), "rule"))
	f.Dropped(total)
	f.Say("%s %s dropped by %s", thousands(total), unit(i.Seen.World), Counted(len(p.dropped), "rule"))
}

// swallowed counts pairs of members whose links dropped something, in either direction, and returns those that did not.
// With a node it looks at the pairs of that node only.
func (p *partition) swallowed(node string) (bit int, silent []harness.Link) {
	var seen []harness.Link
	for _, link := range p.links {
		back := harness.Link{From: link.To, To: link.From}
		if node != "" && link.From != node && link.To != node || slices.Contains(seen, back) {
			continue
		}
		seen = append(seen, link)
		if p.dropped[link]+p.dropped[back] > 0 {
			bit++
		} else {
			silent = append(silent, link)
		}
	}
	return bit, silent
}

// others are the far ends of links at node.
func others(node string, links []harness.Link) string {
	var names []string
	for _, link := range links {
		if link.From == node {
			names = append(names, link.To)
		} else {
			names = append(names, link.From)
		}
	}
	return strings.Join(names, " ")
}

func arrows(links []harness.Link) string {
	var all []string
	for _, link := range links {
		all = append(all, link.From+" → "+link.To)
	}
	return strings.Join(all, ", ")
}

// isolate lists both directions of every link between the targets and the rest.
func isolate(all, nodes []string) []harness.Link {
	var links []harness.Link
	for _, from := range all {
		for _, to := range all {
			if slices.Contains(nodes, from) != slices.Contains(nodes, to) {
				links = append(links, harness.Link{From: from, To: to})
			}
		}
	}
	return links
}

// oneWay lists the direction of isolate that the fault names.
func oneWay(f Fault, nodes, members []string) []harness.Link {
	return slices.DeleteFunc(isolate(members, nodes), func(l harness.Link) bool {
		return slices.Contains(nodes, l.From) != (f.Word("direction") == "out")
	})
}

// bridge cuts the rest into so many parts, as even as can be, or as many as there are.
func bridge(all, nodes []string, parts int) []harness.Link {
	rest := slices.DeleteFunc(slices.Clone(all), func(m string) bool { return slices.Contains(nodes, m) })
	parts = min(parts, len(rest))
	var links []harness.Link
	for i, from := range rest {
		for j, to := range rest {
			if i*parts/len(rest) != j*parts/len(rest) {
				links = append(links, harness.Link{From: from, To: to})
			}
		}
	}
	return links
}

// ring leaves each member as many neighbours on either side as make a majority with it, and no more.
func ring(all []string) []harness.Link {
	n := len(all)
	side := (n/2 + 1) / 2
	var links []harness.Link
	for i, from := range all {
		for j, to := range all {
			apart := (j - i + n) % n
			if i != j && min(apart, n-apart) > side {
				links = append(links, harness.Link{From: from, To: to})
			}
		}
	}
	return links
}

func members(c harness.Cluster) []string { return harness.Names(c) }
