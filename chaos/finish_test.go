package chaos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

func TestAPanicInOneLogOfManyIsAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		log       string
		collected error
		want      Verdict
	}{
		"quiet":             {"n2@3 leader: commit 17\n", nil, Pass},
		"panic":             {"n2@3 leader: commit 17\npanic: raft: commit 18 beyond log 17\n\ngoroutine 1 [running]:\n", nil, Fail},
		"runtime":           {"fatal error: concurrent map writes\n", nil, Fail},
		"inside a log line": {`{"level":"ERROR","msg":"http: panic serving: panic: nil map"}` + "\n", nil, Fail},
		"not collected":     {"", errors.New("engine gone"), Unknown},
		"panic and more":    {"panic: x\n", errors.New("engine gone"), Fail},
	} {
		dir, err := harness.CreateRun(t.TempDir(), "test", 1, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for node, log := range map[string]string{"n1": "started\n", "n2": c.log} {
			at, err := dir.Node(node)
			if err == nil {
				err = os.WriteFile(filepath.Join(at, "log"), []byte(log), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := noPanic(dir, []string{"n1", "n2"}, c.collected); got.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
		if got := noPanic(dir, []string{"n1", "n2", "n3"}, nil); c.want == Pass && got.Verdict != Unknown {
			t.Errorf("%s: a missing log is %+v", name, got)
		}
	}
}

func TestAnInvariantFailsOnAFindingAndPassesOnlyIfSomethingWasSeen(t *testing.T) {
	rules := []harness.Rule{harness.OneLeaderPerTerm, harness.CommitMonotonic, harness.EqualStateHash}
	seen := harness.Observed{Samples: 10, Failed: 2, Compared: 3, Applied: 4, Hashed: 4, Hashes: 4, Commit: 9, Elections: []harness.Election{{Term: 1, Node: "n1"}}}
	for _, rule := range rules {
		if c := invariant(rule, seen, nil); c.Verdict != Pass {
			t.Errorf("%s over an honest run: %+v", rule, c)
		}
		if c := invariant(rule, harness.Observed{Samples: 5, Failed: 5}, nil); c.Verdict != Unknown {
			t.Errorf("%s over no answer at all: %+v", rule, c)
		}
		for _, broken := range rules {
			bad := seen
			bad.Findings = []harness.Finding{{Rule: broken, Text: "n1 and n2 differ"}}
			want := Pass
			if broken == rule {
				want = Fail
			}
			if c := invariant(rule, bad, nil); c.Verdict != want {
				t.Errorf("%s where %s is broken: %+v", rule, broken, c)
			}
		}
	}
}

// An adapter that fills in nothing, or always the same, has members that agree with each other whatever they hold.
func TestAnswersThatAreAllAlikeProveNothing(t *testing.T) {
	honest := harness.Observed{Samples: 100, Compared: 50, Applied: 40, Hashed: 40, Hashes: 40, Commit: 9}
	for name, c := range map[string]struct {
		rule   harness.Rule
		change func(*harness.Observed)
		want   string
	}{
		"one hash for all states":           {harness.EqualStateHash, func(o *harness.Observed) { o.Hashes = 1 }, "40 applied indexes have one and the same hash"},
		"one applied index":                 {harness.EqualStateHash, func(o *harness.Observed) { o.Applied, o.Hashed, o.Hashes = 1, 1, 1 }, "the same applied index all along"},
		"no commit index":                   {harness.CommitMonotonic, func(o *harness.Observed) { o.Commit = 0 }, "no member told a commit index"},
		"a hash only of a member at rest":   {harness.EqualStateHash, func(o *harness.Observed) { o.Hashed, o.Hashes = 2, 1 }, ""},
		"fewer states than applied indexes": {harness.EqualStateHash, func(o *harness.Observed) { o.Hashes = 12 }, ""},
	} {
		seen := honest
		c.change(&seen)
		got := invariant(c.rule, seen, nil)
		if (got.Verdict == Pass) != (c.want == "") || !strings.Contains(got.Reason, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// closing is a cluster that can only be closed.
type closing struct {
	harness.Cluster
	err error
}

func (closing) Places() []harness.Place       { return []harness.Place{{Name: "n1"}} }
func (c closing) Close(context.Context) error { return c.err }

func TestWhatAClusterLeavesBehindIsAFailure(t *testing.T) {
	left := func(names []string, err error) func(context.Context) ([]string, error) {
		return func(context.Context) ([]string, error) { return names, err }
	}
	for name, c := range map[string]struct {
		closed    error
		leftovers func(context.Context) ([]string, error)
		want      Verdict
		says      string
	}{
		"clean":         {nil, left(nil, nil), Pass, ""},
		"a container":   {nil, left([]string{"container n1-agent"}, nil), Fail, "container n1-agent"},
		"close failed":  {errors.New("engine gone"), left(nil, nil), Unknown, "engine gone"},
		"not looked at": {nil, nil, Unknown, "nobody can say"},
		"look failed":   {nil, left(nil, errors.New("engine gone")), Unknown, "engine gone"},
	} {
		p := &progress{Experiment: Experiment{Cluster: closing{err: c.closed}, Leftovers: c.leftovers}}
		if got := p.close(t.Context()); got.Verdict != c.want || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: got %+v, want %s with %q", name, got, c.want, c.says)
		}
	}
}

func TestALimitOnTheDrawnKeysIsSaid(t *testing.T) {
	dir, err := harness.CreateRun(t.TempDir(), "test", 1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for failing, want := range map[int]string{7: "drawn are the first 5 failing keys only; check.json names 2 more", 5: ""} {
		p := &progress{Experiment: Experiment{Dir: dir}}
		p.draw(t.Context(), linearizability.History{}, make([]linearizability.KeyReport, failing))
		lines := strings.Join(p.result.Lines(), "\n")
		if len(p.result.Drawings) != 5 || !strings.Contains(lines, want) || want == "" && strings.Contains(lines, "only") {
			t.Errorf("%d failing keys:\n%s", failing, lines)
		}
	}
}

func TestOneOfAThingIsNotPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 faults", 1: "1 fault", 2: "2 faults", 2000: "2,000 faults"} {
		if got := Counted(n, "fault"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// A run of sessions in which no write had to be sent again has tested nothing of them.
func TestSessionsAreTestedOnlyByWritesThatAreSentAgain(t *testing.T) {
	once := linearizability.Operation{Kind: linearizability.Put, Once: "a", Result: linearizability.Result{Outcome: linearizability.OK}}
	lost, again := once, once
	lost.Attempts, lost.Outcome = 4, linearizability.Unknown
	again.Attempts = 2
	for _, c := range []struct {
		ops  []linearizability.Operation
		want Verdict
	}{
		{nil, Unknown},
		{[]linearizability.Operation{once}, Unknown},
		{[]linearizability.Operation{once, lost}, Unknown},
		{[]linearizability.Operation{once, lost, again}, Pass},
	} {
		if got := repeated(c.ops); got.Verdict != c.want {
			t.Errorf("%d operations: %s, want %s: %s, %s", len(c.ops), got.Verdict, c.want, got.Looked, got.Reason)
		}
	}
}
