package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

func TestValueComesBackAsItWasSent(t *testing.T) {
	m := one(t, nil)
	for _, c := range []struct{ sent, value, kept, status string }{
		{"application/json", `{"key":"value"}`, "application/json", `{"status":"ok","value":{"key":"value"}}`},
		{"application/json", `[1,2]`, "application/json", `{"status":"ok","value":[1,2]}`},
		{"application/json", `0`, "application/json", `{"status":"ok","value":0}`},
		{"application/json", `false`, "application/json", `{"status":"ok","value":false}`},
		{"application/json", `""`, "application/json", `{"status":"ok","value":""}`},
		{"application/json", `[]`, "application/json", `{"status":"ok","value":[]}`},
		{"application/json", `{}`, "application/json", `{"status":"ok","value":{}}`},
		{"application/json; charset=utf-8", ` "a/b" `, "application/json", `{"status":"ok","value": "a/b" }`},
		{"application/x-www-form-urlencoded", `a=1&consistency=stale`, "text/plain", `{"status":"ok","value":"a=1\u0026consistency=stale"}`},
		{"text/plain; charset=latin1", "caf\xe9", "text/plain", `{"status":"ok","value":null}`},
		{"text/html", "<script>alert(1)</script>", "application/octet-stream", ""},
		{"image/svg+xml", "<svg/>", "application/octet-stream", ""},
		{"", "a/b/c", "application/octet-stream", `{"status":"ok","value":"a/b/c"}`},
	} {
		r := do(t, m, "PUT", "/k", c.value, "Content-Type", c.sent).want(t, 200)
		if c.status != "" && strings.TrimSpace(r.body) != c.status {
			t.Errorf("PUT %s %q: answer %s, want %s", c.sent, c.value, r.body, c.status)
		}
		g := do(t, m, "GET", "/k", "").want(t, 200)
		if g.body != c.value || g.h.Get("Content-Type") != c.kept {
			t.Errorf("PUT %s %q: GET gives %s %q", c.sent, c.value, g.h.Get("Content-Type"), g.body)
		}
		if g.h.Get("ETag") != r.h.Get("ETag") || g.h.Get("X-Content-Type-Options") != "nosniff" || g.h.Get("Cache-Control") != "no-store" {
			t.Errorf("PUT %s, ETag %s: GET headers %v", c.sent, r.h.Get("ETag"), g.h)
		}
		head := do(t, m, "HEAD", "/k", "").want(t, 200)
		if head.body != "" || head.h.Get("Content-Length") != fmt.Sprint(len(c.value)) || head.h.Get("ETag") != r.h.Get("ETag") {
			t.Errorf("HEAD: %v", head.h)
		}
	}
}

func TestRepliesNameIndexTermAndMembers(t *testing.T) {
	m := one(t, nil)
	put := do(t, m, "PUT", "/k", "v", "X-Request-ID", "op-17").want(t, 200)
	get := do(t, m, "GET", "/k", "").want(t, 200)
	missing := do(t, m, "GET", "/none", "")
	missing.failed(t, 404, "key_not_found")
	del := do(t, m, "DELETE", "/k", "").want(t, 200)
	gone := do(t, m, "DELETE", "/k", "").want(t, 200)
	for _, r := range []reply{put, get, missing, del, gone} {
		for _, name := range []string{"Raft-Index", "Raft-Term", "Raft-Served-By", "Raft-Leader", "X-Request-Id"} {
			if r.h.Get(name) == "" {
				t.Errorf("%s: no %s", r.what, name)
			}
		}
		if r.h.Get("Raft-Served-By") != m.address || r.h.Get("Raft-Leader") != m.address {
			t.Errorf("%s: served by %q, leader %q", r.what, r.h.Get("Raft-Served-By"), r.h.Get("Raft-Leader"))
		}
	}
	if put.h.Get("X-Request-Id") != "op-17" || put.h.Get("ETag") != `"`+put.h.Get("Raft-Index")+`"` {
		t.Errorf("PUT: %v", put.h)
	}
	if get.h.Get("Raft-Consistency") != "linearizable" || get.h.Get("ETag") != put.h.Get("ETag") {
		t.Errorf("GET: %v", get.h)
	}
	if del.h.Get("ETag") != "" || del.body != gone.body || strings.TrimSpace(del.body) != `{"status":"ok","value":null}` {
		t.Errorf("DELETE: %v %s, again %s", del.h, del.body, gone.body)
	}
	// What is no id to repeat in a log is replaced.
	for _, bad := range []string{"a b", "a\tb", `a"b`, strings.Repeat("a", 129), "é"} {
		if got := do(t, m, "GET", "/k", "", "X-Request-ID", bad).h.Get("X-Request-Id"); got == bad || len(got) != 16 {
			t.Errorf("request id %q became %q", bad, got)
		}
	}
}

