package serve

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// made is a run directory with no more than a run.json.
func made(t *testing.T, runs, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(runs, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(runs, name, "run.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// whole is a run directory whose history and checks bear its verdict out, a PASS.
func whole(t *testing.T, runs, name, text string) {
	t.Helper()
	const history = `{"type":"history","version":1}
{"type":"invoke","id":1,"process":1,"client":1,"node":"n1","kind":"get","key":"k","call_ns":5}
{"type":"return","id":1,"process":1,"return_ns":9,"outcome":"ok"}
`
	made(t, runs, name, strings.Replace(text, "{", fmt.Sprintf(`{"history_sha256":"%x",`, sha256.Sum256([]byte(history))), 1))
	put(t, filepath.Join(runs, name, "history.jsonl"), history)
	put(t, filepath.Join(runs, name, "check.json"), `{"verdict":"PASS","checks":[{"name":"linearizable","verdict":"PASS"}]}`)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The list must not say PASS where the report of the run says that nobody knows.
func TestTheListBelievesNoVerdictThatTheDirectoryDoesNotBearOut(t *testing.T) {
	const passed = `{"verdict":"PASS","scenario":"default","seed":7,"reason":"20 keys linearizable"}`
	for name, c := range map[string]struct {
		change func(dir string) error
		want   string // in its row
	}{
		"as it was": {func(string) error { return nil }, "20 keys linearizable"},
		"checks that say FAIL": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "check.json"), []byte(`{"verdict":"FAIL","checks":[{"name":"linearizable","verdict":"FAIL"}]}`), 0o644)
		}, "check.json: it says FAIL"},
		"no checks":              {func(dir string) error { return os.Remove(filepath.Join(dir, "check.json")) }, "check.json: no such file"},
		"no history":             {func(dir string) error { return os.Remove(filepath.Join(dir, "history.jsonl")) }, "history.jsonl: no such file"},
		"another history":        {func(dir string) error { return os.WriteFile(filepath.Join(dir, "history.jsonl"), []byte("{}"), 0o644) }, "it is not the one that was judged"},
		"a pipe for a history":   {func(dir string) error { return pipe(filepath.Join(dir, "history.jsonl")) }, "a named pipe"},
		"a pipe for checks":      {func(dir string) error { return pipe(filepath.Join(dir, "check.json")) }, "a named pipe"},
		"a pipe for the verdict": {func(dir string) error { return pipe(filepath.Join(dir, "run.json")) }, "its verdict cannot be read"},
		"half a verdict": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"verdict":"PA`), 0o644)
		}, "its verdict cannot be read"},
		"a history of before them": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"verdict":"PASS","reason":"counted only","operations":{"operations":1,"ok":1}}`), 0o644)
		}, "counted only"},
		"another, of before them": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"verdict":"PASS","operations":{"operations":2,"ok":2}}`), 0o644)
		}, "it is not the one that was judged"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := t.TempDir()
			whole(t, runs, "20260101-000001-default-7", passed)
			handler := New(Config{Runs: runs, Loopback: true})
			row := func() string {
				t.Helper()
				w, done := httptest.NewRecorder(), make(chan struct{})
				go func() {
					defer close(done)
					handler.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8090/", nil))
				}()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Fatal("the list does not come")
				}
				_, body, _ := strings.Cut(w.Body.String(), "<tbody>")
				return body
			}
			if before := row(); !strings.Contains(before, "20 keys linearizable") {
				t.Fatalf("before anything was changed: %s", before)
			}
			if err := c.change(filepath.Join(runs, "20260101-000001-default-7")); err != nil {
				t.Fatal(err)
			}
			after := row()
			good := name == "as it was" || name == "a history of before them"
			if !strings.Contains(after, c.want) || strings.Contains(after, " PASS<") != good || strings.Contains(after, " UNKNOWN<") == good {
				t.Errorf("want %q in\n%s", c.want, after)
			}
		})
	}
}

// pipe puts a named pipe in the place of a file: who opens it to read waits for ever.
func pipe(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }

func TestRunsAreListedFilteredAndCompared(t *testing.T) {
	runs := t.TempDir()
	whole(t, runs, "20260101-000001-default-7", `{"verdict":"PASS","scenario":"default","seed":7,"reason":"20 keys linearizable","options":{"nodes":5}}`)
	made(t, runs, "20260101-000002-default-8", `{"verdict":"FAIL","scenario":"default","seed":8,"reason":"linearizable: <k7>","options":{"nodes":3}}`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(runs), "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	made(t, runs, "20260101-000003-default-9", `{"verdict":"PASS","scenario":"nine","seed":9}`)
	if err := syscall.Mkfifo(filepath.Join(runs, "20260101-000003-default-9", "log"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"latest": "20260101-000001-default-7", "out": filepath.Dir(runs)} {
		if err := os.Symlink(to, filepath.Join(runs, link)); err != nil {
			t.Fatal(err)
		}
	}
	handler := New(Config{Runs: runs, Loopback: true})
	for _, c := range []struct {
		path        string
		code        int
		has, hasNot string
	}{
		{"/", 200, "20260101-000001-default-7/report.html", "<k7>"},
		{"/?verdict=failures", 200, "20260101-000002-default-8/report.html", "000001-default-7/report"},
		{"/?q=seven", 200, "No run matches", "report.html"},
		{"/?q=default+8", 200, "000002-default-8/report", "000001-default-7/report"},
		{"/compare?run=20260101-000001-default-7&run=20260101-000002-default-8", 200, `class="differs"><th scope="row">nodes`, `class="differs"><th scope="row">scenario`},
		{"/compare?run=20260101-000001-default-7", 400, "two different runs", ""},
		{"/runs/20260101-000001-default-7/report.html", 200, "20 keys linearizable", ""},
		{"/runs/20260101-000001-default-7/run.json", 200, `"seed":7`, ""},
		{"/runs/20260101-000001-default-7/%2e%2e%2f%2e%2e%2fsecret", 404, "", "secret\n"},
		{"/runs/..%2f/secret", 404, "", "secret\n"},
		{"/runs/20260101-000003-default-9/report.html", 200, "run.json says PASS, and the directory does not bear it out", "No violation"},
		{"/?q=nine", 200, "does not bear it out", "PASS<"},
		{"/runs/20260101-000003-default-9/log", 404, "", ""},
		{"/runs/latest/run.json", 200, `"seed":7`, ""},
		{"/runs/out/secret", 404, "there is no run out", "secret\n"},
		{"/compare?run=out&run=20260101-000001-default-7", 404, "there is no run out", ""},
		{"/live", 404, "", ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8090"+c.path, nil))
		body := w.Body.String()
		if w.Code != c.code || !strings.Contains(body, c.has) || c.hasNot != "" && strings.Contains(body, c.hasNot) {
			t.Errorf("%s: %d, want %d with %q and without %q", c.path, w.Code, c.code, c.has, c.hasNot)
		}
	}
}
