package raft_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exercise is one change of README.md's tour, and who notices it.
type exercise struct {
	step     string // the row of the tour
	say      string // how the row words it
	file     string
	old, new string // the only place of old in the file becomes new
	seen     string // the test that fails, as -run wants it
	says     string // part of what it says, where a panic must tell more than that it failed
}

var exercises = []exercise{
	{"1.", "in `Ready` of raft.go, save `HardState{Term: r.hard.Term}`, without the vote", "raft.go",
		"HardState: r.hard,\n\t\t\tRestart", "HardState: HardState{Term: r.hard.Term},\n\t\t\tRestart", "TestScripts/election/vote_survives_restart", ""},
	{"2.", "in `handleVote`, `send` the granted vote instead of `promise`", "election.go",
		"r.promise(Message{Type: MsgVoteReply, To: m.From})", "r.send(Message{Type: MsgVoteReply, To: m.From})", "TestScripts/election/no_vote_before_the_disk", ""},
	{"3.", "in `gate`, make the case `m.To != r.config.ID` false", "raft.go",
		"case m.To != r.config.ID:", "case false:", "TestEveryMessagePassesTheGate", ""},
	{"4.", "in `handleVote`, delete the case `r.hard.Vote != 0`", "election.go",
		"case r.hard.Vote != 0 && r.hard.Vote != m.From:", "case false:", "TestScripts/election/one_vote_a_term", ""},
	{"5.", "in `upToDate`, compare length before term", "log.go",
		"if lastTerm != l.lastTerm() {\n\t\treturn lastTerm > l.lastTerm()\n\t}", "if lastIndex != l.last() {\n\t\treturn lastIndex > l.last()\n\t}",
		"TestScripts/election/longer_log_of_an_older_term_loses", ""},
	{"6.", "in `handlePreVote`, delete the case `hearsLeader`", "election.go",
		"\tcase r.hearsLeader():\n\t\twhy = \"a leader is heard\"\n", "", "TestScripts/election/who_hears_a_leader_refuses", ""},
	{"7.", "in `appendFromLeader`, delete the `matches` check, so that every append cuts", "replication.go",
		"if r.log.matches(e.Index, e.Term) {", "if false {", "TestScripts/replication/late_short_append_cuts_nothing", ""},
	{"8.", "in `Persisted.step`, replace `matches` by `in.Index <= r.log.last()`", "raft.go",
		"r.log.matches(in.Index, in.Term) {\n\t\tr.log.stable", "in.Index <= r.log.last() {\n\t\tr.log.stable", "TestScripts/replication/old_write_does_not_vouch_for_new_entries", ""},
	{"9.", "in `advanceCommit`, write `term == 0` for `term != r.hard.Term`", "commit.go",
		"!ok || term != r.hard.Term", "!ok || term == 0", "TestScripts/commit/figure_8", ""},
	{"10.", "in `ChangeMembership.step`, delete the case `ErrChangePending`", "membership.go",
		"\tcase r.ConfigurationIndex() > r.committed:\n\t\treturn ErrChangePending\n", "", "TestScripts/membership/one_change_at_a_time", ""},
	{"11.", "in `compact`, delete the line with `stable`", "snapshot.go",
		"\ti = min(i, r.log.stable)\n", "", "TestScripts/snapshot/what_is_not_on_disk_stays", ""},
	{"12.", "in `startReads`, delete `committedOwnTerm`", "readindex.go",
		" || !r.committedOwnTerm() {", " {", "TestScripts/readindex/no_read_before_a_commit_of_the_own_term", ""},
	{"13.", "in `handleTimeoutNow`, write `campaign(false)`", "transfer.go",
		"r.campaign(true)", "r.campaign(false)", "TestScripts/transfer/target_takes_over_at_once", ""},
	{"14.", "in `becomeFollower`, write `term >= r.hard.Term`", "raft.go",
		"if term > r.hard.Term {\n\t\tr.hard", "if term >= r.hard.Term {\n\t\tr.hard", "TestScripts/election/cut_off_member_disturbs_nobody", "invariant broken at n"},
}

// name is how the README names the test: a script by its last word.
func (e exercise) name() string { return e.seen[strings.LastIndexByte(e.seen, '/')+1:] }

// TestTourHasAnExerciseForEachStep holds README.md to the table: each row of the tour says the exercise and its noticer.
func TestTourHasAnExerciseForEachStep(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(readme)) {
		if step, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " "); ok && strings.HasPrefix(line, "| ") && strings.HasSuffix(step, ".") {
			rows[step] = line
		}
	}
	if len(rows) != len(exercises) {
		t.Errorf("the tour has %d steps, and there are %d exercises", len(rows), len(exercises))
	}
	for _, e := range exercises {
		if !strings.Contains(rows[e.step], e.say+": `"+e.name()+"`") {
			t.Errorf("step %s of README.md must end with\n%s: `%s`\nit is\n%s", e.step, e.say, e.name(), rows[e.step])
		}
		if source, err := os.ReadFile(e.file); err != nil || strings.Count(string(source), e.old) != 1 {
			t.Errorf("step %s: %q must be in one place of %s (%v)", e.step, e.old, e.file, err)
		}
	}
}

// TestExercisesAreNoticed makes the changes of the tour, each on a copy, and wants the test that the tour names to fail.
// A change takes seconds to build, so without RAFT_EXERCISES=all only two are tried:
//
//	RAFT_EXERCISES=all go test ./raft -run TestExercisesAreNoticed -v
func TestExercisesAreNoticed(t *testing.T) {
	for i, e := range exercises {
		if os.Getenv("RAFT_EXERCISES") != "all" && i != 8 && i != 13 {
			continue
		}
		t.Run("step "+strings.TrimSuffix(e.step, "."), func(t *testing.T) { e.try(t) })
	}
}

func (e exercise) try(t *testing.T) {
	source, err := os.ReadFile(e.file)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed, overlay, program := filepath.Join(dir, e.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "raft.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, e.file): changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{changed: strings.Replace(string(source), e.old, e.new, 1), overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-o", program, "-overlay", overlay, ".").CombinedOutput(); err != nil {
		t.Fatalf("after the change of step %s the package does not build, so nobody can try it: %v\n%s", e.step, err, out)
	}
	pattern := "^" + strings.ReplaceAll(e.seen, "/", "$/^") + "$"
	out, err := exec.CommandContext(ctx, program, "-test.run", pattern).CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		t.Fatalf("after this change %s passes: %s\n%s", e.seen, e.say, out)
	case !errors.As(err, &failed) || !strings.Contains(string(out), "--- FAIL: "+e.seen), !strings.Contains(string(out), e.says):
		t.Fatalf("after this change %s did not fail, something else did: %v\n%s", e.seen, err, out)
	}
}
