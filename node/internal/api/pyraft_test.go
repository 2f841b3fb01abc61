package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What PyRaft, run on three nodes, gets wrong over HTTP. Each step is one of its rows.
func TestWhatPyRaftGetsWrong(t *testing.T) {
	members, _ := three(t, nil)

	// A write is acknowledged before it is applied: 20 of 30 pairs of PUT and GET found nothing.
	for i := range 30 {
		path, value := fmt.Sprintf("/pair%d", i), fmt.Sprint(i)
		do(t, members[i%3], "PUT", path, value).want(t, 200)
		if got := do(t, members[(i+1)%3], "GET", path, "").want(t, 200).body; got != value {
			t.Errorf("PUT then GET of %s: %q", path, got)
		}
	}
	// DELETE of a missing key puts all three nodes into an endless loop.
	for _, m := range members {
		do(t, m, "DELETE", "/missing", "").want(t, 200)
	}
	// GET of a stored list or number is 500; 0, false, "", [] and {} are refused.
	for i, value := range []string{"[1,2]", "7", "0", "false", `""`, "[]", "{}", "null"} {
		do(t, members[i%3], "PUT", "/json", value, "Content-Type", "application/json").want(t, 200)
		for _, m := range members {
			if got := do(t, m, "GET", "/json", "").want(t, 200); got.body != value || got.h.Get("Content-Type") != "application/json" {
				t.Errorf("GET of %s: %q", value, got.body)
			}
		}
	}
	// Malformed JSON is 500.
	do(t, members[1], "PUT", "/json", "{", "Content-Type", "application/json").failed(t, 400, "bad_json")
	// A follower's 302 loses the body of curl -L, and Go's client turns the PUT into a GET that reports 200.
	request, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+members[1].address+"/body", strings.NewReader("all of it"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := do(t, members[2], "GET", "/body", "").want(t, 200).body; response.StatusCode != 200 || got != "all of it" {
		t.Errorf("PUT at a follower: %d, stored %q", response.StatusCode, got)
	}
	// A reserved name is taken for a key.
	do(t, members[0], "PUT", "/healthz", "v").failed(t, 405, "reserved_name")
	// Nobody loops: all three still answer, and have the same state.
	states := map[string]bool{}
	for _, m := range members {
		do(t, m, "GET", "/body", "").want(t, 200)
		var s statusReply
		decode(t, do(t, m, "GET", "/__pyraft/status", "").want(t, 200), &s)
		states[fmt.Sprint(s.Applied, " ", s.Hash)] = true
	}
	if len(states) != 1 {
		t.Errorf("members differ: %v", states)
	}
}
