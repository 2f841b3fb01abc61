package chaos

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"raftlab/harness"
)

const (
	// Crash ends the process, and starts it again on the data that it left.
	Crash Kind = "crash"
	// Rolling ends and starts one member after the other.
	Rolling Kind = "rolling"
)

var signalParam = Param{Name: "signal", Unit: Word, Default: "KILL", Words: []string{"KILL", "TERM"},
	Means: "KILL: no handler runs, nothing is flushed; TERM: it is asked to end"}

func init() {
	Register(Family{
		Kind: Crash, Does: "the process ends, and starts again on the data that it left",
		Needs: "a world that can end a process", Able: needs[harness.Killer]("kill"),
		Params: []Param{signalParam, {Name: "during", Unit: Word, Default: "anything", Words: []string{"anything", "snapshot"},
			Means: "snapshot: while it takes one that it was asked for"}},
		Check: func(f Fault) error {
			if f.Word("during") == "snapshot" && f.Word("signal") == "TERM" {
				return errors.New("during=snapshot is for signal=KILL: who is asked to end ends its snapshot first")
			}
			return nil
		},
		Effect: killing, Stops: true, Excludes: []Kind{Crash, Rolling},
		Draws: []string{"crash leader", "crash follower", "crash all", "crash leader signal=TERM", "crash follower during=snapshot"},
		New:   func() Action { return &crash{} },
	})
	Register(Family{
		Kind: Rolling, Does: "each process ends and is started again, one after the other, each when the one before is ready",
		Needs: "a world that can end a process", Able: needs[harness.Killer]("kill"), Target: All, Params: []Param{signalParam},
		Stops: true, Excludes: []Kind{Crash, Rolling, Pause},
		New: func() Action { return &rolling{} },
	})
}

func (f Fault) signal() syscall.Signal {
	if f.Word("signal") == "TERM" {
		return syscall.SIGTERM
	}
	return syscall.SIGKILL
}

type crash struct {
	died map[string]time.Duration // how long before it was seen dead a member was asked for a snapshot that it never took
}

// Apply returns when every process has ended.
func (c *crash) Apply(ctx context.Context, i *Injected) error {
	if i.Fault.Word("during") == "snapshot" {
		return c.inSnapshot(ctx, i)
	}
	return each(i.Nodes, "kill", func(node string) error { return end(ctx, i, node) })
}

