package raftkv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/harness"
	"raftlab/linearizability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSpecOfFirstAndJoiningMembers(t *testing.T) {
	all := []harness.Place{
		{Name: "n1", Address: "10.0.0.1:8000", Listen: "0.0.0.0:8000", Data: "/data"},
		{Name: "n2", Address: "127.0.0.1:2", Listen: "127.0.0.1:2", Data: "d2", PeerProxy: "127.0.0.1:9"},
	}
	s := New(Options{Image: "i", Binary: "b"})
	defer s.Close()
	for i, want := range []string{
		"--listen 0.0.0.0:8000 --advertise 10.0.0.1:8000 --data /data --log json --snapshot-entries 50 --tail-entries 10 --lab",
		"--listen 127.0.0.1:2 --advertise 127.0.0.1:2 --data d2 --log json --snapshot-entries 50 --tail-entries 10 --lab --join 10.0.0.1:8000 --peer-proxy 127.0.0.1:9",
	} {
		if spec := s.Spec(all[i], all); strings.Join(spec.Args, " ") != want || spec.Image != "i" || spec.Binary != "b" {
			t.Errorf("%+v, want %s", spec, want)
		}
	}
}

func dial(t *testing.T, s *System, address string) harness.Client {
	t.Helper()
	c, err := s.Dial("n1", func(context.Context) (string, error) { return address, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Every row of the API's status table, and what the lab may conclude from it.
func TestStatusCodesMeanWhatTheAPISays(t *testing.T) {
	const get, put, del, cas = linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS
	const ok, fail, unknown = linearizability.OK, linearizability.Failed, linearizability.Unknown
	all := []linearizability.Kind{get, put, del, cas}
	for _, row := range []struct {
		code int
		body string
		want map[linearizability.Kind]linearizability.Outcome
	}{
		{200, "v", map[linearizability.Kind]linearizability.Outcome{get: ok, put: ok, del: ok, cas: ok}},
		{404, `{"error":"key_not_found"}`, map[linearizability.Kind]linearizability.Outcome{get: ok, put: fail, del: fail, cas: fail}},
		{412, "", map[linearizability.Kind]linearizability.Outcome{get: fail, put: fail, del: fail, cas: ok}},
		{307, "", same(all, fail)}, {400, "", same(all, fail)}, {405, "", same(all, fail)}, {409, "", same(all, fail)},
		{413, "", same(all, fail)}, {415, "", same(all, fail)}, {422, "", same(all, fail)}, {429, "", same(all, fail)}, {431, "", same(all, fail)},
		{503, `{"error":"no_leader","definite":true}`, same(all, fail)},
		{503, `{"error":"?","definite":false}`, same(all, unknown)},
		{504, `{"status":"pending","definite":false}`, same(all, unknown)},
		{500, "", same(all, unknown)}, {502, "", same(all, unknown)}, {202, "", same(all, unknown)},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Raft-Index", "17")
			w.Header().Set("Raft-Term", "3")
			w.Header().Set("Raft-Served-By", "n9")
			w.WriteHeader(row.code)
			io.WriteString(w, row.body)
		}))
		s := New(Options{})
		s.etags.learn("k", "old", `"5"`)
		c := dial(t, s, server.Listener.Addr().String())
		for kind, want := range row.want {
			got := c.Do(t.Context(), linearizability.Operation{ID: 1, Kind: kind, Key: "k", Value: "new", Expect: "old"})
			if got.Outcome != want || got.Index != 17 || got.Term != 3 || got.ServedBy != "n9" {
				t.Errorf("%d %s: %s: %+v, want %s", row.code, row.body, kind, got, want)
			}
			if got.Swapped != (kind == cas && row.code == 200) || (got.Got != nil) != (kind == get && row.code == 200) {
				t.Errorf("%d: %s: %+v", row.code, kind, got)
			}
			if got.Bug != (row.code == 500) {
				t.Errorf("%d: %s: bug %v", row.code, kind, got.Bug)
			}
			if (want == ok) != (got.Error == "") {
				t.Errorf("%d: %s: error %q", row.code, kind, got.Error)
			}
		}
		c.Close()
		server.Close()
	}
}

func same(kinds []linearizability.Kind, outcome linearizability.Outcome) map[linearizability.Kind]linearizability.Outcome {
	outcomes := map[linearizability.Kind]linearizability.Outcome{}
	for _, kind := range kinds {
		outcomes[kind] = outcome
	}
	return outcomes
}

func TestNotFoundOfAnotherRouteIsNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c := dial(t, New(Options{}), server.Listener.Addr().String())
	defer c.Close()
	if got := c.Do(t.Context(), linearizability.Operation{ID: 1, Kind: linearizability.Get, Key: "k"}); got.Outcome != linearizability.Failed {
		t.Fatalf("%+v", got)
	}
}

