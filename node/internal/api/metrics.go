package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is the member's own registry: nothing that another package registers globally shows up in it.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	proposal *prometheus.CounterVec
	serve    http.Handler
}

func newMetrics(s *Server, c Config) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "raftd_http_requests_total", Help: "Requests answered, by route, method and status code."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "raftd_http_request_duration_seconds", Help: "Time from the request's header to the end of the reply.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}}, []string{"route", "method"}),
		proposal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "raftd_proposals_total", Help: "Commands and membership changes proposed at this member, by what they were and what came of them."}, []string{"operation", "outcome"}),
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "raftd_http_in_flight", Help: "Requests for keys that are being served."},
		func() float64 { return float64(s.inFlight.Load()) })
	eventStreams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "raftd_event_streams", Help: "Clients that follow the events of this member."},
		func() float64 { return float64(s.eventStreams.Load()) })
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{m.requests, m.duration, m.proposal, inFlight, eventStreams, nodeCollector{c.Node, c.Store, c.SnapshotStat},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, c.Collectors...)
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

// proposed counts a proposal of this member. Both labels are of a few words.
func (m *metrics) proposed(operation, outcome string) {
	m.proposal.WithLabelValues(operation, outcome).Inc()
}
