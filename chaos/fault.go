package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"raftlab/harness"
)

// Kind names a fault family.
type Kind string

const (
	Partition Kind = "partition" // cut from every other member, both ways; clients still reach it
	Crash     Kind = "crash"     // SIGKILL, then started again on the data that it left
	Pause     Kind = "pause"     // stopped where it is, then resumed, the same process
)

// Kinds are the families that ParseFault knows.
var Kinds = []Kind{Partition, Crash, Pause}

// ErrFault is wrapped by the error about a fault that nobody knows.
var ErrFault = errors.New("chaos: fault")

// Fault is a value: what to break, and at whom it is aimed. It prints as "partition leader" and parses back.
type Fault struct {
	Kind   Kind   `json:"kind"`
	Target Target `json:"target"`
}

func (f Fault) String() string { return string(f.Kind) + " " + string(f.Target) }

// ParseFault refuses words that it does not know, and names the known ones.
func ParseFault(kind, target string) (Fault, error) {
	if !slices.Contains(Kinds, Kind(kind)) {
		return Fault{}, fmt.Errorf("%w %q is not known; use %s", ErrFault, kind, words(Kinds))
	}
	t, err := ParseTarget(target)
	return Fault{Kind: Kind(kind), Target: t}, err
}

// family is how one kind of fault is done to resolved members, and what proves that it was.
type family struct {
	apply func(context.Context, harness.Cluster, []string) error
	undo  func(context.Context, harness.Cluster, []string) error
	// judge reads only what was observed, so that each outcome can be tested without a cluster.
	judge func(nodes []string, o Observations) Evidence
}

func (k Kind) family() family {
	switch k {
	case Partition:
		return family{applyPartition, undoPartition, judgePartition}
	case Crash:
		return family{applyCrash, undoCrash, judgeCrash}
	case Pause:
		return family{applyPause, undoPause, judgePause}
	}
	panic("chaos: fault kind " + string(k) + " was not parsed")
}

// Injected is a fault in force on members that were resolved. It is owned by one goroutine, which must call
// Undo even if Inject returned an error: half a fault may be in force.
type Injected struct {
	Fault Fault
	Nodes []string

	cluster harness.Cluster
	seen    Observations
}

// Prepare probes the members that f will hit. Nothing has been done to them yet, so that the intent can go to
// disk first.
func (f Fault) Prepare(ctx context.Context, c harness.Cluster, nodes []string) (*Injected, error) {
	i := &Injected{Fault: f, Nodes: nodes, cluster: c}
	i.seen.World = c.World()
	if f.Kind == Partition {
		i.seen.Links = isolate(members(c), nodes)
	}
	var err error
	i.seen.Before, err = probe(ctx, c, nodes)
	return i, err
}

// Inject puts the fault in force.
func (i *Injected) Inject(ctx context.Context) error {
	err := i.Fault.Kind.family().apply(ctx, i.cluster, i.Nodes)
	i.seen.ApplyError, i.seen.Unsupported = text(err), errors.Is(err, harness.ErrUnsupported)
	return err
}

// Observe reads what the fault does while it is in force. The last reading before Undo counts.
func (i *Injected) Observe(ctx context.Context) error {
	var probed, counted error
	i.seen.During, probed = probe(ctx, i.cluster, i.Nodes)
	if n, ok := i.cluster.(harness.Networker); ok {
		i.seen.Dropped, counted = n.Dropped(ctx)
	}
	return errors.Join(probed, counted)
}

// Undo ends the fault and probes what is left of it.
func (i *Injected) Undo(ctx context.Context) error {
	err := i.Fault.Kind.family().undo(ctx, i.cluster, i.Nodes)
	i.seen.UndoError = text(err)
	var probed, counted error
	i.seen.After, probed = probe(ctx, i.cluster, i.Nodes)
	if n, ok := i.cluster.(harness.Networker); ok {
		i.seen.Left, counted = n.Dropped(ctx)
	}
	return errors.Join(err, probed, counted)
}

// Evidence judges what was observed. Call it after Undo.
func (i *Injected) Evidence() Evidence {
	return i.Fault.Kind.family().judge(i.Nodes, i.seen)
}

// each runs do for every node, and does not stop at the first that fails.
func each(nodes []string, what string, do func(node string) error) error {
	var failed []error
	for _, node := range nodes {
		if err := do(node); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", what, node, err))
		}
	}
	return errors.Join(failed...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
