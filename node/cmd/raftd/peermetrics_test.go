package main

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/peer"
)

// Each peer has its streams and its round trips; when it has left, nothing is left of it.
func TestPeerMetricsComeAndGoWithThePeer(t *testing.T) {
	m := newPeerMetrics()
	stats := peer.Stats{Peers: []peer.PeerStats{{ID: 2, Address: "n2:8000", Connected: true, Sent: 7}}}
	m.stats = func() peer.Stats { return stats }
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	m.observe(2, 3*time.Millisecond)
	m.observe(2, 5*time.Millisecond)
	series := func() map[string]int {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, f := range families {
			for _, s := range f.Metric {
				switch {
				case s.Histogram != nil:
					found[f.GetName()] = int(s.Histogram.GetSampleCount())
				case s.Counter != nil:
					found[f.GetName()] = int(s.Counter.GetValue())
				case s.Gauge != nil:
					found[f.GetName()] = int(s.Gauge.GetValue())
				}
			}
		}
		return found
	}
	if got := series(); got["raft_peer_rtt_seconds"] != 2 || got["raft_peer_connected"] != 1 || got["raft_peer_sent_total"] != 7 {
		t.Errorf("%v", got)
	}
	stats.Peers = nil
	if got := series(); got["raft_peer_rtt_seconds"] != 0 || len(got) != 3 {
		t.Errorf("after the peer has left: %v, want the three that are of no peer", got)
	}
}