func TestConditionsOfRequests(t *testing.T) {
	m := one(t, nil)
	v1 := do(t, m, "PUT", "/k", "a", "If-None-Match", "*").want(t, 200).h.Get("ETag")
	r := do(t, m, "PUT", "/k", "b", "If-None-Match", "*")
	if r.failed(t, 412, "condition_failed"); r.h.Get("ETag") != v1 || r.h.Get("Raft-Index") == "" {
		t.Errorf("412 carries %v, current is %s", r.h, v1)
	}
	v2 := do(t, m, "PUT", "/k", "b", "If-Match", v1).want(t, 200).h.Get("ETag")
	r = do(t, m, "PUT", "/k", "c", "If-Match", v1)
	if r.failed(t, 412, "condition_failed"); r.h.Get("ETag") != v2 {
		t.Errorf("412 carries %v, current is %s", r.h, v2)
	}
	do(t, m, "GET", "/k", "", "If-None-Match", v1).want(t, 200)
	for _, tag := range []string{v2, "*", `"x", W/` + v2, "W/" + v2} {
		r = do(t, m, "GET", "/k", "", "If-None-Match", tag).want(t, 304)
		if r.h.Get("ETag") != v2 || r.body != "" {
			t.Errorf("304: %v %q", r.h, r.body)
		}
	}
	do(t, m, "GET", "/k", "", "If-Match", v2).want(t, 200)
	do(t, m, "GET", "/k", "", "If-Match", v1).failed(t, 412, "condition_failed")
	do(t, m, "DELETE", "/k", "", "If-Match", v1).failed(t, 412, "condition_failed")
	do(t, m, "DELETE", "/k", "", "If-Match", "*").want(t, 200)
	r = do(t, m, "PUT", "/k", "d", "If-Match", "*")
	if r.failed(t, 412, "condition_failed"); r.h.Get("ETag") != "" {
		t.Errorf("412 of a key that is not there carries an ETag: %v", r.h)
	}
	do(t, m, "PUT", "/k", "d", "If-None-Match", "*").want(t, 200)
	do(t, m, "PUT", "/k", "e", "If-Match", v2).failed(t, 412, "condition_failed") // no tag lives twice
}

