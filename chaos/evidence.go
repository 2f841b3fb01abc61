package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"raftlab/harness"
)

// Outcome says what is known about whether a fault was in force.
type Outcome string

const (
	Installed     Outcome = "installed"     // shown to have bitten, and to be gone
	Skipped       Outcome = "skipped"       // certainly not in force: nothing was tested
	Indeterminate Outcome = "indeterminate" // something that would show it is missing
)

// Evidence is what proves a fault. Only Installed earns coverage; anything else makes the run UNKNOWN and
// names what is missing.
type Evidence struct {
	Outcome Outcome  `json:"outcome"`
	Says    string   `json:"says,omitempty"`    // what was seen, in a few words
	Missing []string `json:"missing,omitempty"` // what would have to be seen for Installed
	Dropped uint64   `json:"dropped,omitempty"` // by this fault's own rules
}

// Observations are the readings around one fault that every family needs, from the kernel or the engine, never from a
// member. What a family reads besides is in its Action.
type Observations struct {
	World                 string
	Before, During, After map[string]harness.Probe
	// HeldBefore and HeldAfter are members that other faults kept from running then.
	HeldBefore, HeldAfter []string
	Gone                  []string // members before the fault, and dropped since
	ApplyError, UndoError string
	Unsupported           bool // the world said that it cannot do this at all
}

// unit is what a world counts where it cuts a link.
func unit(world string) string {
	if world == "process" {
		return "chunks of bytes and connections"
	}
	return "packets"
}

// probe reads the process of each node. It goes on after an error, so that one member that cannot be probed
// does not hide the others.
func probe(ctx context.Context, c harness.Cluster, nodes []string) (map[string]harness.Probe, error) {
	read := make(map[string]harness.Probe, len(nodes))
	var failed []error
	for _, node := range nodes {
		p, err := c.Probe(ctx, node)
		if err != nil {
			failed = append(failed, fmt.Errorf("probe %s: %w", node, err))
			continue
		}
		read[node] = p
	}
	return read, errors.Join(failed...)
}

// Findings collects what a judge finds missing, and what it has seen.
type Findings struct {
	missing []string
	skipped []string
	seen    []string
	dropped uint64
}

// Require notes what is missing where ok is false.
func (f *Findings) Require(ok bool, format string, args ...any) {
	if !ok {
		f.missing = append(f.missing, fmt.Sprintf(format, args...))
	}
}

// Skip notes why the fault was certainly not in force.
func (f *Findings) Skip(format string, args ...any) {
	f.skipped = append(f.skipped, fmt.Sprintf(format, args...))
}

// Say notes what was seen, in a few words.
func (f *Findings) Say(format string, args ...any) {
	f.seen = append(f.seen, fmt.Sprintf(format, args...))
}

// Dropped adds to what the fault's own rules have swallowed.
func (f *Findings) Dropped(n uint64) { f.dropped += n }

// judgeEdges checks what every family needs: each target ran before, the injection and its undo reported no
// error, and each target runs again, unless another fault keeps it from that.
func judgeEdges(nodes []string, o Observations) *Findings {
	f := &Findings{}
	for _, node := range nodes {
		before, probed := o.Before[node]
		f.Require(probed, "%s could not be probed before", node)
		// A pause aimed at a process that was killed already is no pause (openraft #1919).
		if probed && before.State != harness.Running && !slices.Contains(o.HeldBefore, node) {
			f.Skip("%s was %s before the fault", node, before.State)
		}
		if slices.Contains(o.Gone, node) {
			continue // its process was ended by whoever dropped it
		}
		after, probed := o.After[node]
		f.Require(probed, "%s could not be probed after", node)
		f.Require(!probed || after.State == harness.Running || slices.Contains(o.HeldAfter, node), "%s is %s after the undo", node, after.State)
	}
	if o.Unsupported {
		f.Skip("%s", o.ApplyError)
		return f
	}
	f.Require(o.ApplyError == "", "injection failed: %s", o.ApplyError)
	f.Require(o.UndoError == "", "undo failed: %s", o.UndoError)
	return f
}

func (f *Findings) evidence() Evidence {
	e := Evidence{Outcome: Installed, Says: strings.Join(f.seen, ", "), Dropped: f.dropped}
	switch {
	case len(f.skipped) > 0:
		e.Outcome, e.Missing = Skipped, f.skipped
	case len(f.missing) > 0:
		e.Outcome, e.Missing = Indeterminate, f.missing
	}
	if e.Outcome != Installed {
		e.Says = strings.Join(e.Missing, "; ")
	}
	return e
}
