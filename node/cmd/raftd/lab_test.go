package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestOnlyALabMemberHasAClockThatBends: without --lab there is no route; with it there is a warning, and the clock bends.
func TestOnlyALabMemberHasAClockThatBends(t *testing.T) {
	ask := func(m *member, method, query string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+m.address+"/__pyraft/lab/clock"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(body)
	}
	plain := start(t, "", t.TempDir())
	if code, body := ask(plain, "POST", "?jump=1s"); code != http.StatusNotFound {
		t.Errorf("without --lab: %d %s", code, body)
	}
	lab := start(t, "", t.TempDir(), "--lab")
	if code, body := ask(lab, "POST", "?offset=1h"); code != http.StatusOK || !strings.Contains(body, `"offset_ms":3600000`) {
		t.Errorf("with --lab: %d %s", code, body)
	}
	lab.put("k", "v")
	lab.kill()
	plain.kill()
	if !strings.Contains(lab.stderr.String(), "--lab: the clock of this member can be bent") || strings.Contains(plain.stderr.String(), "--lab") {
		t.Errorf("with --lab it logs\n%s\nwithout\n%s", lab.stderr.String(), plain.stderr.String())
	}
}