func TestWhatTheNodeSaysBecomesTheRightCode(t *testing.T) {
	unknown := fmt.Errorf("%w: %w", driver.ErrUnknown, driver.ErrNotLeader)
	for _, c := range []struct {
		err               error
		write             int
		writeCode         string
		read              int
		readCode          string
		retry, retryWrite bool
	}{
		{driver.ErrNoLeader, 503, "no_leader", 503, "no_leader", true, true},
		{driver.ErrNotLeader, 503, "not_ready", 503, "not_leader", true, true},
		{driver.ErrNotReady, 503, "not_ready", 503, "not_ready", true, true},
		{driver.ErrTransferring, 503, "transferring", 503, "transferring", true, true},
		{driver.ErrStopped, 503, "shutting_down", 503, "shutting_down", true, true},
		{driver.ErrOverloaded, 429, "overloaded", 429, "overloaded", true, true},
		{driver.ErrUnknown, 504, "unknown", 503, "read_failed", true, false},
		{unknown, 504, "unknown", 503, "not_leader", true, false},
		{context.DeadlineExceeded, 504, "timeout", 503, "timeout", true, false},
		{errors.New("never seen"), 504, "unknown", 503, "read_failed", true, false},
	} {
		node := &bent{}
		m := one(t, func(config *Config) { node.Node = config.Node; config.Node = node })
		wrapped := fmt.Errorf("node: %w", c.err)
		node.propose = func(context.Context, []byte) (driver.Applied, error) { return driver.Applied{}, wrapped }
		node.read = func(context.Context) (raft.Index, error) { return 0, wrapped }
		for _, method := range []string{"PUT", "DELETE"} {
			r := inside(m.server, method, "/k", "v")
			r.failed(t, c.write, c.writeCode)
			if (r.h.Get("Retry-After") != "") != c.retryWrite {
				t.Errorf("%s with %v: Retry-After %q", method, c.err, r.h.Get("Retry-After"))
			}
		}
		for _, path := range []string{"/k", "/v1/kv"} {
			r := inside(m.server, "GET", path, "")
			r.failed(t, c.read, c.readCode)
			if (r.h.Get("Retry-After") != "") != c.retry {
				t.Errorf("GET %s with %v: Retry-After %q", path, c.err, r.h.Get("Retry-After"))
			}
		}
		inside(m.server, "GET", "/k?consistency=stale", "").failed(t, 404, "key_not_found") // asks nobody
	}
}

// A leader that cannot reach a majority has the command in its log and does not know: 504. A read changes
// nothing, so it is 503.
func TestNoMajorityIsUnknownForWritesOnly(t *testing.T) {
	members, network := three(t, nil)
	leader := members[0]
	do(t, leader, "PUT", "/k", "old").want(t, 200)
	network.Cut(2, true)
	network.Cut(3, true)
	do(t, leader, "PUT", "/k?timeout=60ms", "new").failed(t, 504, "timeout")
	eventually(t, "the leader gives up without a majority", func() bool { return leader.node.Status().Leader == 0 })
	do(t, leader, "PUT", "/k", "newer").failed(t, 503, "no_leader")
	do(t, leader, "GET", "/k?timeout=100ms", "").want(t, 503)
	r := do(t, leader, "GET", "/k?consistency=stale", "").want(t, 200)
	if r.body != "old" || r.h.Get("Raft-Consistency") != "stale" || r.h.Get("Raft-Last-Contact-Ms") == "" || r.h.Get("Raft-Leader") != "" {
		t.Errorf("stale: %q %v", r.body, r.h)
	}
	do(t, leader, "GET", "/healthz", "").want(t, 200)
	if r := do(t, leader, "GET", "/readyz", "").want(t, 503); !strings.Contains(r.body, "[-]leader failed") {
		t.Errorf("readyz: %s", r.body)
	}
	network.Cut(2, false)
	network.Cut(3, false)
	eventually(t, "a new leader answers", func() bool { return do(t, leader, "GET", "/k", "").code == 200 })
}

func TestMinIndexWaitsUntilApplied(t *testing.T) {
	m := one(t, nil)
	index := do(t, m, "PUT", "/k", "v").h.Get("Raft-Index")
	do(t, m, "GET", "/k?consistency=stale&min_index="+index, "").want(t, 200)
	f := do(t, m, "GET", "/k?min_index=1000000&timeout=30ms", "").failed(t, 503, "behind")
	if !strings.Contains(f.Message, "min_index is 1000000") {
		t.Errorf("message %q", f.Message)
	}
	done := make(chan reply)
	next := m.node.Status().Last + 1
	go func() {
		done <- doAt(t, m.address, "GET", fmt.Sprintf("/k?consistency=stale&min_index=%d&timeout=20s", next), "")
	}()
	do(t, m, "PUT", "/k", "w").want(t, 200)
	if r := <-done; r.code != 200 || r.body != "w" {
		t.Errorf("min_index %d: %d %q", next, r.code, r.body)
	}
}

