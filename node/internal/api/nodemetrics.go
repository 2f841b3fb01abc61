package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// nodeCollector reads the node's status when it is scraped, so that it costs nothing in between.
type nodeCollector struct {
	node         Node
	store        *kv.Store
	snapshotStat func() (sizeBytes int64, taken time.Time, ok bool) // may be nil
}

// descriptions are all of them: when the collector is registered, the peers are not known yet.
var descriptions []*prometheus.Desc

var (
	describeTerm          = describe("raft_term", "Current term.")
	describeLeader        = describe("raft_is_leader", "1 on the leader.")
	describeHasLeader     = describe("raft_has_leader", "1 if a leader is known.")
	describeRole          = describe("raft_role", "1 for the current role.", "role")
	describeLearner       = describe("raft_is_learner", "1 on a member without a vote.")
	describeFirst         = describe("raft_log_first_index", "First entry in the log.")
	describeLast          = describe("raft_log_last_index", "Last entry in the log.")
	describeStable        = describe("raft_log_stable_index", "Last entry known to be on disk.")
	describeCommit        = describe("raft_commit_index", "Last entry known to be committed.")
	describeApplied       = describe("raft_applied_index", "Last entry applied to the state machine.")
	describeSnapshot      = describe("raft_snapshot_index", "Last entry in the snapshot.")
	describeSnapBytes     = describe("raft_snapshot_bytes", "Size of the latest snapshot.")
	describeSnapAge       = describe("raft_snapshot_age_seconds", "Time since the latest snapshot was taken.")
	describeInstalls      = describe("raft_snapshots_installed_total", "How often the leader's snapshot replaced this member's state.")
	describeCommitLag     = describe("raft_commit_lag_entries", "Entries in the log that are not known to be committed.")
	describeApplyLag      = describe("raft_apply_lag_entries", "Committed entries that are not applied yet.")
	describePending       = describe("raft_pending_commands", "Commands proposed here and not yet answered.")
	describeLeaderChanges = describe("raft_leader_changes_total", "How often the known leader changed.")
	describeElections     = describe("raft_elections_total", "How often this member campaigned.")
	describeContact       = describe("raft_leader_contact_seconds", "Time since the leader was heard; 0 on the leader, -1 if never.")
	describeVoters        = describe("raft_voters", "Voters in the configuration.")
	describeDisk          = describe("raft_disk_failed", "1 if the log can no longer be written.")
	describeKeys          = describe("raftd_keys", "Keys in the store.")
	describeSessions      = describe("raftd_idempotency_keys", "Idempotency keys that are remembered.")
	describeSessionOldest = describe("raftd_idempotency_oldest_index", "Entry that brought the oldest idempotency key that is remembered; 0 if there is none.")
	describePeerLag       = describe("raft_peer_lag_entries", "Entries of the log that the peer is not known to have; on the leader.", "peer", "address")
	describePeerMatch     = describe("raft_peer_match_index", "Last entry known to be on the peer's disk; on the leader.", "peer", "address")
	describePeerNext      = describe("raft_peer_next_index", "Next entry to send to the peer; on the leader.", "peer", "address")
	describePeerActive    = describe("raft_peer_active", "1 if the peer was heard within the last election time-out; on the leader.", "peer", "address")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(name, help, labels, nil)
	descriptions = append(descriptions, d)
	return d
}

func (c nodeCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		to <- d
	}
}

func (c nodeCollector) Collect(to chan<- prometheus.Metric) {
	status := c.node.Status()
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	const g, n = prometheus.GaugeValue, prometheus.CounterValue
	send(describeTerm, g, float64(status.Term))
	send(describeLeader, g, is(status.Role == raft.Leader))
	send(describeHasLeader, g, is(status.Leader != 0))
	for role := raft.Follower; role <= raft.Leader; role++ {
		send(describeRole, g, is(status.Role == role), role.String())
	}
	send(describeLearner, g, is(status.Learner))
	send(describeFirst, g, float64(status.First))
	send(describeLast, g, float64(status.Last))
	send(describeStable, g, float64(status.Stable))
	send(describeCommit, g, float64(status.Commit))
	send(describeApplied, g, float64(status.Applied))
	send(describeSnapshot, g, float64(status.Snapshot))
	send(describeCommitLag, g, lag(status.Last, status.Commit))
	send(describeApplyLag, g, lag(status.Commit, status.Applied))
	c.sendSnapshot(send)
	send(describePending, g, float64(status.Pending))
	send(describeLeaderChanges, n, float64(status.LeaderChanges))
	send(describeElections, n, float64(status.Elections))
	send(describeInstalls, n, float64(status.Installs))
	contact := -1.0
	if status.LeaderContact >= 0 {
		contact = status.LeaderContact.Seconds()
	}
	send(describeContact, g, contact)
	send(describeVoters, g, float64(status.Configuration.Voters()))
	send(describeDisk, g, is(status.DiskErr != nil))
	send(describeKeys, g, float64(c.store.Len()))
	sessions, oldest := c.store.Sessions()
	send(describeSessions, g, float64(sessions))
	send(describeSessionOldest, g, float64(oldest))
	for _, p := range status.Peers {
		id := hexID(p.ID)
		send(describePeerLag, g, lag(status.Last, p.Match), id, p.Address)
		send(describePeerMatch, g, float64(p.Match), id, p.Address)
		send(describePeerNext, g, float64(p.Next), id, p.Address)
		send(describePeerActive, g, is(p.Active), id, p.Address)
	}
}

type sendMetric func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string)

func (c nodeCollector) sendSnapshot(send sendMetric) {
	if c.snapshotStat == nil {
		return
	}
	if size, taken, ok := c.snapshotStat(); ok {
		send(describeSnapBytes, prometheus.GaugeValue, float64(size))
		send(describeSnapAge, prometheus.GaugeValue, time.Since(taken).Seconds())
	}
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// lag is how far behind is. The two are not read at one moment, so it may seem to be ahead.
func lag(front, behind raft.Index) float64 { return float64(front - min(front, behind)) }
