package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRemovedMemberStaysOut: it restarts with the command line that once made it join.
func TestRemovedMemberStaysOut(t *testing.T) {
	first := start(t, "", t.TempDir())
	second := start(t, "", t.TempDir(), "--join", first.address)
	third := start(t, "", t.TempDir(), "--join", first.address)
	third.kill()
	req, err := http.NewRequest(http.MethodDelete, "http://"+first.address+"/__pyraft/peer/"+third.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(req)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("DELETE: %v %v", reply, err)
	}
	reply.Body.Close()
	launch(t, third.address, third.data, "--join", first.address)
	for i := range 20 { // each takes a round of the cluster
		second.put("k", fmt.Sprint(i))
	}
	var status struct{ Voters []string }
	answer, err := http.Get("http://" + first.address + "/__pyraft/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || len(status.Voters) != 2 {
		t.Fatalf("voters are %v (%v), want the two that are left", status.Voters, err)
	}
}

// TestRemovedMemberIsToldSo: the leader sends it nothing more, so the entry that removes it may never come; the others
// say it when it asks them for its vote.
func TestRemovedMemberIsToldSo(t *testing.T) {
	first := start(t, "", t.TempDir())
	second := start(t, "", t.TempDir(), "--join", first.address)
	request, err := http.NewRequest(http.MethodDelete, "http://"+first.address+"/__pyraft/peer/"+second.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("DELETE: %v %v", reply, err)
	}
	reply.Body.Close()
	second.awaitRefusal("removed", "this member was removed from its cluster and serves nothing more; ask another")
	second.kill()
	second = launch(t, second.address, second.data) // from the beginning it knows only what its log says
	second.awaitRefusal("removed", "stop it, empty its data directory and start it with --join")
	if ready := second.get("readyz"); ready != "503 Service Unavailable" {
		t.Errorf("ready: %s", ready)
	}
	first.put("k", "v")
}

// awaitRefusal asks until the answer is that error, and what it says is in its message.
func (m *member) awaitRefusal(code, says string) {
	m.t.Helper()
	var body struct {
		Error, Message string
		Definite       bool
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for body.Error != code || !body.Definite || !strings.Contains(body.Message, says) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			m.kill()
			m.t.Fatalf("%s does not say %q: %q; at last it said %+v\n%s", m.address, code, says, body, m.stderr.String())
		}
		reply, err := http.Get("http://" + m.address + "/k")
		if err != nil {
			continue // it is starting
		}
		err = json.NewDecoder(reply.Body).Decode(&body)
		reply.Body.Close()
		if err != nil {
			m.t.Fatal(err)
		}
	}
}
