package serve

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestRunsAreListedFilteredAndCompared(t *testing.T) {
	runs := t.TempDir()
	made(t, runs, "20260101-000001-default-7", `{"verdict":"PASS","scenario":"default","seed":7,"reason":"20 keys linearizable","options":{"nodes":5}}`)
	made(t, runs, "20260101-000002-default-8", `{"verdict":"FAIL","scenario":"default","seed":8,"reason":"linearizable: <k7>","options":{"nodes":3}}`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(runs), "secret"), []byte("secret"), 0o644); err != nil {
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
		{"/runs/20260101-000001-default-7/report.html", 200, "run.json says PASS, and the directory does not bear it out", "No violation"},
		{"/runs/20260101-000001-default-7/run.json", 200, `"seed":7`, ""},
		{"/runs/20260101-000001-default-7/%2e%2e%2f%2e%2e%2fsecret", 404, "", "secret\n"},
		{"/runs/..%2f/secret", 404, "", "secret\n"},
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
