package mutants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"raftlab/harness/scratch"
)

// Finding is what one layer of the lab says of one mutant.
type Finding struct {
	Layer   string  `json:"layer"`
	Found   bool    `json:"found"`
	Check   string  `json:"check,omitempty"`   // the test that failed, or the property that did not hold
	Tries   int     `json:"tries"`             // independent ones: seeds
	Hits    int     `json:"hits"`              // of them that found it; a real cluster is not tried again after the first
	Unknown int     `json:"unknown,omitempty"` // of them that could not have found it: a run of a cluster that ended UNKNOWN
	States  int     `json:"states,omitempty"`
	Seconds float64 `json:"seconds"` // of one core, without compiling: the median over the hits, or all of it if there are none
	Command string  `json:"command"` // that finds it again
	Trouble string  `json:"trouble,omitempty"`
}

// Museum is where bugs are shown: the source, and what a layer may cost.
type Museum struct {
	Root  string // of the module
	Tries int    // seeds of a layer that draws
	Seeds int    // of the default swarm in one try of the simulator
	Bound string // of the explorer, instead of its usual ones
	Lab   string // the program raftlab, for real clusters

	honest map[string]string // test binaries without a bug, by package
	dir    *scratch.Dir      // where they are
}

// Close removes what Show has built. Of a museum that was killed it is with what other labs have left.
func (m *Museum) Close() error { return m.dir.Close() }

// unpatched is the test binary of a package without any bug: what fails there too shows nothing.
func (m *Museum) unpatched(ctx context.Context, pkg string) (binary string, err error) {
	if m.dir == nil {
		if m.dir, err = scratch.Make(); err != nil {
			return "", err
		}
		m.honest = map[string]string{}
	}
	if binary, ok := m.honest[pkg]; ok {
		return binary, nil
	}
	binary = filepath.Join(m.dir.Path(), strings.ReplaceAll(pkg, "/", "-")+".test")
	err = m.goTest(ctx, "", pkg, binary)
	m.honest[pkg] = binary
	return binary, err
}

// Canaries are what CI looks for at every landing, each with the layer that is to find it: one of every part of the lab that
// finds bugs without a cluster. The traps are there too, which must not be found.
var Canaries = map[string]string{
	"vote-not-durable":                  "explorer",
	"no-log-check":                      "explorer",
	"read-two-indexes":                  "explorer",
	"commit-older-term":                 "simulator",
	"truncate-on-every-append":          "scripts",
	"corruption-cut-as-torn":            "tests",
	"retry-applied-twice":               "tests",
	"snapshot-without-footer":           "tests",
	"checker-witness-ignores-real-time": "tests",
	"checker-explorer-blind-to-panics":  "tests",
	"duplicate-vote-skips-check":        "explorer",
	"verify-leader-then-read":           "tests",
}

// A layer looks for one mutant, planted by an overlay. dir is for its files.
type layer struct {
	name string
	fits func(Mutant) bool
	look func(m *Museum, ctx context.Context, mutant Mutant, overlay, dir string) Finding
}

var layers = []layer{
	{"scripts", Mutant.inCore, (*Museum).scripts},
	{"tests", func(Mutant) bool { return true }, (*Museum).tests},
	{"explorer", Mutant.inCore, (*Museum).explorer},
	{"walks", Mutant.inCore, (*Museum).walks},
	{"simulator", Mutant.inNode, (*Museum).simulator},
	{"processes", Mutant.inClusters, (*Museum).processes},
	{"containers", Mutant.inClusters, (*Museum).containers},
}

// Cheap are the layers that need no cluster.
func Cheap() []string { return Layers()[:5] }

// Layers are the names of the layers, the cheapest first.
func Layers() []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.name)
	}
	return names
}

func (m Mutant) inCore() bool { return m.Kind != Checker && slices.Contains(m.Packages(), "./raft") }

