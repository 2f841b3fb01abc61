package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/driver"
	"raftlab/node/live"
)

func TestHomeIsAPageJSONOrText(t *testing.T) {
	m := one(t, nil)
	evil := `<script>alert("1")</script>`
	do(t, m, "PUT", "/%3Cscript%3Ealert(%221%22)%3C%2Fscript%3E", "v").want(t, 200)
	do(t, m, "PUT", "/%1B%5B2J", "v").want(t, 200)

	text := do(t, m, "GET", "/", "", "Accept", "*/*").want(t, 200)
	for _, want := range []string{"node       0000000000000001 at " + m.address, "role       leader", "quorum     1 of 1 voters", "keys       2", "curl -fsS -X PUT http://" + m.address + "/keyx", `"\x1b[2J"`, `first`} {
		if want != "first" && !strings.Contains(text.body, want) {
			t.Errorf("text lacks %q:\n%s", want, text.body)
		}
	}
	if strings.Contains(text.body, "\x1b") || strings.Contains(text.body, "the first") {
		t.Errorf("text:\n%q", text.body)
	}
	var reply homeReply
	decode(t, do(t, m, "GET", "/", "", "Accept", "application/json").want(t, 200), &reply)
	if reply.Role != "leader" || len(reply.FirstKeys) != 2 || reply.FirstKeys[1] != evil || reply.KeysCapped || !reply.Ready {
		t.Errorf("JSON: %+v", reply)
	}
	page := do(t, m, "GET", "/", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").want(t, 200)
	if strings.Count(page.body, "<script") != 1 || !strings.Contains(page.body, "&lt;script&gt;") {
		t.Errorf("a key is not escaped:\n%s", page.body)
	}
	if csp := page.h.Get("Content-Security-Policy"); csp != live.Policy || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	if !strings.Contains(page.body, `data-faults=""`) {
		t.Error("a member offers faults")
	}
	for i := range 101 {
		do(t, m, "PUT", fmt.Sprintf("/k%03d", i), "v").want(t, 200)
	}
	text = do(t, m, "GET", "/", "").want(t, 200)
	if !strings.Contains(text.body, "the first 100 only") || strings.Contains(text.body, "k100") {
		t.Errorf("101 keys and more:\n%s", text.body)
	}
	decode(t, do(t, m, "GET", "/", "", "Accept", "application/json"), &reply)
	if len(reply.FirstKeys) != 100 || !reply.KeysCapped || reply.Keys != 103 {
		t.Errorf("JSON: %d keys, capped %v, of %d", len(reply.FirstKeys), reply.KeysCapped, reply.Keys)
	}
}

// In a container a member is at n1:8000 for the others, and at a published port for who pastes the lines.
func TestLinesToPasteNameTheHostThatWasAsked(t *testing.T) {
	m := one(t, nil)
	for host, want := range map[string]string{"localhost:8003": "localhost:8003", "[::1]:8003": "[::1]:8003", "$(reboot)": m.address, "a;b": m.address} {
		for accept, sentence := range map[string]string{"*/*": "curl -fsS http://" + want + "/keyx", "text/html": `data-url="http://` + want + `"`} {
			if body := askAs(t, m, host, accept); !strings.Contains(body, sentence) {
				t.Errorf("asked as %s for %s: no %q in\n%s", host, accept, sentence, body)
			}
		}
	}
}

func askAs(t *testing.T, m *member, host, accept string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+m.address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Accept", accept)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStatusNamesWhatTheLabAsksFor(t *testing.T) {
	members, _ := three(t, nil)
	do(t, members[0], "PUT", "/k", "v").want(t, 200)
	var hashes []string
	for _, m := range members {
		do(t, m, "GET", "/k", "").want(t, 200) // has applied it
		var s statusReply
		decode(t, do(t, m, "GET", "/__pyraft/status", "").want(t, 200), &s)
		if s.ID != hexID(m.id) || s.Leader == nil || *s.Leader != members[0].address || len(s.Voters) != 3 || len(s.Learners) != 0 || s.Quorum != 2 || !s.Ready {
			t.Errorf("%+v", s)
		}
		if s.Applied < 1 || s.Commit < s.Applied || s.Keys != 1 || s.Cluster != testCluster.String() || s.Term == 0 {
			t.Errorf("%+v", s)
		}
		hashes = append(hashes, fmt.Sprint(s.Applied, s.Hash))
	}
	if hashes[0] != hashes[1] || hashes[0] != hashes[2] {
		t.Errorf("members differ: %v", hashes)
	}
}

func TestHealth(t *testing.T) {
	change := func(driver.Status) driver.Status { return driver.Status{} }
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	if r := do(t, m, "GET", "/readyz?verbose", "").want(t, 200); r.body != fmt.Sprintf("[+]leader ok: %s\n[+]applied ok: %d of %[2]d committed\n[+]member ok: voter\n[+]disk ok: writable\n[+]running ok: not shutting down\nready\n", m.address, m.store.Applied()) {
		t.Errorf("%s", r.body)
	}
	do(t, m, "GET", "/readyz/leader", "").want(t, 200)
	for name, c := range map[string]struct {
		change func(*driver.Status)
		says   string
	}{
		"no leader":  {func(s *driver.Status) { s.Leader, s.LeaderAddress = 0, "" }, "[-]leader failed: none known"},
		"behind":     {func(s *driver.Status) { s.Commit = s.Applied + applyLagMax + 1 }, "[-]applied failed"},
		"far behind": {func(s *driver.Status) { s.LeaderCommit = s.Applied + applyLagMax + 1 }, "[-]applied failed"},
		"restarted":  {func(s *driver.Status) { s.CaughtUp = false }, "[-]applied failed"},
		"learner":    {func(s *driver.Status) { s.Learner = true }, "[-]member failed: learner"},
		"removed":    {func(s *driver.Status) { s.Configuration.Members = nil }, "[-]member failed: not in the configuration"},
		"disk":       {func(s *driver.Status) { s.DiskErr = fmt.Errorf("wal: sync: input/output error") }, "[-]disk failed: wal: sync: input/output error"},
	} {
		node.status = func(s driver.Status) driver.Status { c.change(&s); return s }
		if r := inside(m.server, "GET", "/readyz", ""); r.code != 503 || !strings.Contains(r.body, c.says) || r.h.Get("Retry-After") != "1" {
			t.Errorf("%s: %d\n%s", name, r.code, r.body)
		}
		inside(m.server, "GET", "/livez", "").want(t, 200)
		inside(m.server, "GET", "/healthz", "").want(t, 200)
	}
	node.status = change // nothing at all is known
	inside(m.server, "GET", "/healthz", "").want(t, 200)
	inside(m.server, "GET", "/readyz", "").want(t, 503)
	inside(m.server, "GET", "/readyz/leader", "").want(t, 503)
	inside(m.server, "GET", "/__pyraft/status", "").want(t, 200)
	inside(m.server, "GET", "/", "").want(t, 200)
}

func TestMetrics(t *testing.T) {
	given := prometheus.NewCounter(prometheus.CounterOpts{Name: "of_another_part_total", Help: "x"})
	m := one(t, func(c *Config) { c.Collectors = []prometheus.Collector{given} })
	do(t, m, "PUT", "/k", "v").want(t, 200)
	do(t, m, "PUT", "/healthz", "v").want(t, 405)
	do(t, m, "BREW", "/k", "").want(t, 405)
	r := do(t, m, "GET", "/metrics", "").want(t, 200)
	for _, want := range []string{
		`raftd_http_requests_total{code="200",method="PUT",route="/{key}"} 1`,
		`raftd_http_requests_total{code="405",method="other",route="/{key}"} 1`,
		`raftd_http_request_duration_seconds_count{method="PUT",route="/{key}"} 1`,
		"raft_is_leader 1", `raft_role{role="leader"} 1`, "raftd_keys 1", "raft_term ", "raft_applied_index ", "raft_elections_total ",
		"of_another_part_total 0", "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %q in\n%s", want, r.body)
		}
	}
	if !strings.HasPrefix(r.h.Get("Content-Type"), "text/plain") {
		t.Errorf("content type %q", r.h.Get("Content-Type"))
	}
}

func TestConfigIsChecked(t *testing.T) {
	m := one(t, nil)
	for want, c := range map[string]Config{
		"needs a Node": {Store: m.store}, "and a Store": {Node: m.node},
		"forward or redirect": {Node: m.node, Store: m.store, NotLeader: "maybe"},
		"negative":            {Node: m.node, Store: m.store, InFlightMax: -1},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something about %q", err, want)
		}
	}
}

// The peers come after the collector was registered, so the registry must know of their metrics before.
func TestMetricsOfPeersOnTheLeader(t *testing.T) {
	members, _ := three(t, nil)
	do(t, members[0], "PUT", "/k", "v").want(t, 200)
	eventually(t, "the leader reports both peers", func() bool {
		body := do(t, members[0], "GET", "/metrics", "").want(t, 200).body
		return strings.Contains(body, `raft_peer_match_index{address="`+members[1].address+`",peer="0000000000000002"}`) &&
			strings.Contains(body, `raft_peer_active{address="`+members[2].address+`",peer="0000000000000003"} 1`)
	})
	if body := do(t, members[1], "GET", "/metrics", "").want(t, 200).body; strings.Contains(body, "raft_peer_match_index{") {
		t.Error("a follower reports progress of peers")
	}
}
