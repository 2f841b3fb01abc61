package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/peer"
	"raftlab/raft"
)

// peerMetrics are the streams to other members. A peer that is gone leaves no series behind.
type peerMetrics struct {
	roundTrip *prometheus.HistogramVec
	stats     func() peer.Stats // set before the first scrape

	mu    sync.Mutex
	timed map[string]bool // ids that have a histogram
}

func newPeerMetrics() *peerMetrics {
	return &peerMetrics{timed: map[string]bool{}, roundTrip: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "raft_peer_rtt_seconds", Help: "Time of an echo on the stream to the peer, there and back, twice a second.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16), // to 1.6 s
	}, []string{"peer"})}
}

var (
	describeConnected = prometheus.NewDesc("raft_peer_connected", "1 while there is a stream to the peer.", []string{"peer", "address"}, nil)
	describeReceiving = prometheus.NewDesc("raft_peer_receiving", "1 while the peer has a stream to this member.", []string{"peer", "address"}, nil)
	describeSent      = prometheus.NewDesc("raft_peer_sent_total", "Messages written to the peer.", []string{"peer", "address"}, nil)
	describeDropped   = prometheus.NewDesc("raft_peer_dropped_total", "Messages for the peer that were dropped: not connected, or its queue was full.", []string{"peer", "address"}, nil)
	describeConnects  = prometheus.NewDesc("raft_peer_connects_total", "Streams opened to the peer.", []string{"peer", "address"}, nil)
	describeInFlight  = prometheus.NewDesc("raft_peer_queued_messages", "Messages for the peer that are not yet written.", []string{"peer", "address"}, nil)
	describeReceived  = prometheus.NewDesc("raft_messages_received_total", "Messages received from all peers.", nil, nil)
	describeRejected  = prometheus.NewDesc("raft_messages_rejected_total", "Messages dropped because they named another sender, addressee or cluster than their stream, or were of a type that does not travel on one.", nil, nil)
	describeRefused   = prometheus.NewDesc("raft_streams_refused_total", "Streams of peers that were refused: another cluster, another member, or no certificate.", nil, nil)
)

func label(id raft.ID) string { return fmt.Sprintf("%016x", uint64(id)) }

// observe takes one round trip.
func (m *peerMetrics) observe(id raft.ID, took time.Duration) {
	m.mu.Lock()
	m.timed[label(id)] = true
	m.mu.Unlock()
	m.roundTrip.WithLabelValues(label(id)).Observe(took.Seconds())
}

func (m *peerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{describeConnected, describeReceiving, describeSent, describeDropped, describeConnects,
		describeInFlight, describeReceived, describeRejected, describeRefused} {
		to <- d
	}
	m.roundTrip.Describe(to)
}

func (m *peerMetrics) Collect(to chan<- prometheus.Metric) {
	stats := m.stats()
	there := map[string]bool{}
	is := map[bool]float64{true: 1}
	for _, p := range stats.Peers {
		id := label(p.ID)
		there[id] = true
		for _, v := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value float64
		}{
			{describeConnected, prometheus.GaugeValue, is[p.Connected]}, {describeReceiving, prometheus.GaugeValue, is[p.Receiving]},
			{describeSent, prometheus.CounterValue, float64(p.Sent)}, {describeDropped, prometheus.CounterValue, float64(p.Dropped)},
			{describeConnects, prometheus.CounterValue, float64(p.Connects)}, {describeInFlight, prometheus.GaugeValue, float64(p.Queued)},
		} {
			to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.value, id, p.Address)
		}
	}
	to <- prometheus.MustNewConstMetric(describeReceived, prometheus.CounterValue, float64(stats.Received))
	to <- prometheus.MustNewConstMetric(describeRejected, prometheus.CounterValue, float64(stats.Rejected))
	to <- prometheus.MustNewConstMetric(describeRefused, prometheus.CounterValue, float64(stats.Refused))
	m.mu.Lock()
	for id := range m.timed {
		if !there[id] {
			delete(m.timed, id)
			m.roundTrip.DeleteLabelValues(id)
		}
	}
	m.mu.Unlock()
	m.roundTrip.Collect(to)
}
