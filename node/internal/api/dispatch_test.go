package api

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"raftlab/node/internal/kv"
)

func TestRoutes(t *testing.T) {
	m := one(t, nil)
	do(t, m, "PUT", "/v1/kv/there", "v").want(t, 200)
	for _, c := range []struct {
		method, path string
		code         int
		key          string // that the request must have stored, if any
	}{
		{"PUT", "/k", 200, "k"},
		{"PUT", "/a%2Fb", 200, "a/b"},
		{"PUT", "/a%2fb", 200, "a/b"},
		{"PUT", "/v1/kv/a/b", 200, "a/b"},
		{"PUT", "/v1/kv/a%2Fb", 200, "a/b"},
		{"PUT", "/v1/kv/healthz", 200, "healthz"},
		{"PUT", "/v1/kv/__pyraft/peer/x", 200, "__pyraft/peer/x"},
		{"PUT", "/v1/kv//", 200, "/"},
		{"PUT", "/v1/kv/a//b/", 200, "a//b/"},
		{"PUT", "/v1/kv/a/../b", 200, "a/../b"},
		{"PUT", "/%2E%2E", 200, ".."},
		{"PUT", "/..", 200, ".."},
		{"PUT", "/.", 200, "."},
		{"PUT", "/%2Fhealthz", 200, "/healthz"},
		{"PUT", "/HEALTHZ", 200, "HEALTHZ"},
		{"PUT", "/healthz2", 200, "healthz2"},
		{"PUT", "/__pyraft2", 200, "__pyraft2"},
		{"PUT", "/v10", 200, "v10"},
		{"PUT", "/%20", 200, " "},
		{"PUT", "/%00", 200, "\x00"},
		{"PUT", "/%3Fq", 200, "?q"},
		{"PUT", "/%25", 200, "%"},
		{"PUT", "/%C3%BC", 200, "ü"},
		{"PUT", "/:key", 200, ":key"},
		{"PUT", "/*", 200, "*"},
		{"PUT", "/" + strings.Repeat("k", kv.KeyBytesMax), 200, strings.Repeat("k", kv.KeyBytesMax)},
		{"PUT", "//x", 404, ""},
		{"PUT", "/a/b", 404, ""},
		{"PUT", "/k/", 404, ""},
		{"GET", "/healthz/", 404, ""},
		{"GET", "/there", 200, ""},
		{"HEAD", "/there", 200, ""},
		{"HEAD", "/not-there", 404, ""},
		{"OPTIONS", "/k", 204, ""},
		{"OPTIONS", "/healthz", 204, ""},
		{"POST", "/k", 405, ""},
		{"GET", "/healthz", 200, ""},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/%68ealthz", 200, ""},
		{"PUT", "/healthz", 405, ""},
		{"PUT", "/%68ealthz", 405, ""},
		{"POST", "/healthz", 405, ""},
		{"PUT", "/readyz/leader", 405, ""},
		{"PUT", "/readyz%2Fleader", 405, ""},
		{"PUT", "/v1", 405, ""},
		{"GET", "/v1", 404, ""},
		{"PUT", "/v1/kv", 405, ""},
		{"GET", "/v1/kv", 200, ""},
		{"GET", "/v1/kv/", 400, ""},
		{"GET", "/v1/nothing", 404, ""},
		{"PUT", "/__pyraft", 405, ""},
		{"PUT", "/__pyraft/", 405, ""},
		{"PUT", "/%5f_pyraft/status", 405, ""},
		{"GET", "/%5f_pyraft/status", 200, ""},
		{"GET", "/__pyraft%2Fstatus", 200, ""},
		{"GET", "/__pyraft/status", 200, ""},
		{"GET", "/__pyraft/peers", 200, ""},
		{"PUT", "/__pyraft/peers", 405, ""},
		{"GET", "/__pyraft/identity", 200, ""},
		{"GET", "/__pyraft/peer/x", 405, ""},
		{"PUT", "/__pyraft/peer/", 400, ""},
		{"PUT", "/__pyraft/peer", 405, ""},
		{"PUT", "/__pyraft/peer/a%2Fb", 400, ""},
		{"HEAD", "/__pyraft/events", 200, ""},
		{"PUT", "/__pyraft/events", 405, ""},
		{"POST", "/__pyraft/leader?to=x", 400, ""},
		{"GET", "/__pyraft/leader", 405, ""},
		{"POST", "/__pyraft/snapshot", 200, ""},
		{"PUT", "/__pyraft/snapshot", 405, ""},
		{"POST", "/__pyraft/snapshot/stream", 404, ""}, // no handler was given in Config
		{"PUT", "/__pyraft/snapshot/stream", 405, ""},
		{"GET", "/__pyraft/stream", 404, ""}, // no stream was given in Config
		{"GET", "/favicon.ico", 404, ""},
		{"GET", "/robots.txt", 200, ""},
		{"GET", "/version", 200, ""},
		{"GET", "/metrics", 200, ""},
		{"GET", "/", 200, ""},
	} {
		last := m.node.Status().Last
		r := do(t, m, c.method, c.path, "value")
		if r.code != c.code {
			t.Errorf("%.70s: %d, want %d\n%.200s", r.what, r.code, c.code, r.body)
			continue
		}
		if c.key != "" {
			if item, ok, _ := m.store.Get(c.key); !ok || string(item.Value) != "value" {
				t.Errorf("%.70s: %q is not stored", r.what, c.key)
			}
		} else if now := m.node.Status().Last; now != last {
			t.Errorf("%.70s: proposed something", r.what)
		}
		if c.code >= 400 && c.method != "HEAD" {
			var f failureReply
			decode(t, r, &f)
		}
		if (c.code == 405 || c.code == 204) && r.h["Allow"] == nil {
			t.Errorf("%.70s: %d without Allow", r.what, r.code)
		}
		if c.code >= 300 && c.code < 400 {
			t.Errorf("%.70s: redirect to %s", r.what, r.h.Get("Location"))
		}
	}
}

