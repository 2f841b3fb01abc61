package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"raftlab/node/internal/kv"
)

// Every bad request gets one clear sentence and the right status, and nothing is proposed.
func TestBadInput(t *testing.T) {
	m := one(t, nil)
	long := strings.Repeat("k", kv.KeyBytesMax+1)
	large := strings.Repeat("v", kv.ValueBytesMax+1)
	before := do(t, m, "PUT", "/k", "v").want(t, 200)
	last := m.node.Status().Last
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code, says         string
	}{
		{"PUT", "/healthz", "v", nil, 405, "reserved_name", "reserved name; use /v1/kv/healthz"},
		{"PUT", "/livez", "v", nil, 405, "reserved_name", "use /v1/kv/"},
		{"PUT", "/readyz", "v", nil, 405, "reserved_name", "use /v1/kv/"},
		{"PUT", "/metrics", "v", nil, 405, "reserved_name", "use /v1/kv/"},
		{"PUT", "/version", "v", nil, 405, "reserved_name", "use /v1/kv/"},
		{"DELETE", "/favicon.ico", "", nil, 405, "reserved_name", "use /v1/kv/"},
		{"DELETE", "/robots.txt", "", nil, 405, "reserved_name", "use /v1/kv/"},
		{"PUT", "/__pyraft", "v", nil, 405, "reserved_name", "use /v1/kv/__pyraft"},
		{"PUT", "/v1/x", "v", nil, 405, "reserved_name", "use /v1/kv/v1/x"},
		{"PUT", "/", "v", nil, 405, "method_not_allowed", "PUT is not a method"},
		{"PUT", "/" + long, "v", nil, 400, "bad_key", "513 bytes"},
		{"GET", "/" + long, "", nil, 400, "bad_key", "513 bytes"},
		{"PUT", "/v1/kv/" + long, "v", nil, 400, "bad_key", "513 bytes"},
		{"PUT", "/v1/kv/", "v", nil, 400, "bad_key", "empty"},
		{"PUT", "/%FF", "v", nil, 400, "bad_key", "UTF-8"},
		{"PUT", "/k", large, nil, 413, "too_large", "1048576"},
		{"PUT", "/k", "", nil, 400, "empty_body", "empty"},
		{"PUT", "/k", "{", []string{"Content-Type", "application/json"}, 400, "bad_json", "not valid JSON: unexpected end"},
		{"PUT", "/k", "{} {}", []string{"Content-Type", "application/json"}, 400, "bad_json", "not valid JSON"},
		{"PUT", "/k", "\"\xff\"", []string{"Content-Type", "application/json"}, 400, "bad_json", "UTF-8"},
		{"PUT", "/v1/kv/k", "", []string{"Content-Type", "application/json"}, 400, "bad_json", "empty"},
		{"PUT", "/k", "v", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "unsupported_type", "multipart"},
		{"PUT", "/k", "v", []string{"Content-Type", "text/"}, 415, "unsupported_type", "text/"},
		{"PUT", "/k", "v", []string{"Content-Encoding", "gzip"}, 415, "unsupported_type", "gzip"},
		{"PUT", "/k", "v", []string{"Content-Range", "bytes 0-0/2"}, 400, "bad_body", "in parts"},
		{"PUT", "/k", "v", []string{"If-Match", "17"}, 400, "bad_condition", "with the quotes"},
		{"PUT", "/k", "v", []string{"If-Match", `"abc"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `W/"17"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"0"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"-1"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"017"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"18446744073709551616"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"1", "2"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", `"1"`, "If-Match", `"2"`}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-Match", ""}, 400, "bad_condition", "strong entity tag"},
		{"DELETE", "/k", "", []string{"If-Match", "x"}, 400, "bad_condition", "strong entity tag"},
		{"DELETE", "/k", "", []string{"If-None-Match", "*"}, 400, "bad_condition", "only PUT"},
		{"GET", "/k", "", []string{"If-Match", "x"}, 400, "bad_condition", "strong entity tag"},
		{"PUT", "/k", "v", []string{"If-None-Match", `"17"`}, 400, "bad_condition", "must be *"},
		{"PUT", "/k", "v", []string{"If-None-Match", "*", "If-Match", "*"}, 400, "bad_condition", "combined"},
		{"PUT", "/k", "v", []string{"Idempotency-Key", ""}, 400, "bad_idempotency_key", "visible ASCII"},
		{"PUT", "/k", "v", []string{"Idempotency-Key", "two words"}, 400, "bad_idempotency_key", "visible ASCII"},
		{"PUT", "/k", "v", []string{"Idempotency-Key", "ü"}, 400, "bad_idempotency_key", "visible ASCII"},
		{"PUT", "/k", "v", []string{"Idempotency-Key", strings.Repeat("x", 129)}, 400, "bad_idempotency_key", "1 to 128"},
		{"DELETE", "/k", "", []string{"Idempotency-Key", "x", "Idempotency-Key", "x"}, 400, "bad_idempotency_key", "given once"},
		{"GET", "/k?consistency=eventual", "", nil, 400, "bad_parameter", "linearizable or stale"},
		{"GET", "/k?consistency=", "", nil, 400, "bad_parameter", "linearizable or stale"},
		{"PUT", "/k?consistency=weak", "v", nil, 400, "bad_parameter", "linearizable or stale"},
		{"PUT", "/k?consistency=stale", "v", nil, 400, "bad_parameter", "always linearizable"},
		{"GET", "/k?timeout=2", "", nil, 400, "bad_parameter", "500ms"},
		{"GET", "/k?timeout=soon", "", nil, 400, "bad_parameter", "500ms"},
		{"GET", "/k?timeout=0s", "", nil, 400, "bad_parameter", "above 0"},
		{"GET", "/k?timeout=-1s", "", nil, 400, "bad_parameter", "above 0"},
		{"PUT", "/k?timeout=61s", "v", nil, 400, "bad_parameter", "at most 1m0s"},
		{"GET", "/k?timeout=1s&timeout=2s", "", nil, 400, "bad_parameter", "2 times"},
		{"GET", "/k?min_index=-1", "", nil, 400, "bad_parameter", "an index"},
		{"PUT", "/k?min_index=1", "v", nil, 400, "bad_parameter", "unknown parameter"},
		{"GET", "/k?redirect=maybe", "", nil, 400, "bad_parameter", "true or false"},
		{"GET", "/k?consistancy=stale", "", nil, 400, "bad_parameter", "unknown parameter"},
		{"GET", "/k?a;b", "", nil, 400, "bad_parameter", "cannot be parsed"},
		{"GET", "/v1/kv?limit=0", "", nil, 400, "bad_parameter", "1 to 1000"},
		{"GET", "/v1/kv?limit=1001", "", nil, 400, "bad_parameter", "1 to 1000"},
		{"GET", "/v1/kv?prefix=%FF", "", nil, 400, "bad_parameter", "UTF-8"},
		{"GET", "/v1/kv?after=" + long, "", nil, 400, "bad_parameter", "512 bytes"},
		{"GET", "/readyz?exclude=leader", "", nil, 400, "bad_parameter", "unknown parameter"},
		{"PATCH", "/k", "v", nil, 405, "method_not_allowed", "PATCH"},
		{"POST", "/k", "v", nil, 405, "method_not_allowed", "POST"},
		{"PUT", "/k", "v", []string{"Origin", "http://evil.example"}, 403, "cross_origin", "another site"},
	} {
		r := do(t, m, c.method, c.path, c.body, c.headers...)
		f := r.failed(t, c.status, c.code)
		if !strings.Contains(f.Message, c.says) {
			t.Errorf("%.60s %v: message %q does not say %q", r.what, c.headers, f.Message, c.says)
		}
		if (c.status == 405) != (r.h["Allow"] != nil) {
			t.Errorf("%.60s: %d with Allow %q", r.what, r.code, r.h["Allow"])
		}
	}
	if now := m.node.Status().Last; now != last {
		t.Errorf("the log grew from %d to %d by bad requests", last, now)
	}
	if r := do(t, m, "GET", "/k", "").want(t, 200); r.body != "v" || r.h.Get("ETag") != before.h.Get("ETag") || m.store.Len() != 1 {
		t.Errorf("after bad requests: %q %s, %d keys", r.body, r.h.Get("ETag"), m.store.Len())
	}
}

