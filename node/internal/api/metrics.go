package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// metrics is the member's own registry: nothing that another package registers globally shows up in it.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	serve    http.Handler
}

func newMetrics(node Node, store *kv.Store, others []prometheus.Collector) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "raftd_http_requests_total", Help: "Requests answered, by route, method and status code."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "raftd_http_request_duration_seconds", Help: "Time from the request's header to the end of the reply.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}}, []string{"route", "method"}),
	}
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{m.requests, m.duration, nodeCollector{node, store},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, others...)
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("api: register metrics: %w", err)
		}
	}
	m.serve = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m, nil
}

func (s *Server) serveMetrics(x *exchange) *failure {
	s.metrics.serve.ServeHTTP(x, x.r)
	return nil
}

func (m *metrics) observe(route, method string, code int, took time.Duration) {
	method = methodLabel(method)
	m.requests.WithLabelValues(route, method, codeLabel(code)).Inc()
	m.duration.WithLabelValues(route, method).Observe(took.Seconds())
}

// methodLabel bounds the label: a client may invent methods.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodOptions:
		return method
	}
	return "other"
}

var codeLabels = func() (labels [600]string) {
	for code := range labels {
		labels[code] = strconv.Itoa(code)
	}
	return labels
}()

func codeLabel(code int) string {
	if code <= 0 || code >= len(codeLabels) {
		return "none" // the reply was cut off
	}
	return codeLabels[code]
}

// nodeCollector reads the node's status when it is scraped, so that it costs nothing in between.
type nodeCollector struct {
	node  Node
	store *kv.Store
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
	describePending       = describe("raft_pending_commands", "Commands proposed here and not yet answered.")
	describeLeaderChanges = describe("raft_leader_changes_total", "How often the known leader changed.")
	describeElections     = describe("raft_elections_total", "How often this member campaigned.")
	describeContact       = describe("raft_leader_contact_seconds", "Time since the leader was heard; 0 on the leader, -1 if never.")
	describeVoters        = describe("raft_voters", "Voters in the configuration.")
	describeDisk          = describe("raft_disk_failed", "1 if the log can no longer be written.")
	describeKeys          = describe("raftd_keys", "Keys in the store.")
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
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
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
	send(describePending, g, float64(status.Pending))
	send(describeLeaderChanges, n, float64(status.LeaderChanges))
	send(describeElections, n, float64(status.Elections))
	contact := -1.0
	if status.LeaderContact >= 0 {
		contact = status.LeaderContact.Seconds()
	}
	send(describeContact, g, contact)
	send(describeVoters, g, float64(status.Configuration.Voters()))
	send(describeDisk, g, is(status.DiskErr != nil))
	send(describeKeys, g, float64(c.store.Len()))
	for _, p := range status.Peers {
		id := hexID(p.ID)
		send(describePeerMatch, g, float64(p.Match), id, p.Address)
		send(describePeerNext, g, float64(p.Next), id, p.Address)
		send(describePeerActive, g, is(p.Active), id, p.Address)
	}
}
