package mutants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/harness/scratch"
)

// TestLayersFindAPlantedBugAndNothingWhereThereIsNone: one that finds a bug in everything would find all of the museum.
func TestLayersFindAPlantedBugAndNothingWhereThereIsNone(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	planted, err := Find("no-log-check")
	if err != nil {
		t.Fatal(err)
	}
	remark, err := ParsePatch("--- a/raft/log.go\n+++ b/raft/log.go\n@@ -1,1 +1,2 @@\n package raft\n+// This changes nothing.\n")
	if err != nil {
		t.Fatal(err)
	}
	honest := Mutant{ID: "honest", Kind: Trap, Patch: remark}
	m := &Museum{Root: root, Tries: 1, Seeds: 2000, Bound: "-members 3 -terms 2 -crashes 0 -heartbeats 0"}
	defer func() { _ = m.Close() }()
	for _, c := range []struct {
		mutant Mutant
		checks map[string]string // of each layer
	}{
		{planted, map[string]string{"scripts": "raft TestScripts/", "explorer": "leader completeness: "}},
		{honest, map[string]string{"scripts": "", "explorer": ""}},
	} {
		findings, err := m.Show(t.Context(), c.mutant, []string{"scripts", "explorer"})
		if err != nil || len(findings) != len(c.checks) {
			t.Fatalf("%s: %+v, %v", c.mutant.ID, findings, err)
		}
		for _, f := range findings {
			want := c.checks[f.Layer]
			if f.Found != (want != "") || !strings.HasPrefix(f.Check, want) || f.Trouble != "" {
				t.Errorf("%s: %+v; want %q", c.mutant.ID, f, want)
			}
		}
	}
}

