package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raftlab/linearizability"
)

// judged stores a run that passed, with what a lab notes of its history.
func judged(t *testing.T, change func(*Run)) string {
	t.Helper()
	r := passing(t)
	change(&r)
	dir := writeRun(t, r)
	if r.Digest != "" {
		r.Digest = HistoryDigest(dir)
	}
	text, err := json.Marshal(r.Summary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func withoutLastLines(data []byte, n int) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	return bytes.Join(lines[:len(lines)-n], nil)
}

func TestAPassThatItsDirectoryDoesNotBearOutIsNone(t *testing.T) {
	digest := func(r *Run) { r.Digest = "told" }
	for name, c := range map[string]struct {
		change func(*Run)
		file   string
		edit   func([]byte) []byte
		want   string // empty: it stays a PASS
	}{
		"as it was judged":  {digest, "", nil, ""},
		"of an older lab":   {func(r *Run) { n := linearizability.Count(r.History.Operations); r.Counts = &n }, "", nil, ""},
		"a history cut off": {digest, "history.jsonl", func(b []byte) []byte { return b[:len(b)/2] }, "it is not whole"},
		"a history that ends earlier": {digest, "history.jsonl", func(b []byte) []byte { return withoutLastLines(b, 2) },
			"history.jsonl: it is not the one that was judged; its SHA-256"},
		"another value": {digest, "history.jsonl", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"n2"`), []byte(`"n3"`)) }, "its SHA-256"},
		"a history that ends earlier, of an older lab": {func(r *Run) { n := linearizability.Count(r.History.Operations); r.Counts = &n },
			"history.jsonl", func(b []byte) []byte { return withoutLastLines(b, 2) }, "and run.json says {Operations:300"},
		"a check that failed": {func(r *Run) { digest(r); r.Checks[0].Verdict = fail }, "", nil, "check.json: " + passing(t).Checks[0].Name + " is FAIL"},
		"no checks":           {func(r *Run) { digest(r); r.Checks = nil }, "", nil, "there are no checks in it"},
		"checks that say FAIL together": {digest, "check.json", func(b []byte) []byte { return bytes.Replace(b, []byte("{"), []byte(`{"verdict":"FAIL",`), 1) },
			"check.json: it says FAIL"},
		"a fault without evidence": {func(r *Run) { digest(r); r.Faults[0].Evidence.Outcome = "indeterminate" }, "", nil, "fault #1 is indeterminate"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := judged(t, c.change)
			if c.file != "" {
				edit(t, filepath.Join(dir, c.file), c.edit)
			}
			r, err := Read(dir)
			switch {
			case err != nil:
				t.Fatal(err)
			case c.want == "" && (r.Verdict != pass || len(r.Missing) > 0):
				t.Errorf("%s %s %q", r.Verdict, r.Reason, r.Missing)
			case c.want != "" && (r.Verdict != unknown || !strings.Contains(r.Reason, c.want)):
				t.Errorf("%s %s, want UNKNOWN with %q", r.Verdict, r.Reason, c.want)
			}
		})
	}
}