// end sends the signal and waits until the process has ended.
func end(ctx context.Context, i *Injected, node string) error {
	if err := i.Cluster.(harness.Killer).Kill(ctx, node, i.Fault.signal()); err != nil {
		return err
	}
	for {
		p, err := i.Cluster.Probe(ctx, node)
		if err != nil || p.State == harness.Exited {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it has not ended: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// inSnapshot asks each member for one snapshot after the other, and kills it meanwhile. There is something to take one of
// as long as clients write.
func (c *crash) inSnapshot(ctx context.Context, i *Injected) error {
	system, ok := i.System.(harness.Snapshotter)
	if !ok {
		return fmt.Errorf("%s takes no snapshots when it is asked to: %w", i.System.Name(), harness.ErrUnsupported)
	}
	c.died = make(map[string]time.Duration)
	return each(i.Nodes, "kill in a snapshot", func(node string) error {
		endpoint, err := i.Cluster.Endpoint(ctx, node)
		if err != nil {
			return err
		}
		if err := system.Snapshot(ctx, endpoint); err != nil {
			return fmt.Errorf("it takes none: %w", err)
		}
		dead := make(chan struct{})
		unanswered := make(chan time.Time, 1) // when it was asked for the one that it never took, if it was
		go func() {
			defer close(unanswered)
			for {
				asked := time.Now()
				if system.Snapshot(ctx, endpoint) != nil {
					unanswered <- asked
					return
				}
				select {
				case <-dead:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		killed := end(ctx, i, node)
		at := time.Now()
		close(dead)
		if asked, any := <-unanswered; any && asked.Before(at) {
			c.died[node] = at.Sub(asked)
		}
		return killed
	})
}

func (*crash) Observe(context.Context, *Injected) error { return nil }

// Undo starts what is not running. A member that was never killed is left alone.
func (*crash) Undo(ctx context.Context, i *Injected) error { return startAll(ctx, i) }

func startAll(ctx context.Context, i *Injected) error {
	return each(i.Nodes, "start", func(node string) error {
		if p, err := i.Cluster.Probe(ctx, node); err == nil && p.State != harness.Exited {
			return nil
		}
		return i.Cluster.Start(ctx, node)
	})
}

// Judge wants an ended process in between, ended by the signal, and another process after.
func (c *crash) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		before, during, after := i.Seen.Before[node], i.Seen.During[node], i.Seen.After[node]
		f.Require(during.State == harness.Exited, "%s was not seen ended during the fault", node)
		f.Require(during.State != harness.Exited || i.Fault.explains(during.Exit), "%s ended with %d, not by %s", node, during.Exit, i.Fault.signal())
		f.Require(another(before, after), "%s does not run as another process after", node)
		f.Say("%s ended with %d, pid %d → %d", node, during.Exit, before.PID, after.PID)
	}
	if i.Fault.Word("during") != "snapshot" {
		return
	}
	for _, node := range i.Nodes {
		before, unanswered := c.died[node]
		f.Require(unanswered, "%s had taken every snapshot that it was asked for when it died", node)
		f.Say("%s was asked for a snapshot %v before it was seen dead, and never said that it has one", node, short(before))
	}
}

// explains says whether a process that got the signal may end so. Who is asked to end may do it in good order.
func (f Fault) explains(exit int) bool {
	if f.signal() == syscall.SIGTERM {
		return exit == 0 || exit == 128+int(syscall.SIGTERM)
	}
	return exit == killedExit
}

// another says whether after is a running process, and not the one before.
func another(before, after harness.Probe) bool {
	return after.State == harness.Running && (after.PID != before.PID || !after.Started.Equal(before.Started))
}

const killedExit = 128 + int(syscall.SIGKILL)

// rolling remembers how each of its members ended.
type rolling struct{ ended map[string]harness.Probe }

func (r *rolling) Apply(context.Context, *Injected) error {
	r.ended = make(map[string]harness.Probe)
	return nil
}

// restartMax is how long one member may take to end, start and be ready, on a busy machine.
const restartMax = 30 * time.Second

// Act takes one member after the other, until all are done.
func (r *rolling) Act(ctx context.Context, i *Injected) error {
	for _, node := range i.Nodes {
		if ctx.Err() != nil {
			return nil // the judge names who was not reached
		}
		err := func() (err error) {
			// What is begun is brought to its end: no member is left down because of an interrupt.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartMax)
			defer cancel()
			if err = end(ctx, i, node); err != nil {
				return err
			}
			if r.ended[node], err = i.Cluster.Probe(ctx, node); err != nil {
				return err
			}
			if err = i.Cluster.Start(ctx, node); err != nil {
				return err
			}
			return harness.AwaitReady(ctx, i.Cluster, i.System, node)
		}()
		if err != nil {
			return fmt.Errorf("restart %s: %w", node, err)
		}
	}
	return nil
}

func (*rolling) Observe(context.Context, *Injected) error { return nil }

func (*rolling) Undo(ctx context.Context, i *Injected) error { return startAll(ctx, i) }

// Judge wants every member to have ended by the signal, and another process in its place.
func (r *rolling) Judge(i *Injected, f *Findings) {
	for _, node := range i.Nodes {
		ended, reached := r.ended[node]
		f.Require(reached, "%s was not reached in time", node)
		f.Require(!reached || ended.State == harness.Exited && i.Fault.explains(ended.Exit), "%s ended with %d, not by %s", node, ended.Exit, i.Fault.signal())
		f.Require(another(i.Seen.Before[node], i.Seen.After[node]), "%s does not run as another process after", node)
	}
	f.Say("%s restarted one after the other", Counted(len(r.ended), "member"))
}
