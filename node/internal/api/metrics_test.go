package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"raftlab/node/internal/driver"
)

// What an operator asks of a cluster in trouble is there, with the numbers that belong to it.
func TestMetricsOfAnOperator(t *testing.T) {
	members, _ := three(t, func(c *Config) {
		c.SnapshotStat = func() (int64, time.Time, bool) { return 4096, time.Now().Add(-time.Hour), true }
	})
	leader := members[0]
	do(t, leader, "PUT", "/k", "v", "Idempotency-Key", "a").want(t, 200)
	index := do(t, leader, "PUT", "/k", "v", "Idempotency-Key", "a").want(t, 200).h.Get("Raft-Index")
	do(t, leader, "PUT", "/k", "w", "Idempotency-Key", "a").want(t, 422)
	do(t, leader, "PUT", "/k", "v", "If-None-Match", "*").want(t, 412)
	do(t, leader, "DELETE", "/k", "").want(t, 200)
	do(t, members[1], "PUT", "/k", "v").want(t, 200) // proposed at the leader
	eventually(t, "the leader knows that all have all", func() bool {
		for _, p := range leader.node.Status().Peers {
			if p.Match != leader.node.Status().Last {
				return false
			}
		}
		return true
	})
	got := do(t, leader, "GET", "/metrics", "").want(t, 200).body
	for _, want := range []string{
		`raftd_proposals_total{operation="put",outcome="done"} 2`,
		`raftd_proposals_total{operation="put",outcome="repeat"} 1`,
		`raftd_proposals_total{operation="put",outcome="idempotency_key_reused"} 1`,
		`raftd_proposals_total{operation="put",outcome="condition_failed"} 1`,
		`raftd_proposals_total{operation="delete",outcome="done"} 1`,
		`raftd_proposals_total{operation="join",outcome="done"} 2`,
		"raft_commit_lag_entries 0", "raft_apply_lag_entries 0", "raft_pending_commands 0",
		fmt.Sprintf(`raft_peer_lag_entries{address="%s",peer="%s"} 0`, members[1].address, hexID(2)),
		"raftd_idempotency_keys 1", "raftd_idempotency_oldest_index " + index, "raftd_http_in_flight 0", "raftd_event_streams 0",
		"raft_snapshot_index 0", "raft_snapshot_bytes 4096",
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if !strings.Contains(got, "\nraft_snapshot_age_seconds 3600") {
		t.Error("the age of the snapshot is not an hour")
	}
	if strings.Contains(do(t, members[1], "GET", "/metrics", "").body, "raft_peer_lag_entries{") {
		t.Error("a follower claims to know how far its peers are")
	}
}

// A proposal that failed is counted under why.
func TestFailedProposalsAreCountedByKind(t *testing.T) {
	node := &bent{}
	m := one(t, func(c *Config) { node.Node = c.Node; c.Node = node })
	for _, c := range []struct {
		err  error
		kind string
	}{{driver.ErrOverloaded, "overloaded"}, {driver.ErrUnknown, "unknown"}, {driver.ErrNotReady, "not_ready"}, {driver.ErrNoLeader, "no_leader"}} {
		node.propose = failing(c.err)
		inside(m.server, "PUT", "/k", "v")
		if want := fmt.Sprintf(`raftd_proposals_total{operation="put",outcome="%s"} 1`, c.kind); !strings.Contains(do(t, m, "GET", "/metrics", "").body, want) {
			t.Errorf("no %s", want)
		}
	}
	// What runs behind, whoever is ahead for a moment.
	node.status = func(s driver.Status) driver.Status { s.Last, s.Commit, s.Applied = 30, 20, 21; return s }
	got := do(t, m, "GET", "/metrics", "").body
	for _, want := range []string{"raft_commit_lag_entries 10\n", "raft_apply_lag_entries 0\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
}
