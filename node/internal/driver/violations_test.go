package driver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"raftlab/raft"
)

// TestAMemberOutlivesAMessageThatNoCorrectMemberSends: a second leader of its term, and what it never sent acknowledged,
// end neither the leader nor its service.
func TestAMemberOutlivesAMessageThatNoCorrectMemberSends(t *testing.T) {
	n := lone(t, &gatedLog{})
	defer n.Stop()
	await(t, "it leads", leads(n))
	for _, m := range []raft.Message{
		{Type: raft.MsgAppend, Cluster: 7, From: 2, To: 1, Term: n.Status().Term},
		{Type: raft.MsgAppend, Cluster: 7, From: 2, To: 1, Term: n.Status().Term + 1, Entries: []raft.Entry{{Index: 9, Term: 1}}},
	} {
		n.Step(m)
	}
	if _, err := n.Propose(within(t), []byte("x")); err != nil {
		t.Fatal(err)
	}
}

// TestViolationsDoNotFloodTheLog: the first is told at once, the others are counted.
func TestViolationsDoNotFloodTheLog(t *testing.T) {
	var log bytes.Buffer
	v := violations{logger: slog.New(slog.NewTextHandler(&log, nil))}
	for range 1000 {
		v.tell("two leaders")
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "two leaders") {
		t.Fatalf("%d lines: %s", n, log.String())
	}
	v.told = v.told.Add(-2 * time.Second)
	if v.tell("again"); !strings.Contains(log.String(), "more=999") {
		t.Fatal(log.String())
	}
}
