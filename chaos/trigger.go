package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"raftlab/harness"
)

// Trigger says when an event begins: at a time, or when something of the cluster or its clients is first seen. It is
// comparable, and prints as it is parsed.
type Trigger struct {
	On   Signal
	Time time.Duration // for AtTime: since the end of the warm-up
	N    uint64        // for AtOps, AtCommit and AtTerm
	Node string        // for WhenLeader: who must lead; empty is anybody
}

// Signal is what a Trigger waits for.
type Signal string

const (
	AtTime     Signal = ""       // at 2.1s
	AtOps      Signal = "ops"    // at ops 500: so many operations have ended since the warm-up
	AtCommit   Signal = "commit" // at commit 1200: some member has said that it knows this index to be committed
	AtTerm     Signal = "term"   // at term 4: some member has been seen in this term, or a later one
	WhenLeader Signal = "leader" // when leader: the next election after the event before it in the schedule began
)

// triggerForms is what the error about a trigger names.
const triggerForms = "at 2s, at ops 500, at commit 1200, at term 4, when leader, when leader n2"

// At is the trigger of a time.
func At(d time.Duration) Trigger { return Trigger{Time: d} }

func (t Trigger) String() string {
	switch t.On {
	case AtTime:
		return fmt.Sprintf("at %v", t.Time)
	case WhenLeader:
		return strings.TrimSpace("when leader " + t.Node)
	}
	return fmt.Sprintf("at %s %d", t.On, t.N)
}

// parseTrigger takes the words of a trigger from the front of a line.
func parseTrigger(line []string) (t Trigger, rest []string, err error) {
	bad := fmt.Errorf("%q does not begin with one of: %s", strings.Join(line, " "), triggerForms)
	if len(line) < 2 {
		return t, nil, bad
	}
	switch {
	case line[0] == "at" && (line[1] == string(AtOps) || line[1] == string(AtCommit) || line[1] == string(AtTerm)):
		if len(line) < 3 {
			return t, nil, bad
		}
		t.On = Signal(line[1])
		if t.N, err = strconv.ParseUint(line[2], 10, 63); err != nil || t.N == 0 {
			return t, nil, fmt.Errorf("at %s %q is not a whole number above 0", line[1], line[2])
		}
		return t, line[3:], nil
	case line[0] == "at":
		t.Time, err = offset(line[1])
		return t, line[2:], err
	case line[0] == "when" && line[1] == string(WhenLeader):
		t.On = WhenLeader
		if len(line) > 2 && memberName.MatchString(line[2]) {
			t.Node = line[2]
			return t, line[3:], nil
		}
		return t, line[2:], nil
	}
	return t, nil, bad
}

// clock is what triggers are compared with.
type clock struct {
	start     time.Time // the end of the warm-up
	ended     func() uint64
	opsBefore uint64
	monitor   *harness.Monitor // nil where nobody can ask the members
}

// term is the latest that any member was seen in.
func (c *clock) term() uint64 {
	if c.monitor == nil {
		return 0
	}
	term, _ := highest(c.monitor.Observed())
	return term
}

const triggerEvery = 10 * time.Millisecond

// await returns nil when t has come; an election is one after the term before. The error says why that cannot be, or that
// ctx has ended.
func (c *clock) await(ctx context.Context, t Trigger, before uint64) error {
	if t.On == AtTime {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(c.start.Add(t.Time))):
			return ctx.Err()
		}
	}
	if t.On != AtOps && c.monitor == nil {
		return fmt.Errorf("%w: %s: nobody can ask the members for it", ErrSchedule, t)
	}
	ticker := time.NewTicker(triggerEvery)
	defer ticker.Stop()
	for !c.come(t, before) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func (c *clock) come(t Trigger, before uint64) bool {
	if t.On == AtOps {
		return c.ended()-c.opsBefore >= t.N
	}
	seen := c.monitor.Observed()
	if t.On == WhenLeader {
		for _, e := range seen.Elections {
			if e.Term > before && (t.Node == "" || e.Node == t.Node) {
				return true
			}
		}
		return false
	}
	term, commit := highest(seen)
	return t.On == AtTerm && term >= t.N || t.On == AtCommit && commit >= t.N
}

// highest is the latest that any member has last said of itself.
func highest(seen harness.Observed) (term, commit uint64) {
	for _, sample := range seen.Last {
		if sample.Status != nil {
			term, commit = max(term, sample.Status.Term), max(commit, sample.Status.Commit)
		}
	}
	for _, e := range seen.Elections {
		term = max(term, e.Term)
	}
	return term, commit
}
