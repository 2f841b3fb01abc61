package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"raftlab/harness"
	"raftlab/linearizability"
)

// askLogs reads the members' logs, once they have converged. Where they cannot be asked, the order that they claim is
// judged without them, and the check says so.
func (p *progress) askLogs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	logs, failed, err := harness.ReadLogs(ctx, p.Cluster, p.System)
	p.logs = logs
	switch {
	case errors.Is(err, harness.ErrUnsupported):
		p.unasked = "this system's logs cannot be asked"
	case len(failed) > 0:
		var said []string
		for node, err := range failed {
			said = append(said, fmt.Sprintf("the log of %s could not be read: %s", node, text(err)))
		}
		slices.Sort(said)
		p.unasked = strings.Join(said, "; ")
	}
}

// witnessed holds the order that members claim, by the log index in each reply, against what clients saw and against the
// members' logs. porcupine is what the independent checker said of the same history.
func witnessed(r linearizability.Witnessed, unasked string, porcupine linearizability.Verdict) Check {
	c := Check{Looked: fmt.Sprintf("%s, in %v", r.Seen, short(r.Took))}
	if r.Seen.Logs > 0 {
		c.Looked += fmt.Sprintf("; without the logs %s", r.Unpatched)
	}
	switch {
	case r.Nothing:
		c.Verdict, c.Looked, c.Reason = Nothing, r.Message, r.Message
		return c
	case r.Verdict == linearizability.Pass:
		c.Verdict = Pass
	case r.Verdict == linearizability.Fail:
		c.Verdict, c.Reason = Fail, r.Message
		if porcupine == linearizability.Pass {
			c.Reason += "; clients alone could not have noticed: another order explains what they saw"
		}
	default:
		c.Verdict, c.Reason = Unknown, r.Message
	}
	if unasked != "" {
		c.Looked += "; " + unasked
	}
	return c
}
