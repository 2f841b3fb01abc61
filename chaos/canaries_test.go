package chaos_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
	"raftlab/harness"
	"raftlab/harness/process"
	"raftlab/internal/needs"
)

// Each of these is convicted in every run, so a run that passes it is a hole in the lab. The museum has others that only
// most runs convict: its README says how many.
func TestEachCanaryIsConvictedByTheCheckThatIsThereForIt(t *testing.T) {
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	// What is lost is not always read before it is written again: then only the members' words convict.
	lost := []string{"linearizable", "claimed order", string(harness.EqualStateHash)}
	for id, c := range map[string]struct {
		schedule string
		by       []string // each of these must be FAIL
		of       []string // one of these must be
	}{
		"handler-panics":     {"seed 1\nat 1s pause follower for 1s\nend 2500ms", []string{"no panic in any log", "no member admitted a bug"}, nil},
		"quorum-half":        {"seed 1\nat 500ms partition leader-minority for 4s\nend 5s", nil, lost},
		"reply-before-write": {"seed 1\nat 2s crash all for 500ms\nend 5s", nil, lost},
		"forgets-on-restart": {"seed 1\nat 2s crash all for 500ms\nend 5s", nil, lost},
		"lazy-fsync":         {"seed 1\nat 2s power-cut all older=kept for 500ms\nend 5s", nil, lost},
	} {
		t.Run(id, func(t *testing.T) {
			if strings.Contains(c.schedule, "power-cut") {
				needDisks(t)
			}
			m, err := mutants.Find(id)
			if err != nil {
				t.Fatal(err)
			}
			binary := filepath.Join(t.TempDir(), "raftd")
			if err := m.Build(t.Context(), root, binary); err != nil {
				t.Fatal(err)
			}
			// Without snapshots: what a log forgets may by chance have been in one already, and then nothing is lost.
			x := start(t, binary, c.schedule, "--snapshot-entries", "0")
			x.Patience = 3 * time.Second // members that differ for good are waited for until then
			result := judged(t, x)
			if result.Verdict != chaos.Fail {
				t.Errorf("%s: %s", result.Verdict, result.Reason())
			}
			convicts := func(name string) bool { return verdictOf(t, result, name).Verdict == chaos.Fail }
			if c.of != nil && !slices.ContainsFunc(c.of, convicts) {
				t.Errorf("none of %q is FAIL", c.of)
			}
			for _, name := range c.by {
				if check := verdictOf(t, result, name); check.Verdict != chaos.Fail {
					t.Errorf("%s is %s: %s", name, check.Verdict, check.Reason)
				}
			}
		})
	}
}

// Without these two, what convicts the mutants above might be the scenario.
func TestAnHonestClusterSurvivesAPowerCutOfAll(t *testing.T) {
	needDisks(t)
	result := judged(t, start(t, raftd, "seed 1\nat 2s power-cut all older=kept for 500ms\nend 10s"))
	if result.Verdict != chaos.Pass {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
}

func needDisks(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	needs.Machine(t, process.CheckDisks(t.Context(), []string{self}))
}

func TestAnHonestClusterSurvivesTheKillOfAllAndTheCutOfTwo(t *testing.T) {
	result := judged(t, start(t, raftd, "seed 1\nat 1s crash all for 500ms\nat 4s partition leader-minority for 4s\nend 10s"))
	if result.Verdict != chaos.Pass {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
	if len(result.Claims) != 5 || !strings.Contains(result.Claims["n3"], "version") {
		t.Errorf("the members said of themselves %v", result.Claims)
	}
}
