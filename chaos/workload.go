package chaos

import (
	"errors"
	"fmt"
	"slices"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Workloads are what clients can be told to do: registers are read, written, deleted and swapped; lists are appended to;
// sessions are registers whose writes are sent again, with an idempotency key, until they are answered.
var Workloads = []string{"registers", "lists", "sessions"}

// ErrWorkload is returned for a workload that nobody knows, or that the system cannot be asked.
var ErrWorkload = errors.New("chaos: workload")

// CanAsk says whether clients of a system can be told to do this, before anything is started.
func CanAsk(s harness.System, workload string) error {
	_, err := newWorkload(workload, 0, s)
	return err
}

func newWorkload(name string, keys int, s harness.System) (harness.Workload, error) {
	can := harness.Kinds(s)
	config := harness.RegistersConfig{Keys: keys, Weights: harness.Weights{}.Only(can)}
	switch name {
	case "", "registers":
		return harness.NewRegisters(config)
	case "lists":
		if !slices.Contains(can, linearizability.CAS) {
			return nil, fmt.Errorf("%w: lists are appended to by compare-and-set, which %s does not have: %w", ErrWorkload, s.Name(), harness.ErrUnsupported)
		}
		return harness.NewLists(config)
	case "sessions":
		if !harness.HasSessions(s) {
			return nil, fmt.Errorf("%w: a write may be sent again only with an idempotency key, which %s does not have: %w", ErrWorkload, s.Name(), harness.ErrUnsupported)
		}
		return harness.NewSessions(config)
	}
	return nil, fmt.Errorf("%w %q is not known; use one of %s", ErrWorkload, name, words(Workloads))
}

// asks are the kinds that clients must be served while something is broken.
func (p *progress) asks() []linearizability.Kind {
	if w, ok := p.workload.(interface{ Asks() []linearizability.Kind }); ok {
		return w.Asks()
	}
	return harness.Kinds(p.System)
}

// repeated wants what sessions are for: a write that had no answer at first, and has one.
func repeated(ops []linearizability.Operation) Check {
	again, answered := 0, 0
	for _, op := range ops {
		if op.Attempts > 1 {
			again++
			if op.Outcome == linearizability.OK {
				answered++
			}
		}
	}
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("%s sent more than once, of which %s answered in the end", Counted(again, "write"), thousands(answered))}
	if answered == 0 {
		c.Verdict, c.Reason = Unknown, "no write without an answer was sent again and then answered, so nothing of sessions was tested"
	}
	return c
}

// listed is the checker of lists, where there are some.
func (p *progress) listed(ops []linearizability.Operation) Check {
	r := linearizability.CheckLists(ops)
	c := Check{Looked: fmt.Sprintf("%s of lists with %s tried, in %v", Counted(r.Lists, "read"), Counted(r.Elements, "element"), short(r.Took))}
	switch r.Verdict {
	case linearizability.Pass:
		c.Verdict = Pass
	case linearizability.Fail:
		c.Verdict, c.Reason = Fail, r.Message
	default:
		c.Verdict, c.Reason = Unknown, r.Message
	}
	return c
}
