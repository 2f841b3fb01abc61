package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted is one bug: what is replaced by what, and which checks may convict it. The full museum is chaos/mutants.
type planted struct {
	name, file, old, new string
	checks               []string
}

var plants = []planted{
	{"vote-not-durable", "raft/election.go",
		"	r.tracef(\"vote for %v\", m.From)\n	r.promise(Message{Type: MsgVoteReply, To: m.From})",
		"	r.tracef(\"vote for %v\", m.From)\n	r.send(Message{Type: MsgVoteReply, To: m.From})", []string{"figure-3", "invariant", "ledger"}},
	{"commit-older-term", "raft/commit.go", "|| !ok || term != r.hard.Term {", "|| !ok || term == 0 {", []string{"figure-3", "invariant", "ledger"}},
	{"reply-before-fsync", "raft/replication.go", "	r.promise(reply)\n}", "	r.send(reply)\n}", []string{"figure-3", "invariant", "ledger", "liveness", "panic"}},
	{"local-read", "raft/readindex.go", "	case r.role == Leader:\n", "	case r.role == Leader:\n		r.reads = append(r.reads, ReadResult{Context: in.Context, Index: r.committed})\n	case r.role == Candidate && r.lead != nil:\n", []string{"stale", "linearizability"}},
	{"quorum-half", "raft/membership.go", "return c.Voters()/2 + 1 }", "return max(1, c.Voters()/2) }", []string{"figure-3", "invariant", "ledger"}},
	{"corruption-cut-as-torn", "node/internal/wal/scan.go", "	case proven > t.end:", "	case false && proven > t.end:", []string{"figure-3", "invariant", "ledger", "start", "liveness", "panic"}},
	{"leader-counts-unsynced-self", "raft/commit.go", "return r.log.stable\n", "return r.log.last()\n", []string{"figure-3", "invariant", "ledger", "liveness"}},
	{"retry-applied-twice", "node/internal/kv/sessions.go", "	case ok:\n", "	case ok && result.Index == 0:\n", []string{"ledger"}},
	{"restored-with-the-old-term", "node/internal/kv/restore.go", "	s.state = restored\n", "	restored.at.Term = s.at.Term\n	s.state = restored\n", []string{"witness"}},
	{"change-before-own-term", "raft/membership.go", "	case !r.committedOwnTerm():\n		// Two", "	case false:\n		// Two", []string{"figure-3", "invariant", "ledger"}},
	{"append-answers-for-ever", "raft/replication.go", "p.told < min(r.committed, p.next-1)", "p.told < r.committed", []string{"storm"}},
	{"no-heartbeat-after-heal", "raft/replication.go", "	if p.snapshot != 0 {\n		if must {", "	if p.snapshot != 0 || p.next < r.committed {\n		if must && p.next == 0 {", []string{"liveness"}},
}

// build compiles the swarm with the bug in it, and leaves the source alone.
func (p planted) build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(root, filepath.FromSlash(p.file))
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), p.old); n != 1 {
		t.Fatalf("%s: what the bug replaces in %s is there %d times", p.name, p.file, n)
	}
	dir := t.TempDir()
	patched := filepath.Join(dir, "patched.go")
	if err := os.WriteFile(patched, []byte(strings.Replace(string(text), p.old, p.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: patched}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "swarm")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "./node/sim/testdata/swarm")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", p.name, err, said)
	}
	return out
}

// TestTheSwarmFindsPlantedBugs compiles each bug into a copy and runs the default swarm on it. It takes minutes, most of
// them in the compiler: SIM_PLANT=all go test ./node/sim -run Planted -v, or SIM_PLANT=<name>. Without SIM_PLANT one is
// planted.
func TestTheSwarmFindsPlantedBugs(t *testing.T) {
	want := os.Getenv("SIM_PLANT")
	if want == "" {
		want = "quorum-half"
	}
	found := false
	for _, p := range plants {
		if want != "all" && want != p.name {
			continue
		}
		found = true
		t.Run(p.name, func(t *testing.T) {
			swarm := p.build(t)
			began := time.Now()
			said, err := exec.CommandContext(t.Context(), swarm, "0", "2000").CombinedOutput()
			t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), strings.TrimSpace(string(said)))
			if err == nil {
				t.Fatal("it was not found")
			}
			for _, check := range p.checks {
				if strings.Contains(string(said), ": "+check+", after") {
					return
				}
			}
			t.Errorf("it was convicted by a check that does not fit: %s", said)
		})
	}
	if !found {
		t.Fatalf("SIM_PLANT=%q is no planted bug", want)
	}
}