// Whatever the path, a PUT either stores exactly the decoded key or nothing, and never panics.
func FuzzKey(f *testing.F) {
	m := one(f, nil)
	for _, path := range []string{"k", "a%2Fb", "v1/kv/a/b", "%5f_pyraft/x", "healthz", "..", "%", "%ff", "//", "v1/kv//", "a?b=c", "k#x", "%00", "*"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		target, err := url.Parse("/" + path)
		if err != nil || target.Host != "" || target.RawQuery != "" {
			return
		}
		r := httptest.NewRequest("PUT", "/", strings.NewReader("value"))
		r.URL = target
		w := httptest.NewRecorder()
		before := m.node.Status().Last
		m.server.ServeHTTP(w, r)
		raw := strings.TrimPrefix(target.EscapedPath(), "/")
		key := strings.TrimPrefix(target.Path, "/")
		if under, ok := strings.CutPrefix(target.Path, "/v1/kv/"); ok {
			raw, key = "", under
		}
		switch {
		case w.Code == 200:
			if _, ok, _ := m.store.Get(key); !ok || len(key) == 0 || len(key) > kv.KeyBytesMax || !utf8.ValidString(key) || strings.Contains(raw, "/") {
				t.Fatalf("PUT %q: stored, but not as %q", path, key)
			}
		case w.Code == 500 || w.Code < 400:
			t.Fatalf("PUT %q: %d %s", path, w.Code, w.Body)
		case m.node.Status().Last != before:
			t.Fatalf("PUT %q: %d, and proposed", path, w.Code)
		}
	})
}

func FuzzETag(f *testing.F) {
	for _, tag := range []string{`"17"`, `W/"17"`, `"0"`, `"+1"`, `""`, `"`, `"18446744073709551615"`, `"1"2"`} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if index, ok := parseETag(tag); ok && (index == 0 || etag(index) != tag) {
			t.Fatalf("%q is read as %d, which is written %q", tag, index, etag(index))
		}
	})
}
