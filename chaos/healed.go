package chaos

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"raftlab/harness"
)

// healedCheck is about what the other checks of the healed cluster take for granted.
const healedCheck = "everything healed"

// healed asks, once every fault was undone, for the process of each member, and for what could not be undone. A member that has
// ended by itself is a bug of the store. One that was ended by a signal from outside, one that nobody can find, and a link that
// is still cut say nothing of it: another hand did that, or the kernel, for want of memory.
func (p *progress) healed(ctx context.Context) Check {
	c := Check{Name: healedCheck, Verdict: Pass, Looked: "processes of " + Counted(len(p.Cluster.Places()), "member") + ", and what could not be undone"}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	reasons := p.breaking.remains
	nodes := members(p.Cluster)
	found, err := probe(ctx, p.Cluster, nodes)
	if err != nil {
		reasons = append(reasons, "nobody can say whether each member runs: "+text(err))
	}
	if len(reasons) > 0 {
		c.Verdict = Unknown
	}
	for _, node := range nodes {
		process, probed := found[node]
		if !probed {
			continue
		}
		verdict, reason := survived(node, process, p.breaking.started[node])
		if reason != "" {
			reasons = append(reasons, reason)
		}
		c.Verdict = Worst(c.Verdict, verdict)
	}
	c.Reason = strings.Join(reasons, "; ")
	return c
}

// survived judges one member; started is since when it should run, zero where that is not known.
func survived(node string, found harness.Probe, started time.Time) (Verdict, string) {
	switch {
	case found.State == harness.Running && !started.IsZero() && !found.Started.Equal(started):
		return Unknown, fmt.Sprintf("%s was started again at %s, by another hand", node, found.Started.UTC().Format(time.TimeOnly))
	case found.State == harness.Running:
		return Pass, ""
	case found.State == harness.Paused:
		return Unknown, fmt.Sprintf("%s is paused although every fault was undone: by another hand", node)
	}
	switch signal := syscall.Signal(found.Exit - 128); signal {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
		return Unknown, fmt.Sprintf("%s was ended by a signal (%v) and does not run although every fault was undone: it could not be started again, "+
			"or another hand did it, or the kernel for want of memory", node, signal)
	}
	return Fail, fmt.Sprintf("%s ended by itself, with exit code %d; its log says why", node, found.Exit)
}

// excuse is for a check that a store cannot pass while something is broken that is not its doing.
func excuse(c, healed Check) Check {
	if c.Verdict == Fail && healed.Verdict == Unknown {
		c.Verdict, c.Reason = Unknown, "not everything is healed: "+c.Reason
	}
	return c
}