// inNode: the simulator runs what the patch is in. Of the driver it runs everything but Node, which has the goroutines.
func (m Mutant) inNode() bool {
	return m.Kind != Checker && slices.ContainsFunc(m.Patch, func(f FilePatch) bool {
		return f.Path != "node/internal/driver/node.go" &&
			slices.Contains([]string{"raft", "node/internal/driver", "node/internal/wal", "node/internal/kv", "node/internal/snapshot"}, path.Dir(f.Path))
	})
}

// Show looks for a mutant with the layers that are named, in their order. Those that do not fit it are left out, and so are
// random walks where another layer has found it.
func (m *Museum) Show(ctx context.Context, mutant Mutant, names []string) ([]Finding, error) {
	files, err := scratch.Make()
	if err != nil {
		return nil, err
	}
	defer files.Close()
	dir := files.Path()
	overlay, err := mutant.Overlay(m.Root, dir)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, l := range layers {
		if !slices.Contains(names, l.name) || !l.fits(mutant) || ctx.Err() != nil {
			continue
		}
		if l.name == "walks" && (Shown{Findings: findings}).Found() {
			continue // they are for what nothing else in the core shows
		}
		f := l.look(m, ctx, mutant, overlay, dir)
		f.Layer = l.name
		findings = append(findings, f)
	}
	return findings, ctx.Err()
}

