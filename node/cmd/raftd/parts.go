package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/api"
	"raftlab/node/internal/driver"
)

// security loads the files of TLS and wraps the dialer. Without them it changes nothing.
func (o *options) security(direct dialFunc) (*api.TLS, dialFunc, error) {
	if o.tlsCert == "" {
		return nil, direct, nil
	}
	secure, err := api.LoadTLS(o.tlsCert, o.tlsKey, o.tlsCA)
	if err == nil {
		err = secure.Covers(o.advertise)
	}
	if err != nil {
		return nil, nil, err
	}
	return secure, secure.Dial(direct), nil
}

// timings are the histograms of the disk.
type timings struct{ append, sync prometheus.Histogram }

func newTimings() timings {
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16), // to 1.6 s
		})
	}
	return timings{
		append: histogram("raft_log_append_seconds", "Time to hand a batch to the log, without the sync."),
		sync:   histogram("raft_log_sync_seconds", "Time of one sync of the log."),
	}
}

func (t timings) driver() driver.Timings {
	return driver.Timings{
		Append: func(d time.Duration) { t.append.Observe(d.Seconds()) },
		Sync:   func(d time.Duration) { t.sync.Observe(d.Seconds()) },
	}
}

func (t timings) collectors() []prometheus.Collector { return []prometheus.Collector{t.append, t.sync} }
