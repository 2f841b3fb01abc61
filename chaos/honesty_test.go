package chaos_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/harness/process"
)

// untold is a store that does not say what its members know: it has no Inspect.
type untold struct{ harness.System }

func TestAStoreWithoutAnInspectorIsUnknownAtOnceAndSaysWhy(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms pause leader for 1s\nat 1500ms pause n2 for 1500ms\nend 3500ms")
	x.System = untold{x.System}
	x.Patience = time.Minute
	result := judged(t, x)
	if result.Verdict != chaos.Unknown || result.Took > x.Patience/2 {
		t.Errorf("%s after %v: %s", result.Verdict, result.Took, result.Reason())
	}
	for check, want := range map[string]string{
		"converged":           "nobody can compare the members: ",
		"one leader per term": "nobody can ask the members: ",
		"every fault proven":  "fault #1 (pause leader) skipped: chaos: target leader: nobody can tell who leads: ",
	} {
		c := verdictOf(t, result, check)
		if c.Verdict != chaos.Unknown || !strings.HasPrefix(c.Reason, want) || !strings.Contains(c.Reason, "raftkv does not tell its members' status") {
			t.Errorf("%s: %s %q", check, c.Verdict, c.Reason)
		}
	}
	if c := verdictOf(t, result, "not vacuous"); c.Verdict != chaos.Pass || !strings.HasPrefix(c.Looked, "1 fault window ") {
		t.Errorf("not vacuous: %+v", c)
	}
	if lines := strings.Join(result.Lines(), "\n"); !strings.Contains(lines, "elections unknown") || !strings.Contains(lines, "without a leader unknown") {
		t.Errorf("nobody looked for a leader, but:\n%s", lines)
	}
}

// slow is a busy machine: its kill returns only when another leader has been announced.
type slow struct {
	*process.Cluster
	elected chan struct{}
}

func (s slow) Kill(ctx context.Context, node string, signal syscall.Signal) error {
	if err := s.Cluster.Kill(ctx, node, signal); err != nil {
		return err
	}
	select {
	case <-s.elected:
	case <-ctx.Done():
	}
	return nil
}

func TestAnElectionThatComesBeforeTheKillReturnsBelongsToTheFault(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms crash leader for 1500ms\nend 3s")
	elected := make(chan struct{})
	x.Cluster = slow{x.Cluster.(*process.Cluster), elected}
	var said []string
	x.Say = func(line string) {
		t.Log(line)
		said = append(said, line)
		if strings.Contains(line, "  leader n") && elected != nil && len(said) > 1 {
			close(elected)
			elected = nil
		}
	}
	result := judged(t, x)
	w := result.Windows[0]
	if c := verdictOf(t, result, "not vacuous"); c.Verdict != chaos.Pass || result.Verdict != chaos.Pass {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
	if last := result.Observed.Elections[len(result.Observed.Elections)-1]; last.At < w.From || last.At > w.InForce || result.Leaderless < last.At-w.From {
		t.Errorf("elected at %v, window from %v, in force at %v, without a leader for %v", last.At, w.From, w.InForce, result.Leaderless)
	}
	if len(said) < 3 || !strings.Contains(said[1], "fault #1 crash leader") || !strings.Contains(said[2], "leader n") || !strings.Contains(said[2], "no leader for") {
		t.Errorf("the fault is not said before what it causes:\n%s", strings.Join(said, "\n"))
	}
}
