package raftkv

import (
	"context"
	"fmt"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/harness/process"
	"raftlab/linearizability"
)

// The adapter against the real node: each kind of operation through a follower, every answer that a client can get
// without a fault, then a member that is cut off, and what the members say of themselves after it.
func TestAdapterAgainstTheRealNode(t *testing.T) {
	binary, err := kvdtest.Build(t.TempDir(), "raftlab/node/cmd/raftd")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Binary: binary})
	defer s.Close()
	c, err := process.Start(kvdtest.Deadline(t, 30*time.Second), s, process.Options{Nodes: 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	leader, status, err := harness.AwaitLeader(kvdtest.Deadline(t, 10*time.Second), c, s)
	if err != nil || status.Term == 0 || len(status.Voters) != 3 || status.ID == "" || status.Hash == "" {
		t.Fatalf("leader %s: %+v %v", leader, status, err)
	}
	var follower string
	for _, node := range harness.Names(c) {
		if node != leader {
			follower = node
		}
	}
	client, err := s.Dial(follower, func(ctx context.Context) (string, error) { return c.Endpoint(ctx, follower) })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	const ok = linearizability.OK
	before := uint64(0)
	for i, step := range []struct {
		op      linearizability.Operation
		got     *string
		swapped bool
	}{
		{op: linearizability.Operation{Kind: linearizability.Get, Key: "k"}},
		{op: linearizability.Operation{Kind: linearizability.Put, Key: "k", Value: "v1"}},
		{op: linearizability.Operation{Kind: linearizability.Get, Key: "k"}, got: linearizability.Value("v1")},
		{op: linearizability.Operation{Kind: linearizability.CAS, Key: "k", Expect: "v1", Value: "v2"}, swapped: true},
		{op: linearizability.Operation{Kind: linearizability.CAS, Key: "k", Expect: "v1", Value: "v3"}},
		{op: linearizability.Operation{Kind: linearizability.CAS, Key: "k", Expect: "v2", Value: "v4"}, swapped: true},
		{op: linearizability.Operation{Kind: linearizability.Get, Key: "k"}, got: linearizability.Value("v4")},
		{op: linearizability.Operation{Kind: linearizability.Delete, Key: "k"}},
		{op: linearizability.Operation{Kind: linearizability.Delete, Key: "k"}},
		{op: linearizability.Operation{Kind: linearizability.CAS, Key: "k", Expect: "v4", Value: "v5"}},
		{op: linearizability.Operation{Kind: linearizability.Get, Key: "k"}},
	} {
		step.op.ID = int64(i + 1)
		got := client.Do(kvdtest.Deadline(t, 5*time.Second), step.op)
		if got.Outcome != ok || got.Swapped != step.swapped || (got.Got == nil) != (step.got == nil) || got.Got != nil && *got.Got != *step.got {
			t.Errorf("%s %q expecting %q: %+v", step.op.Kind, step.op.Value, step.op.Expect, got)
		}
		if got.Index == 0 || got.Index < before || got.Term == 0 || got.ServedBy == "" {
			t.Errorf("step %d: index %d after %d, term %d, served by %q", i, got.Index, before, got.Term, got.ServedBy)
		}
		before = got.Index
	}

	if _, err := harness.AwaitConverged(kvdtest.Deadline(t, 10*time.Second), c, s); err != nil {
		t.Fatal(err)
	}
	logs, failed, err := harness.ReadLogs(kvdtest.Deadline(t, 5*time.Second), c, s)
	if err != nil || len(failed) > 0 || len(logs) != 3 {
		t.Fatalf("logs: %v, %v, %v", logs, failed, err)
	}
	for _, log := range logs {
		said := ""
		for _, e := range log.Entries {
			said += fmt.Sprintf("%s %s %s; ", e.Kind, e.Key, e.Value)
		}
		const want = "put k v1; put k v2; put k v4; delete k ; delete k ; "
		if last := log.Entries[len(log.Entries)-1]; said != want || last.Term == 0 || last.Index < log.From || last.Index > log.To || log.To < before {
			t.Errorf("the log of %s from %d to %d says %q, last %+v", log.Node, log.From, log.To, said, last)
		}
	}

	cutOff(t, c, client, follower)
	statuses, err := harness.AwaitConverged(kvdtest.Deadline(t, 10*time.Second), c, s)
	if err != nil || statuses["n1"].Applied < before {
		t.Fatalf("%+v %v", statuses, err)
	}
}

// cutOff checks that a member which is cut off from the others says ok to nobody, and heals it.
func cutOff(t *testing.T, c *process.Cluster, client harness.Client, node string) {
	t.Helper()
	var links []harness.Link
	for _, other := range harness.Names(c) {
		if other != node {
			links = append(links, harness.Link{From: node, To: other}, harness.Link{From: other, To: node})
		}
	}
	cut, err := c.Cut(t.Context(), links)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []linearizability.Operation{
		{ID: 100, Kind: linearizability.Get, Key: "k"},
		{ID: 101, Kind: linearizability.Put, Key: "k", Value: "cut off"},
	} {
		if got := client.Do(kvdtest.Deadline(t, 300*time.Millisecond), op); got.Outcome == linearizability.OK {
			t.Errorf("%s on a member that is cut off: %+v", op.Kind, got)
		}
	}
	if err := cut.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
}