// Fit names the patches that do not fit the source.
func (m *Museum) Fit(all []Mutant) error {
	files, err := scratch.Make()
	if err != nil {
		return err
	}
	defer files.Close()
	var errs []error
	for _, mutant := range all {
		_, err := mutant.Overlay(m.Root, files.Path())
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// goTest compiles the tests of a package with the overlay, so that running them is not charged for it.
func (m *Museum) goTest(ctx context.Context, overlay, pkg, out string) error {
	if _, err := os.Stat(out); err == nil {
		return nil // for another layer
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay="+overlay, "-o", out, pkg)
	build.Dir = m.Root
	gently(build)
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c %s: %w: %s", pkg, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// run runs a test binary in its package's directory, and says how much of a core it took. A test that hangs is killed with the
// time that a try may take.
func (m *Museum) run(ctx context.Context, pkg, binary string, limit time.Duration, args ...string) (said string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	test := exec.CommandContext(ctx, binary, args...)
	test.Dir = filepath.Join(m.Root, filepath.FromSlash(pkg))
	test.WaitDelay = time.Second
	b, err := test.CombinedOutput()
	if ctx.Err() != nil {
		err = errHangs
	}
	if s := test.ProcessState; s != nil {
		took = s.UserTime() + s.SystemTime()
	}
	return string(b), took, err
}

var errHangs = errors.New("it did not end")

var (
	failed   = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	running  = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
	panicked = regexp.MustCompile(`(?m)^panic: (.*)`)
)

// blame names the test that failed, by the last word about it: a subtest rather than its parent.
func blame(said string) string {
	name := ""
	for _, found := range failed.FindAllStringSubmatch(said, -1) {
		if name == "" || strings.HasPrefix(found[1], name+"/") {
			name = found[1]
		}
	}
	if name == "" {
		for _, found := range running.FindAllStringSubmatch(said, -1) {
			name = found[1]
		}
	}
	if p := panicked.FindStringSubmatch(said); p != nil && name == "" {
		return "panic: " + p[1]
	}
	return name
}

func (m *Museum) scripts(ctx context.Context, mutant Mutant, overlay, dir string) Finding {
	return m.test(ctx, mutant, overlay, dir, "./raft", nil, "-test.run=^TestScripts$")
}

// above says which package sits on which, so that its tests may notice what is wrong below.
var above = [][2]string{
	{"./raft", "./node/internal/driver"}, {"./node/internal/wal", "./node/internal/driver"}, {"./node/internal/snapshot", "./node/internal/driver"},
	{"./node/internal/kv", "./node/internal/api"}, {"./node/internal/driver", "./node/internal/api"},
}

// tests runs those of the packages that the patch is in, and of those that sit on top, until one fails.
func (m *Museum) tests(ctx context.Context, mutant Mutant, overlay, dir string) Finding {
	packages := mutant.Packages()
	for _, p := range above {
		if mutant.Kind != Checker && slices.Contains(packages, p[0]) && !slices.Contains(packages, p[1]) {
			packages = append(packages, p[1])
		}
	}
	all := Finding{}
	for _, pkg := range packages {
		f := m.test(ctx, mutant, overlay, dir, pkg, notTests)
		if f.Found || f.Trouble != "" {
			return f
		}
		all.Tries, all.Seconds, all.Command = 1, all.Seconds+f.Seconds, f.Command
	}
	return all
}

// notTests are those of raft that another layer runs, or that look at the source.
var notTests = []string{"TestScripts", "TestExercisesAreNoticed", "TestTour.*", "TestEveryRule.*", "TestTheBound"}

// again is how often a test that failed is run once more, with the bug and without it.
const again = 3

// fails says whether a test fails in one of so many runs.
func (m *Museum) fails(ctx context.Context, pkg, binary, test string) bool {
	for range again {
		if _, _, err := m.run(ctx, pkg, binary, testsEnd, "-test.run=^"+test+"$"); err != nil {
			return true
		}
	}
	return false
}

// shows says whether it is the bug that a test fails by: with it the test fails once more, and without it it does not. On a machine that is
// busy a test may miss a deadline now and then.
func (m *Museum) shows(ctx context.Context, pkg, binary, test string) (bool, error) {
	honest, err := m.unpatched(ctx, pkg)
	if err != nil {
		return false, err
	}
	return m.fails(ctx, pkg, binary, test) && !m.fails(ctx, pkg, honest, test), nil
}

// testsEnd is many times what the tests of a package take on a busy machine: those that have not ended hang.
const testsEnd = 4 * time.Minute

// test runs the tests of one package, without those in skip, until one fails by the bug.
func (m *Museum) test(ctx context.Context, mutant Mutant, overlay, dir, pkg string, skip []string, args ...string) Finding {
	f := Finding{Tries: 1, Command: fmt.Sprintf("raftlab bugs %s --layers tests", mutant.ID)}
	if skip == nil {
		f.Command = fmt.Sprintf("raftlab bugs %s --layers scripts", mutant.ID)
	}
	binary := filepath.Join(dir, "test"+strings.ReplaceAll(pkg, "/", "-"))
	if err := m.goTest(ctx, overlay, pkg, binary); err != nil {
		f.Trouble = err.Error()
		return f
	}
	if pkg == "./chaos" {
		args = append(args, "-test.run=Window|Evidence|Fault|Verdict|Vacuous|Proven") // the others run whole clusters
	}
	args = append(args, "-test.v", "-test.failfast", "-test.timeout="+testsEnd.String())
	for ctx.Err() == nil {
		said, took, err := m.run(ctx, pkg, binary, 2*testsEnd, append(args, "-test.skip=^("+strings.Join(skip, "|")+")$")...)
		f.Seconds = took.Seconds()
		if err == nil {
			return f
		}
		name, _, _ := strings.Cut(blame(said), "/")
		shown, err2 := m.shows(ctx, pkg, binary, name)
		switch {
		case err2 != nil:
			f.Trouble = err2.Error()
			return f
		case shown:
			f.Found, f.Hits = true, 1
			f.Check = strings.TrimPrefix(pkg, "./") + " " + blame(said)
			if strings.Contains(said, "panic: test timed out") || errors.Is(err, errHangs) {
				f.Check += ": does not end"
			}
			return f
		case skip == nil || slices.Contains(skip, name) || !strings.HasPrefix(name, "Test"):
			f.Trouble = name + " fails, and not by the bug"
			return f
		}
		skip = append(slices.Clone(skip), name) // go on with the others
	}
	return f
}
