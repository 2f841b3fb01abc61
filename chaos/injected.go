package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"raftlab/harness"
)

// Injected is a fault at members that were resolved. It is owned by one goroutine, which must call Undo even if Inject
// returned an error: half a fault may be in force.
type Injected struct {
	Fault   Fault
	Nodes   []string // that it hits
	Members []string // of the cluster
	Cluster harness.Cluster
	System  harness.System
	Front   *harness.Front // nil where no fault of the schedule needs one
	Random  *rand.Rand     // for what the family itself draws; the same for one seed and place in the schedule
	Seen    Observations

	action Action
	tried  bool // something may be in force
}

// Prepare probes the members that the fault will hit. Nothing has been done to them yet, so that the intent can go to
// disk first.
func (i *Injected) Prepare(ctx context.Context) error {
	i.action = i.Fault.Kind.family().New()
	i.Seen.World = i.Cluster.World()
	var err error
	i.Seen.Before, err = probe(ctx, i.Cluster, i.Nodes)
	if p, ok := i.action.(Preparer); ok {
		err = errors.Join(err, p.Prepare(ctx, i))
	}
	return err
}

// Inject puts the fault in force. What this world cannot do is not tried.
func (i *Injected) Inject(ctx context.Context) error {
	err := i.Fault.Kind.family().able(i.Cluster)
	if err == nil {
		i.tried = true
		err = i.action.Apply(ctx, i)
	}
	i.Seen.ApplyError, i.Seen.Unsupported = text(err), errors.Is(err, harness.ErrUnsupported)
	return err
}

// Last lets the fault go on for d, or until ctx ends. Call it after an Inject without an error. One that is Acting may
// take longer, to bring to its end what it has begun.
func (i *Injected) Last(ctx context.Context, d time.Duration) error {
	until := time.After(d)
	var err error
	if a, ok := i.action.(Acting); ok {
		err = a.Act(ctx, i)
		i.Seen.ApplyError = text(err)
	}
	select {
	case <-until:
	case <-ctx.Done():
	}
	return err
}

// Observe reads what the fault does while it is in force. The last reading before Undo counts.
func (i *Injected) Observe(ctx context.Context) error {
	var probed error
	i.Seen.During, probed = probe(ctx, i.Cluster, i.Nodes)
	if !i.tried {
		return probed
	}
	return errors.Join(probed, i.action.Observe(ctx, i))
}

// Undo ends the fault and probes what is left of it.
func (i *Injected) Undo(ctx context.Context) error {
	var err error
	if i.tried {
		err = i.action.Undo(ctx, i)
	}
	i.Seen.UndoError = text(err)
	i.Seen.Gone = nil
	left := members(i.Cluster)
	for _, node := range i.Nodes {
		if !slices.Contains(left, node) {
			i.Seen.Gone = append(i.Seen.Gone, node)
		}
	}
	var probed error
	i.Seen.After, probed = probe(ctx, i.Cluster, i.Nodes)
	return errors.Join(err, probed)
}

// Evidence judges what was observed. Call it after Undo.
func (i *Injected) Evidence() Evidence { return i.judge(i.action) }

func (i *Injected) judge(a Action) Evidence {
	f := judgeEdges(i.Nodes, i.Seen)
	a.Judge(i, f)
	return f.evidence()
}