func TestATestThatFailsIsNamed(t *testing.T) {
	for said, want := range map[string]string{
		"=== RUN   TestA\n--- PASS: TestA\n=== RUN   TestB\n--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/x/y (0.00s)\n": "TestB/x/y",
		"=== RUN   TestA\n=== RUN   TestA/sub\npanic: oh\n":                                                             "TestA/sub",
		"panic: oh\n": "panic: oh",
		"":            "",
	} {
		if got := blame(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

// On a busy machine a test misses a deadline now and then: what it says then is not of the bug, and the others are asked as well.
func TestATestThatFailsNowAndThenShowsNoBug(t *testing.T) {
	planted, err := Find("local-read")
	if err != nil {
		t.Fatal(err)
	}
	const pass, fails = "exit 0", "exit 1"
	for name, c := range map[string]struct {
		a, b, honest string // what TestA does when it is run alone, what the others do, and what TestA does without the bug
		want         string
		trouble      bool
		only         bool // there are no others to go on with
	}{
		"it is the bug":                   {fails, pass, pass, "x TestA", false, false},
		"it passes when it is run again":  {pass, pass, pass, "", false, false},
		"and then another finds it":       {pass, "echo '--- FAIL: TestB (0.00s)'; exit 1", pass, "x TestB", false, false},
		"it fails without the bug too":    {fails, pass, fails, "", false, false},
		"what there is fails without too": {fails, pass, fails, "", true, true},
	} {
		root, dir := t.TempDir(), t.TempDir()
		script := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		if err := os.Mkdir(filepath.Join(root, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		script("test.-x", `case "$*" in *run=^TestA*) `+c.a+`;; *run=^TestB*) exit 1;; *skip=*TestA*) `+c.b+`;; *) echo '--- FAIL: TestA (0.00s)'; exit 1;; esac`)
		honest := script("honest", `case "$*" in *run=^TestA*) `+c.honest+`;; esac`)
		held, err := scratch.Make()
		if err != nil {
			t.Fatal(err)
		}
		m := &Museum{Root: root, dir: held, honest: map[string]string{"./x": honest}}
		skip := notTests
		if c.only {
			skip = nil
		}
		f := m.test(t.Context(), planted, "", dir, "./x", skip)
		if f.Found != (c.want != "") || f.Check != c.want || (f.Trouble != "") != c.trouble {
			t.Errorf("%s: %+v; want %q", name, f, c.want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryCanaryIsInTheMuseum(t *testing.T) {
	for id, layer := range Canaries {
		m, err := Find(id)
		if err != nil {
			t.Error(err)
			continue
		}
		fits := false
		for _, l := range layers {
			fits = fits || l.name == layer && l.fits(m)
		}
		if !fits {
			t.Errorf("%s: %q is no layer that looks for it", id, layer)
		}
	}
}

// A measurement replaces the one of the same layer, and what nobody found stands out.
func TestTheTableKeepsWhatWasMeasured(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "chaos", "mutants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("before\n"+tableBegins+"what was\n"+tableEnds+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Finding{
		{Layer: "tests", Tries: 1},
		{Layer: "simulator", Tries: 5, Hits: 4, Found: true, Check: "a|b", States: 7, Seconds: 1.25, Command: "again"},
		{Layer: "tests", Tries: 1, Found: true, Check: "TestX", Seconds: 0.5, Command: "sooner"},
	} {
		if err := Keep(root, []Shown{{ID: "lazy-fsync", Findings: []Finding{f}}, {ID: "no-log-check", Findings: []Finding{{Layer: "tests", Tries: 1}}}}); err != nil {
			t.Fatal(err)
		}
	}
	scripts := Finding{Layer: "scripts", Tries: 1, Found: true, Check: "TestScripts/x", Command: "scripts"}
	if err := Keep(root, []Shown{{ID: "commit-older-term", Findings: []Finding{scripts}}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| `commit-older-term` | C | LC | TestScripts/x: 0.0 s |  |  | · |", "before\n", "after\n", "| `lazy-fsync` | D | acked loss |", "TestX: 0.5 s", "a/b: 1.2 s, 7 seeds, 4 of 5", "| `sooner` |", "| **`no-log-check`** |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "what was") {
		t.Error("the old table is still there")
	}
}

// A real cluster is tried until one run fails, and a run that shows nothing, or whose lab cannot run, is none that did.
func TestARealClusterIsTriedUntilARunFails(t *testing.T) {
	planted, err := Find("local-read")
	if err != nil {
		t.Fatal(err)
	}
	const ends = "elections 1   dropped by the rules 0 packets   without a leader 0s   took 2.5s\n"
	for name, c := range map[string]struct {
		lab  string
		want Finding
	}{
		"the second run fails": {`test $9 = 2 && echo "check linearizable   FAIL     12 operations" && exit 1; exit 0`,
			Finding{Found: true, Check: "linearizable", Tries: 2, Hits: 1, Seconds: 2.5}},
		"none fails":              {`test $9 != 2 || exit 2; exit 0`, Finding{Tries: clusterRuns, Unknown: 1, Seconds: 2.5 * clusterRuns}},
		"one that names no check": {`exit 1`, Finding{Tries: clusterRuns, Unknown: clusterRuns, Seconds: 2.5 * clusterRuns}},
		"there is no Docker":      {`echo no Docker; exit 3`, Finding{Tries: 1, Trouble: "exit status 3: no Docker"}},
	} {
		dir := t.TempDir()
		lab := filepath.Join(dir, "lab")
		script := "#!/bin/sh\ntest \"$1 $2 $3 $4 $5 $6 $7\" = \"run default --mutant local-read --backend process --seed\" || exit 64\nset -- x \"$@\"\ncat <<'END'\n" + ends + "END\n" + c.lab + "\n"
		if err := os.WriteFile(lab, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		m := &Museum{Root: dir, Lab: lab}
		c.want.Command = "raftlab run default --mutant local-read --backend process"
		if got := m.processes(t.Context(), planted, "", dir); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := (Finding{Layer: "processes", Found: true, Check: "linearizable", Tries: 2, Hits: 1, Seconds: 2.5}).String(); got != "linearizable: 2.5 s, 1 of 2" {
		t.Error(got)
	}
	if got := (Finding{Layer: "processes", Tries: 3, Unknown: 1, Seconds: 7.5}).String(); got != "no, in 3 runs of 2 s, 1 UNKNOWN" {
		t.Error(got)
	}
}

// A simulator that does not start, or ends without a word, has looked at nothing: it has neither found a bug nor missed one.
func TestASimulatorThatSaysNothingHasNotLooked(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	silent := script("silent", "exit 2")
	for name, c := range map[string]struct {
		binary, honest string
		found          bool
		trouble        string
	}{
		"not there":         {filepath.Join(dir, "none"), silent, false, "no such file"},
		"silent":            {silent, silent, false, "does not say how many seeds"},
		"killed":            {script("killed", "kill -9 $$"), silent, false, "does not say how many seeds"},
		"control is silent": {script("fails", "echo 'x_test.go:9: '; echo '    sim_test.go:45: seed 5: stale, after 3s: old'"), silent, false, "without the bug: "},
		"it blames itself":  {script("self", "echo \"    sim_test.go:45: seed $SIM_SEED: simulator, after 3s: too much\""), script("good", "echo '    sim_test.go:49: 1 seeds'"), false, ""},
		"found":             {script("finds", "echo '    sim_test.go:45: seed 5: stale, after 3s: old'"), script("good", "echo '    sim_test.go:49: 1 seeds'"), true, ""},
	} {
		m := &Museum{Root: root, Seeds: 3, honest: map[string]string{"./node/sim": c.honest}, dir: nil}
		if m.dir, err = scratch.Make(); err != nil {
			t.Fatal(err)
		}
		f := m.simulate(t.Context(), c.binary, 4)
		if f.Found != c.found || !strings.Contains(f.Trouble, c.trouble) || (f.Trouble == "") != (c.trouble == "") {
			t.Errorf("%s: %+v", name, f)
		}
		_ = m.Close()
	}
}