// A compare-and-set sends the ETag that any client has seen for the value, and is not sent without one.
func TestCompareAndSetUsesTheETagOfTheValue(t *testing.T) {
	var mu sync.Mutex
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, fmt.Sprintf("%s %s %s match=%s id=%s", r.Method, r.URL.EscapedPath(), body, r.Header.Get("If-Match"), r.Header.Get("X-Request-Id")))
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, len(requests)))
		io.WriteString(w, "read")
	}))
	defer server.Close()
	s := New(Options{})
	one, two := dial(t, s, server.Listener.Addr().String()), dial(t, s, server.Listener.Addr().String())
	defer one.Close()
	defer two.Close()
	ops := []linearizability.Operation{
		{ID: 1, Kind: linearizability.Put, Key: "a b", Value: "v1"},
		{ID: 2, Kind: linearizability.CAS, Key: "a b", Expect: "v1", Value: "v2"},
		{ID: 3, Kind: linearizability.CAS, Key: "a b", Expect: "v2", Value: "v3"},
		{ID: 4, Kind: linearizability.Get, Key: "a b"},
		{ID: 5, Kind: linearizability.CAS, Key: "a b", Expect: "read", Value: "v4"},
		{ID: 6, Kind: linearizability.Delete, Key: "a b"},
	}
	for i, op := range ops {
		if got := []harness.Client{one, two}[i%2].Do(t.Context(), op); got.Outcome != linearizability.OK {
			t.Fatalf("%+v", got)
		}
	}
	for _, op := range []linearizability.Operation{
		{ID: 7, Kind: linearizability.CAS, Key: "a b", Expect: "never seen", Value: "v5"},
		{ID: 8, Kind: linearizability.CAS, Key: "other", Expect: "v1", Value: "v5"},
	} {
		if got := one.Do(t.Context(), op); got.Outcome != linearizability.Failed || !strings.Contains(got.Error, "ETag") {
			t.Fatalf("%+v", got)
		}
	}
	want := []string{
		`PUT /a%20b v1 match= id=1`, `PUT /a%20b v2 match="1" id=2`, `PUT /a%20b v3 match="2" id=3`,
		`GET /a%20b  match= id=4`, `PUT /a%20b v4 match="4" id=5`, `DELETE /a%20b  match= id=6`,
	}
	if !slices.Equal(requests, want) {
		t.Fatalf("sent\n%s\nwant\n%s", strings.Join(requests, "\n"), strings.Join(want, "\n"))
	}
}

// breaker is a server that answers until it is told to break, and counts the requests that it has read.
type breaker struct {
	listener net.Listener
	requests atomic.Int64
	breaks   atomic.Bool // from now on: read a request and hang up
	hangsUp  atomic.Bool // from now on: answer a request and hang up
	conns    sync.WaitGroup
}

func newBreaker(t *testing.T) *breaker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{listener: l}
	b.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); b.conns.Wait() })
	return b
}

func (b *breaker) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		b.requests.Add(1)
		if b.breaks.Load() {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nRaft-Index: 1\r\n\r\nv")
		if b.hangsUp.Load() {
			return
		}
	}
}

// net/http sends a GET again when a connection that it has used before breaks. One operation is one attempt.
func TestNothingIsSentTwice(t *testing.T) {
	for _, kind := range []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete} {
		b := newBreaker(t)
		c := dial(t, New(Options{}), b.listener.Addr().String())
		op := linearizability.Operation{ID: 1, Kind: kind, Key: "k", Value: "v"}
		if got := c.Do(t.Context(), op); got.Outcome != linearizability.OK {
			t.Fatalf("%+v", got)
		}
		b.breaks.Store(true)
		if got := c.Do(t.Context(), op); got.Outcome != linearizability.Unknown {
			t.Errorf("%s: hung up after the request: %+v", kind, got)
		}
		if n := b.requests.Load(); n != 2 {
			t.Errorf("%s: two operations were %d requests", kind, n)
		}
		c.Close()
	}
}

func TestWhatWasNotSentHasFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	op := linearizability.Operation{ID: 1, Kind: linearizability.Put, Key: "k", Value: "v"}
	c := dial(t, New(Options{}), address)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := c.Do(ended, op); got.Outcome != linearizability.Failed {
		t.Errorf("the context had ended before: %+v", got)
	}
	l.Close()
	if got := c.Do(t.Context(), op); got.Outcome != linearizability.Failed {
		t.Errorf("refused: %+v", got)
	}
	lost, err := New(Options{}).Dial("n1", func(context.Context) (string, error) { return "", io.EOF })
	if err != nil {
		t.Fatal(err)
	}
	if got := lost.Do(t.Context(), op); got.Outcome != linearizability.Failed {
		t.Errorf("no endpoint: %+v", got)
	}
}

// The kernel has taken the request although nobody has read it: it may be read yet.
func TestWhatWasSentIsUnknown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, New(Options{}), l.Addr().String())
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := c.Do(ctx, linearizability.Operation{ID: 1, Kind: linearizability.Put, Key: "k", Value: "v"}); got.Outcome != linearizability.Unknown {
		t.Fatalf("%+v", got)
	}
}

// A connection that the server closes while it is idle races with the next operation. That one may say Failed only
// if the server has read nothing of it.
func TestIdleConnectionClosedByTheServer(t *testing.T) {
	outcomes := map[linearizability.Outcome]int{}
	for range 300 {
		b := newBreaker(t)
		b.hangsUp.Store(true)
		c := dial(t, New(Options{}), b.listener.Addr().String())
		op := linearizability.Operation{ID: 1, Kind: linearizability.Put, Key: "k", Value: "v"}
		if got := c.Do(t.Context(), op); got.Outcome != linearizability.OK {
			t.Fatalf("%+v", got)
		}
		second := c.Do(t.Context(), op)
		if read := b.requests.Load(); second.Outcome == linearizability.Failed && read != 1 || second.Outcome == linearizability.OK && read != 2 {
			t.Fatalf("%+v after %d requests", second, read)
		}
		outcomes[second.Outcome]++
		c.Close()
	}
	t.Log(outcomes)
}
