package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"raftlab/harness"
	"raftlab/linearizability"
)

func rendered(t *testing.T, r Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestAViolationIsToldInWords(t *testing.T) {
	r := violating(t)
	s := r.Story()
	if s.Headline != "An old value came back after a newer one was certain." || !strings.HasPrefix(s.Lead, "Key kx: get (#303 at n1) returned old although ") {
		t.Errorf("%+v", s)
	}
	var told strings.Builder
	for _, f := range s.Facts {
		told.WriteString(f.Label + ": " + f.Text + "\n")
	}
	contains(t, told.String(),
		`it shows in: Get of kx by client 4 at n1, called at 6.427 s, answered "old" after 3.0 ms by n1 (log index 40, term 2).`,
		`against: Put new of kx by client 2 at n3, called at 6.000 s, answered "ok" after 10.0 ms by n3 (log index 41, term 3).`,
		"how long before: Put new was answered at 6.010 s: 417 ms before get began.",
		"fault: #1 partition leader at n1 (n1 led in term 2), from 4.000 s to 8.000 s, installed: 214 packets dropped by 8 rules.",
		"members then: n1 pre-candidate of term 2, n2 follower of term 3, n3 leader of term 3, ")
	if t.Failed() {
		t.Log("\n" + told.String())
	}
}

func TestOtherVerdictsAreToldToo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Run)
		want   string
	}{
		"pass": {func(*Run) {}, "No violation, in a run that could have shown one. 20 keys linearizable."},
		"unknown": {func(r *Run) {
			r.Verdict, r.Reason = unknown, "every fault proven: fault #1 indeterminate"
			r.Checks[1] = Check{Name: "every fault proven", Verdict: unknown, Reason: "fault #1 indeterminate"}
		}, "It is not known whether the store kept its promise. What a PASS needs is missing: every fault proven: fault #1 indeterminate."},
		"environment": {func(r *Run) { r.Verdict, r.Reason = environment, "run: n1 ended with code 7" }, "The run could not be judged. Run: n1 ended with code 7."},
		"a broken invariant": {func(r *Run) {
			r.Verdict = fail
			r.Checks[1] = Check{Name: string(harness.OneLeaderPerTerm), Verdict: fail, Reason: "at 5s: n1 and n2 both lead in term 3"}
			r.Observed.Findings = []harness.Finding{{At: 5 * second, Rule: harness.OneLeaderPerTerm, Text: "n1 and n2 both lead in term 3"}}
		}, "One leader per term: a promise was broken. At 5s: n1 and n2 both lead in term 3. | seen at: 5.000 s: n1 and n2 both lead in term 3 | fault: #1 partition leader"},
		"an interrupt": {func(r *Run) { r.Verdict, r.Reason, r.Interrupted = unknown, "interrupted before the end", true }, "| interrupted: The run was ended early."},
	} {
		t.Run(name, func(t *testing.T) {
			r := passing(t)
			c.change(&r)
			s := r.Story()
			text := s.Headline + " " + s.Lead
			for _, f := range s.Facts {
				text += " | " + f.Label + ": " + f.Text
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func TestThePageHoldsEveryPart(t *testing.T) {
	page := rendered(t, violating(t))
	contains(t, page, "✕ FAIL", "<span>raftlab</span> <span>run</span> <span>made</span> <span>--seed</span> <span>7</span>", `id="keys"`, `id="key-kx"`, `id="timeline"`, `id="checks"`, `id="faults"`, `id="availability"`, `id="options"`, `id="operations"`, `id="files"`,
		"#1 partition leader → n1", "214 packets dropped by 8 rules", "leader, term 2", "leader, term 3", "no leader for 1.00 s", "no answer", "at 2s partition leader for 4s", "The first 200 of 304 operations")
	if strings.Contains(rendered(t, passing(t)), `id="keys"`) {
		t.Error("a run that passed draws keys")
	}
}

// Half of this is the content security policy: a page with an address in it could still not ask for it.
func TestThePageAsksForNothingAndRunsNothingButItsOwnScript(t *testing.T) {
	r := violating(t)
	evil := `</script><img src=x onerror=alert(1)>&`
	for i := range r.History.Operations {
		op := &r.History.Operations[i]
		op.Error, op.Phase = evil, evil
		if op.Key == "kx" {
			op.Key = evil
		}
	}
	r.Linearizable = linearizability.Check(t.Context(), r.History.Operations, linearizability.Options{})
	r.Reason, r.Scenario, r.Again, r.Schedule = evil, evil, evil, []string{evil}
	r.Faults[0].Text, r.Faults[0].Evidence.Says, r.Checks[0].Reason, r.Missing = evil, evil, evil, []string{evil}
	page := rendered(t, r)
	if strings.Contains(page, "<img") || strings.Count(page, "</script>") != 2 {
		t.Error("what a run wrote is part of the markup")
	}
	for _, found := range regexp.MustCompile(`(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"' ]*`).FindAllString(page, -1) {
		t.Errorf("it asks for %s", found)
	}
	if strings.Contains(page, " style=") || strings.Contains(page, " onclick=") {
		t.Error("attributes that its own policy forbids")
	}
	policy := regexp.MustCompile(`default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; script-src 'sha256-[A-Za-z0-9+/=]+'`)
	if got := strings.ReplaceAll(page, "&#43;", "+"); !policy.MatchString(strings.ReplaceAll(got, "&#39;", "'")) {
		t.Error("no policy")
	}
}

// Measured with the shape of a real history; the limit is what a browser opens without a pause.
func TestAReportOf20000OperationsIsBelowTwoMegabytes(t *testing.T) {
	m := newMaker()
	m.honest(20_000, 3*time.Millisecond)
	began := time.Now()
	page := rendered(t, m.run(t))
	if len(page) > 2_000_000 {
		t.Errorf("%d bytes", len(page))
	}
	t.Logf("%d bytes in %v, judging included", len(page), time.Since(began))
	m.honest(20_000, 3*time.Millisecond) // as many again, of which the page holds none
	for i := range m.ops {
		m.ops[i].ID, m.ops[i].Key = int64(i+1), m.ops[i].Key+map[bool]string{true: "b"}[i >= 20_000]
	}
	r := m.run(t)
	if more := rendered(t, r); len(more) > 2_100_000 || !strings.Contains(more, `"operations":40000`) {
		t.Errorf("%d bytes for 40,000 operations", len(more))
	}
}

// writeRun stores a run as the lab does, in the files that the report reads.
func writeRun(t *testing.T, r Run) string {
	t.Helper()
	root := t.TempDir()
	dir, err := harness.CreateRun(root, r.Scenario, int64(r.Seed), r.Started)
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]any{"checks": r.Checks, "linearizable": r.Linearizable, "observed": r.Observed}
	if err := dir.WriteJSON("run.json", r.Summary); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteJSON("check.json", checks); err != nil {
		t.Fatal(err)
	}
	samples := dir.Samples()
	for _, of := range r.Samples {
		for _, s := range of {
			samples.Write(s)
		}
	}
	if err := samples.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(dir.Path("history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writeHistory(t, file, r)
	return dir.Dir()
}

// writeHistory writes the lines of a recorder in the order of their times.
func writeHistory(t *testing.T, file *os.File, r Run) {
	t.Helper()
	type line struct {
		at   time.Duration
		text []byte
	}
	lines := []line{}
	for _, op := range r.History.Operations {
		call := map[string]any{"type": "invoke", "id": op.ID, "process": op.Process, "client": op.Client, "node": op.Node, "phase": op.Phase, "kind": op.Kind, "key": op.Key, "call_ns": op.Call}
		if op.Value != "" {
			call["value"] = op.Value
		}
		if op.Expect != "" {
			call["expect"] = op.Expect
		}
		text, err := json.Marshal(call)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line{op.Call, text})
		if op.Return == 0 {
			continue
		}
		var result map[string]any
		raw, _ := json.Marshal(op.Result)
		if err := json.Unmarshal(raw, &result); err != nil {
			t.Fatal(err)
		}
		result["type"], result["id"], result["process"], result["return_ns"] = "return", op.ID, op.Process, op.Return
		text, _ = json.Marshal(result)
		lines = append(lines, line{op.Return, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	header := `{"type":"history","version":1,"started":"2026-01-02T03:04:05Z","seed":7,"meta":{"scenario":"made","system":"raftkv","world":"process"}}`
	if _, err := file.WriteString(header + "\n"); err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if _, err := file.Write(append(l.text, '\n')); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReportIsMadeFromTheDirectoryAlone(t *testing.T) {
	want := violating(t)
	dir := writeRun(t, want)
	if err := os.WriteFile(filepath.Join(dir, linearizability.DrawingName("kx")), []byte("porcupine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(dir), filepath.Join(filepath.Dir(dir), "latest")); err != nil {
		t.Fatal(err)
	}
	latest := filepath.Join(filepath.Dir(dir), "latest")
	if err := Write(latest); err != nil {
		t.Fatal(err)
	}
	got, err := Read(latest)
	if err != nil || len(got.Missing) > 0 {
		t.Fatalf("%v, missing %q", err, got.Missing)
	}
	if got.Name != filepath.Base(dir) || !cmp.Equal(got.Story(), want.Story()) || !cmp.Equal(got.Samples, want.Samples) || len(got.History.Operations) != len(want.History.Operations) {
		t.Errorf("read back another run: %s", cmp.Diff(want.Story(), got.Story()))
	}
	page, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(page), `href="linear-kx.html"`, "history.jsonl", "nodes/n1/status.jsonl", "417 ms before get began")
	if again := rendered(t, got); again != string(page) {
		t.Error("made twice, it differs")
	}
}

func TestWhatIsNotInTheDirectoryIsSaid(t *testing.T) {
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "neither run.json nor history.jsonl") {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]struct {
		file, text, want string
	}{
		"no samples":         {"nodes", "", "so no lanes are drawn"},
		"damaged checks":     {"check.json", "{", "check.json: unexpected end"},
		"no history":         {"history.jsonl", "", "history.jsonl: no such file"},
		"a damaged history":  {"history.jsonl", "garbage\n", "history.jsonl: "},
		"a damaged run.json": {"run.json", "{", "run.json: unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeRun(t, violating(t))
			path := filepath.Join(dir, c.file)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if c.text != "" {
				if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Read(dir)
			if err != nil || !strings.Contains(strings.Join(r.Missing, "\n"), c.want) {
				t.Fatalf("%v, missing %q", err, r.Missing)
			}
			contains(t, rendered(t, r), "This report is not complete.")
		})
	}
}

func TestARunWhoseLabWasKilledHasAReport(t *testing.T) {
	dir := writeRun(t, violating(t))
	for _, name := range []string{"run.json", "check.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	journal := `{"step":"intent","fault":1,"at_ns":4000000000,"what":{"kind":"partition","target":"leader"},"nodes":["n1"]}
{"step":"applied","fault":1,"at_ns":4100000000}
{"step":"healed","fault":1,"at_ns":8000000000}
{"step":"evidence","fault":1,"at_ns":8000000000,"evidence":{"outcome":"installed","says":"214 packets"}}
{"step":"evidence","fault":1,"at_ns":8000000001}
{"step":"intent","fault":2,"at_ns":9000000000,"what":{"kind":"pause","target":"n2"},"nodes":["n2"]}
{"step":"app`
	if err := os.WriteFile(filepath.Join(dir, "faults.jsonl"), []byte(journal), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != unknown || r.Scenario != "made" || r.Seed != 7 || len(r.Faults) != 2 || r.Faults[0].Evidence.Outcome != "installed" ||
		r.Faults[0].InForce != 4100*time.Millisecond || r.Faults[1].Name() != "pause n2" || !r.Faults[1].Done() {
		t.Errorf("%+v", r.Summary)
	}
	contains(t, rendered(t, r), "the lab ended before it wrote its verdict", "pause n2", "run.json: no such file")
}

func TestJUnitTellsFailureErrorAndSkipped(t *testing.T) {
	r := violating(t)
	r.Checks = append(r.Checks, Check{Name: "not vacuous", Verdict: unknown, Reason: "no ok of get"}, Check{Name: "disk", Verdict: environment, Reason: "no /dev/fuse"})
	for verdict, want := range map[string][4]int{fail: {4, 1, 1, 1}, environment: {4, 1, 2, 0}} {
		r.Verdict = verdict
		var b bytes.Buffer
		if err := r.JUnit(&b); err != nil {
			t.Fatal(err)
		}
		var s suite
		if err := xml.Unmarshal(b.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if got := [4]int{s.Tests, s.Failures, s.Errors, s.Skipped}; got != want || s.Name != "made" || s.Cases[0].Failure == nil || !strings.Contains(s.Cases[0].Failure.Message, "returned old") {
			t.Errorf("%s: %v, want %v\n%s", verdict, got, want, b.String())
		}
	}
	r = passing(t)
	r.Verdict, r.Reason = unknown, "interrupted" // which no check explains
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	contains(t, b.String(), `errors="1"`, `message="interrupted"`)
}

func TestAnnotationsAreOneLineEach(t *testing.T) {
	r := violating(t)
	r.Checks[0].Reason = "100% lost\nin two lines: a, b"
	want := []string{"::error title=FAIL%3A made seed 7::linearizable: 100%25 lost%0Ain two lines: a, b"}
	if got := r.Annotations(); !cmp.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := passing(t).Annotations(); got != nil {
		t.Errorf("a pass is annotated: %q", got)
	}
}
