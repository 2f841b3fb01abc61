package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// The handler alone: no socket, and a node that applies without a log.
func benchmarkKey(b *testing.B, method, body string) {
	node := &bent{}
	m := one(b, func(c *Config) { node.Node = c.Node; c.Node = node })
	index := m.store.Applied()
	node.propose = func(_ context.Context, command []byte) (driver.Applied, error) {
		index++
		return driver.Applied{Index: index, Term: 1, Result: m.store.Apply(raft.Entry{Index: index, Term: 1, Data: command})}, nil
	}
	node.read = func(context.Context) (raft.Index, error) { return index, nil }
	inside(m.server, "PUT", "/key", strings.Repeat("v", 256)).want(b, 200)
	reader := strings.NewReader(body)
	r := httptest.NewRequest(method, "/key", reader)
	r.URL = &url.URL{Path: "/key"}
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("X-Request-Id", "0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		reader.Seek(0, 0)
		w := discard{make(http.Header, 16)}
		m.server.ServeHTTP(w, r)
	}
}

func BenchmarkPut(b *testing.B) { benchmarkKey(b, "PUT", strings.Repeat("v", 256)) }
func BenchmarkGet(b *testing.B) { benchmarkKey(b, "GET", "") }
