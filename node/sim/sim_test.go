package sim

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// seeds of the swarm that go test runs: few, and more until most if not every mark was seen. SIM_SEEDS=1000 go test ./node/sim
// -run Swarm runs so many, from SIM_SEED on.
func seeds(t *testing.T, few, most uint64) (first, count, until uint64) {
	t.Helper()
	number := func(name string, otherwise uint64) uint64 {
		s := os.Getenv(name)
		if s == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q is not a number", name, s)
		}
		return n
	}
	return number("SIM_SEED", 0), number("SIM_SEEDS", few), number("SIM_SEEDS", most)
}

// TestSwarmKeepsEveryPromise runs seeds of the default swarm, until each mark has been seen: a thing that never happens
// is not tested.
func TestSwarmKeepsEveryPromise(t *testing.T) {
	first, count, most := seeds(t, 60, 1500)
	marks, ran := Marks{}, uint64(0)
	for ; ran < count || marks.Count() < int(markCount) && ran < most; ran++ {
		seed := first + ran
		r, err := Run(seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure != nil {
			t.Fatalf("seed %d: %v\nrepeat: raftlab sim --seed %d", seed, r.Failure, seed)
		}
		marks.Join(r.Marks)
	}
	t.Logf("%d seeds", ran)
	for _, m := range AllMarks() {
		if !marks.Has(m) {
			t.Errorf("%d seeds have never seen %v", ran, m)
		}
	}
}

// TestTheSameSeedIsTheSameRun: a trace makes no difference either.
func TestTheSameSeedIsTheSameRun(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := range uint64(12) {
		a, err := Run(seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(seed, Options{Story: 10, Picture: &Picture{}})
		if err != nil {
			t.Fatal(err)
		}
		if a.TraceHash != b.TraceHash || a.Events != b.Events || a.Marks != b.Marks || a.Faults != b.Faults {
			t.Errorf("seed %d: %016x after %d events, and %016x after %d", seed, a.TraceHash, a.Events, b.TraceHash, b.Events)
		}
		if other, ok := seen[a.TraceHash]; ok {
			t.Errorf("seeds %d and %d have the same trace hash", other, seed)
		}
		seen[a.TraceHash] = seed
	}
}

var writeHashes = flag.Bool("write-hashes", false, "write testdata/hashes anew, after a change of what runs in the simulator")

// TestTraceHashesAreTheSameOnEveryMachine: testdata/hashes was written on another than yours, perhaps.
func TestTraceHashesAreTheSameOnEveryMachine(t *testing.T) {
	var b strings.Builder
	for seed := range uint64(8) {
		r, err := Run(seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "seed %d: %016x after %d events\n", seed, r.TraceHash, r.Events)
	}
	const file = "testdata/hashes"
	if *writeHashes {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s has\n%s, this machine\n%s; if what runs in the simulator has changed: go test ./node/sim -run EveryMachine -write-hashes", file, want, b.String())
	}
}

// The hash must see every difference.
func TestATraceHashSeesANanosecond(t *testing.T) {
	p, err := ParsePlan(strings.Join(strings.Fields(strings.ReplaceAll(small, "\n", " ; ")), " "))
	if err == nil {
		t.Fatal("a plan on one line was taken:", p)
	}
	if p, err = ParsePlan(small); err != nil {
		t.Fatal(err)
	}
	r, err := Run(0, Options{Plan: &p})
	if err != nil || r.Failure != nil {
		t.Fatal(err, r.Failure)
	}
	p.LatencyMin++
	p.LatencyMax++
	other, err := Run(0, Options{Plan: &p})
	if err != nil || other.TraceHash == r.TraceHash {
		t.Error("a nanosecond more of latency makes no difference to the trace hash", err)
	}
}

const small = `
seed 1
members 3
clients 2
keys 1
ops 60
value 16
until 1s
tick 10ms
heartbeat 2
election 8
append-bytes 4000
inflight 8
inflight-bytes 100000
uncommitted 100000
latency-min 1ms
latency-max 2ms
sync-min 1ms
sync-max 2ms
think 10ms
patience 1s
# a comment
fault 500ms crash leader for 100ms n 0
`

// A plan is kept as text, so the text must say all of it.
func TestPlansAreTheirText(t *testing.T) {
	for seed := range uint64(50) {
		p := Draw(seed)
		back, err := ParsePlan(p.String())
		if err != nil || back.String() != p.String() {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, p.String(), back.String())
		}
	}
	for text, want := range map[string]string{
		"membres 3": "unknown name", "members x": "line 1", "fault 1s crsh leader for 1s n 0": "unknown fault", "members 3": "must be",
		"fault 1s crash nobody for 1s n 0": "neither", "fault 1s crash": "want TIME",
	} {
		if _, err := ParsePlan(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestAnyWordIsASeed(t *testing.T) {
	a, err := Seed("9b6f43a1c0ffee")
	if err != nil || a == 0 {
		t.Fatal(a, err)
	}
	if n, err := Seed("17"); err != nil || n != 17 {
		t.Error(n, err)
	}
	if n, err := Seed("18446744073709551615"); err != nil || n != 1<<64-1 {
		t.Error(n, err)
	}
	for _, hash := range []string{"12345e7", "-a", "x-1"} {
		if _, err := Seed(hash); err != nil {
			t.Error(err)
		}
	}
	for _, none := range []string{"", "-1", "+3", "1.5", "1_000", "18446744073709551616"} {
		if n, err := Seed(none); err == nil {
			t.Errorf("%q was taken for seed %d", none, n)
		}
	}
}

// TestNothingHereCanDifferBetweenTwoRuns: no clock, goroutine, lock or hidden chance, and no loop over a map.
func TestNothingHereCanDifferBetweenTwoRuns(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	forbidden := map[string]bool{`"os"`: true, `"sync"`: true, `"math/rand"`: true, `"crypto/rand"`: true, `"net"`: true, `"maps"`: true, `"runtime"`: true, `"sync/atomic"`: true, `"hash/maphash"`: true}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if forbidden[i.Path.Value] {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
		for _, word := range []string{"time.Now", "time.Since", "time.After", "time.Sleep", "rand.Int", "rand.Uint", "\tgo func", "\tgo w.", "select {", "<-"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s says %q", name, word)
			}
		}
		for _, word := range []string{"range w.ledger.versions {", "range l.versions {", "range o.removed", "range w.byID", "range l.sessions", "range m.outbox"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s ranges over a map: %q", name, word)
			}
		}
	}
}

// TestPlansThatFailedOnceDoNotFailAgain: each file is a plan that found a bug, under the name of the bug.
func TestPlansThatFailedOnceDoNotFailAgain(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePlan(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := Run(p.Seed, Options{Plan: &p})
		if err != nil || r.Failure != nil {
			t.Errorf("%s: %v %v\nrepeat: raftlab sim --plan node/sim/%s", name, err, r.Failure, name)
		}
	}
}