func TestListPages(t *testing.T) {
	m := one(t, nil)
	for _, key := range []string{"a/1", "a/2", "a/3", "b"} {
		do(t, m, "PUT", "/v1/kv/"+key, "vv").want(t, 200)
	}
	for path, want := range map[string]string{
		"/v1/kv":                               `a/1 a/2 a/3 b next=`,
		"/v1/kv?prefix=a/":                     `a/1 a/2 a/3 next=`,
		"/v1/kv?prefix=a/&limit=2":             `a/1 a/2 next=a/2`,
		"/v1/kv?prefix=a/&limit=2&after=a/2":   `a/3 next=`,
		"/v1/kv?prefix=z":                      `next=`,
		"/v1/kv?consistency=stale&after=a%2F3": `b next=`,
	} {
		var list listReply
		decode(t, do(t, m, "GET", path, "").want(t, 200), &list)
		words := ""
		for _, k := range list.Keys {
			words += k.Key + " "
			if k.Size != 2 || k.ETag == "" || k.ContentType == "" {
				t.Errorf("%s: %+v", path, k)
			}
		}
		if got := words + "next=" + list.Next; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestInFlightLimitAndDrain(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node; c.InFlightMax = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	node.propose = func(context.Context, []byte) (driver.Applied, error) {
		close(entered)
		<-leave
		return driver.Applied{}, driver.ErrStopped
	}
	done := make(chan reply)
	go func() { done <- inside(m.server, "PUT", "/k", "v") }()
	<-entered
	r := inside(m.server, "PUT", "/k", "v")
	if r.failed(t, 429, "too_many_requests"); r.h.Get("Retry-After") != "1" {
		t.Errorf("429: %v", r.h)
	}
	inside(m.server, "GET", "/healthz", "").want(t, 200)
	close(leave)
	(<-done).failed(t, 503, "shutting_down")
	inside(m.server, "GET", "/none", "").failed(t, 404, "key_not_found")
	m.server.Drain()
	inside(m.server, "GET", "/none", "").failed(t, 503, "shutting_down")
	inside(m.server, "PUT", "/__pyraft/peer/n2:1", "").failed(t, 503, "shutting_down")
	inside(m.server, "GET", "/livez", "").want(t, 200)
	if r := inside(m.server, "GET", "/readyz", ""); r.code != 503 || !strings.Contains(r.body, "[-]running failed") {
		t.Errorf("readyz: %d %s", r.code, r.body)
	}
}

func TestPanicIsA500WithoutAStackTrace(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	node.propose = func(context.Context, []byte) (driver.Applied, error) { panic("broken on purpose") }
	r := do(t, m, "PUT", "/k", "v")
	if f := r.failed(t, 500, "bug"); strings.Contains(r.body, "broken on purpose") || f.Definite {
		t.Errorf("500: %s", r.body)
	}
	do(t, m, "GET", "/none", "").failed(t, 404, "key_not_found")
}

func TestTimeoutOfARequestIsKept(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	var left time.Duration
	node.propose = func(ctx context.Context, _ []byte) (driver.Applied, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return driver.Applied{}, driver.ErrStopped
	}
	for path, want := range map[string]time.Duration{"/k": timeoutDefault, "/k?timeout=60s": timeoutMax, "/k?timeout=100ms": 100 * time.Millisecond} {
		inside(m.server, "PUT", path, "v")
		if left > want || left < want-want/2 {
			t.Errorf("%s: %v left, want %v", path, left, want)
		}
	}
	// Only a member may shorten it by header.
	inside(m.server, "PUT", "/k", "v", leftHeader, "10", forwardedHeader, "1")
	if left > 10*time.Millisecond {
		t.Errorf("forwarded with 10 ms left: %v", left)
	}
	inside(m.server, "PUT", "/k", "v", leftHeader, "10")
	if left < time.Second {
		t.Errorf("a client's own %s was obeyed: %v", leftHeader, left)
	}
}