// A body of unknown length is bounded too, and one that announces too much is not even asked for.
func TestTooLargeBodies(t *testing.T) {
	patient := newNetwork()
	patient.electionTicks = 400 // a leader whose disk takes longer than that for a megabyte steps down, and answers 504
	m := lone(t, patient, nil)
	for _, extra := range []int{0, 1} {
		body := struct{ *strings.Reader }{strings.NewReader(strings.Repeat("v", kv.ValueBytesMax+extra))} // hides its length
		request, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://"+m.address+"/k", body)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if want := map[int]int{0: 200, 1: 413}[extra]; response.StatusCode != want {
			t.Errorf("chunked, %d bytes too many: %d, want %d", extra, response.StatusCode, want)
		}
	}
}

// TestTooLargeHeaders: a member says so in the shape of errors, and also where net/http no longer lets it speak it is 431.
func TestTooLargeHeaders(t *testing.T) {
	m := one(t, nil)
	last := m.node.Status().Last
	for _, c := range []struct {
		bytes  int
		status int
	}{{headerBytesMax - 1024, 200}, {headerBytesMax, 431}, {headerBytesMax + 4096, 431}} {
		r := do(t, m, "PUT", "/k", "v", "X-Large", strings.Repeat("a", c.bytes)).want(t, c.status)
		if c.status == 431 {
			r.failed(t, 431, "headers_too_large")
		}
	}
	do(t, m, "GET", "/k?prefix="+strings.Repeat("a", headerBytesMax), "").failed(t, 431, "headers_too_large")
	many := []string{}
	for i := range 2000 {
		many = append(many, fmt.Sprintf("X-%d", i), "0123456789")
	}
	do(t, m, "PUT", "/k", "v", many...).failed(t, 431, "headers_too_large")
	do(t, m, "PUT", "/k", "v", "X-Large", strings.Repeat("a", 4*headerBytesMax)).want(t, 431)
	if now := m.node.Status().Last; now != last+1 {
		t.Errorf("the log grew from %d to %d, want one entry", last, now)
	}
}
