package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"raftlab/harness"
)

// Links that are not cut but bad. The fault is on every link from or to the target, both ways; `all` is every link.
const (
	Loss      Kind = "loss"
	Delay     Kind = "delay"
	Reorder   Kind = "reorder"
	Duplicate Kind = "duplicate"
	Bandwidth Kind = "bandwidth"
)

func init() {
	delay := Param{Name: "delay", Unit: Duration, Default: "20ms", Means: "what is not reordered waits so long"}
	bad := func(k Kind, does string, shape func(Fault) harness.Shape, params ...Param) {
		Register(Family{
			Kind: k, Does: does, Outside: true, Params: params, Target: All, Draws: []string{string(k) + " all", string(k) + " leader"}, Needs: "a world that can hold packets or bytes back",
			Able: func(c harness.Cluster) error {
				shaper, ok := c.(harness.Shaper)
				if !ok {
					return fmt.Errorf("%s in world %s: %w", k, c.World(), harness.ErrUnsupported)
				}
				return shaper.CanShape(shape(Fault{Kind: k}))
			},
			Check: func(f Fault) error {
				for _, p := range params {
					if p.Unit == Percent && (f.Share(p.Name) == 0 || f.Share(p.Name) == 1 && k == Loss) {
						return fmt.Errorf("%s=%s: it must be above 0%%, and a link that loses all is a partition", p.Name, f.value(p.Name))
					}
				}
				if p := shape(f); p.Jitter > p.Delay || k == Bandwidth && p.Rate == 0 || k == Delay && p.Delay == 0 {
					return errors.New("delay and rate must be above 0, and jitter at most the delay")
				}
				return nil
			},
			New: func() Action { return &link{shape: shape} },
		})
	}
	bad(Loss, "a share of what is sent is lost", func(f Fault) harness.Shape { return harness.Shape{Loss: f.Share("loss")} },
		Param{Name: "loss", Unit: Percent, Default: "20%", Means: "the share"})
	bad(Delay, "what is sent comes late, in order", func(f Fault) harness.Shape {
		return harness.Shape{Delay: f.Duration("delay"), Jitter: f.Duration("jitter")}
	}, Param{Name: "delay", Unit: Duration, Default: "50ms", Means: "how late"},
		Param{Name: "jitter", Unit: Duration, Default: "0s", Means: "up to so much more or less"})
	bad(Reorder, "a share of the packets overtakes the others", func(f Fault) harness.Shape {
		return harness.Shape{Reorder: f.Share("reorder"), Delay: f.Duration("delay")}
	}, Param{Name: "reorder", Unit: Percent, Default: "25%", Means: "the share"}, delay)
	bad(Duplicate, "a share of the packets comes twice", func(f Fault) harness.Shape { return harness.Shape{Duplicate: f.Share("duplicate")} },
		Param{Name: "duplicate", Unit: Percent, Default: "25%", Means: "the share"})
	bad(Bandwidth, "only so much is let through", func(f Fault) harness.Shape { return harness.Shape{Rate: f.Bytes("rate")} },
		Param{Name: "rate", Unit: Bytes, Default: "64KiB", Means: "a second, on each direction of each link"})
}

// link shapes the links of its targets.
type link struct {
	shape   func(Fault) harness.Shape
	links   []harness.Link
	shaping harness.Shaping // nil while nothing is in force

	passed, left map[harness.Link]harness.Passed
}

func (l *link) Prepare(_ context.Context, i *Injected) error {
	l.links = touching(i.Members, i.Nodes)
	return nil
}

// touching lists both directions of every link that has one of the nodes at an end.
func touching(all, nodes []string) []harness.Link {
	var links []harness.Link
	for _, from := range all {
		for _, to := range all {
			if from != to && (slices.Contains(nodes, from) || slices.Contains(nodes, to)) {
				links = append(links, harness.Link{From: from, To: to})
			}
		}
	}
	return links
}

func (l *link) Apply(ctx context.Context, i *Injected) (err error) {
	l.shaping, err = i.Cluster.(harness.Shaper).Shape(ctx, l.links, l.shape(i.Fault))
	return err
}

func (l *link) Observe(ctx context.Context, _ *Injected) (err error) {
	if l.shaping != nil {
		l.passed, err = l.shaping.Passed(ctx)
	}
	return err
}

func (l *link) Undo(ctx context.Context, _ *Injected) error {
	if l.shaping == nil {
		return nil
	}
	healed := l.shaping.Heal(ctx)
	var counted error
	l.left, counted = l.shaping.Passed(ctx)
	return errors.Join(healed, counted)
}

// expectedMin is how many packets a share must have meant before its measure is held against it.
const expectedMin = 20

// Judge wants a queue for every link that something came through, and that what was asked for was done: measured, where it
// can be measured.
func (l *link) Judge(i *Injected, f *Findings) {
	var without []harness.Link
	var sum harness.Passed
	for _, link := range l.links {
		passed, found := l.passed[link]
		if !found {
			without = append(without, link)
		}
		sum = sum.Add(passed)
	}
	f.Require(len(l.links) > 0 && len(without) == 0, "nothing was found that holds back %s", arrows(without))
	f.Require(sum.Packets > 0, "nothing was sent on these links")
	f.Require(len(l.left) == 0, "%s still held back after the heal", Counted(len(l.left), "link"))
	asked := l.shape(i.Fault)
	var did []string
	share := func(name string, asked float64, of uint64) {
		if asked == 0 {
			return
		}
		f.Require(of > 0, "nothing was %s", name)
		f.Require(float64(sum.Packets)*asked < expectedMin || float64(of) > float64(sum.Packets)*asked/2 || name == "reordered",
			"only %s of %s were %s, not %.0f%%", thousands(of), thousands(sum.Packets), name, 100*asked)
		did = append(did, fmt.Sprintf("%s %s", thousands(of), name))
	}
	share("lost", asked.Loss, sum.Lost)
	share("duplicated", asked.Duplicate, sum.Duplicated)
	share("reordered", asked.Reorder, sum.Reordered)
	mean := time.Duration(0)
	if sum.Released > 0 {
		mean = sum.Held / time.Duration(sum.Released)
	}
	// What is slowed by a rate is held for as long as its bytes take.
	want := asked.Delay
	if asked.Rate > 0 && sum.Packets > 0 {
		want = time.Duration(float64(sum.Bytes) / float64(sum.Packets) / float64(asked.Rate) * float64(time.Second))
	}
	if want > 0 && asked.Reorder == 0 {
		f.Require(mean >= want*8/10, "what came was held for %v and not for %v", short(mean), short(want))
	}
	if want > 0 {
		did = append(did, fmt.Sprintf("held for %v in the mean", short(mean)))
	}
	f.Say("%s %s on %s: %s", thousands(sum.Packets), carried(i.Seen.World), Counted(len(l.passed), "link"), strings.Join(did, ", "))
}

// carried is what a world holds back one by one.
func carried(world string) string {
	if world == "process" {
		return "chunks of bytes"
	}
	return "packets"
}
