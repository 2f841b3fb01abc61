package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answering is a client whose server sends the given bytes after each request, in pieces, and closes after the
// last.
func answering(t *testing.T, piece int, replies ...string) *http1 {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	go func() {
		defer theirs.Close()
		request := make([]byte, 64)
		for _, reply := range replies {
			if _, err := theirs.Read(request); err != nil {
				return
			}
			for len(reply) > 0 {
				n := min(piece, len(reply))
				if _, err := io.WriteString(theirs, reply[:n]); err != nil {
					return
				}
				reply = reply[n:]
			}
		}
	}()
	ours.SetDeadline(time.Now().Add(5 * time.Second))
	return &http1{conn: ours, buf: make([]byte, 16)}
}

func TestRepliesAreReadHoweverTheyAreCutIntoPieces(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		reply  string
		status int
		body   string
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 200 OK\r\ncontent-LENGTH:5 \r\nA: b\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, ""},
		{"HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", 200, ""},
		{"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", 503, "no"},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n", 200, "\r\n\r\n"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"},
		{"HTTP/1.1 200 OK\r\nX: " + long + "\r\nContent-Length: 10000\r\n\r\n" + long, 200, long},
	} {
		for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
			h := answering(t, piece, c.reply, c.reply)
			for range 2 { // the second shows that nothing of the first is left
				status, body, err := h.Do([]byte("GET"))
				if err != nil || status != c.status || string(body) != c.body {
					t.Fatalf("%.80q in pieces of %d: %d %.40q %v", c.reply, piece, status, body, err)
				}
			}
		}
	}
}

func TestRepliesThatAreNotUnderstoodAreErrors(t *testing.T) {
	for _, reply := range []string{
		"",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nContent-Le",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 two OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", replyBytesMax) + "\r\n\r\n",
	} {
		status, body, err := answering(t, 1<<22, reply).Do([]byte("GET"))
		if !errors.Is(err, errReply) {
			t.Errorf("%.80q: %d %q %v, and should be refused", reply, status, body, err)
		}
	}
}

func TestRequestsAreWhatNetHTTPUnderstands(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body))
		switch r.URL.Path {
		case "/v3/kv/put":
			io.WriteString(w, `{"header":{"revision":"7"}}`)
		case "/v3/kv/range":
			io.WriteString(w, `{"header":{"revision":"7"},"kvs":[{"key":"a2V5","value":"dmFsdWU="}],"count":"1"}`)
		case "/missing":
			http.Error(w, "no such key", http.StatusNotFound)
		case "/pending":
			io.WriteString(w, `{"status":"pending"}`)
		default:
			io.WriteString(w, `{"status":"ok"}`)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	ours := func(protocol string) client {
		clients, closeAll, err := connect(t.Context(), protocol, address, "application/json", 1, time.Now().Add(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(closeAll)
		return clients[0]
	}
	raftd, etcd := ours(speakRaftd), ours(speakEtcdHTTP)
	if err := raftd.Put([]byte("key"), []byte(`"value"`)); err != nil {
		t.Error(err)
	}
	if err := raftd.Put([]byte("pending"), []byte(`"value"`)); err == nil {
		t.Error("a write that is pending was taken for done")
	}
	if _, err := raftd.Get([]byte("missing")); !errors.As(err, new(statusError)) {
		t.Errorf("a missing key: %v", err)
	}
	if value, err := raftd.Get([]byte("key")); err != nil || string(value) != `{"status":"ok"}` {
		t.Errorf("%s %v", value, err)
	}
	if err := etcd.Put([]byte("key"), []byte("value")); err != nil {
		t.Error(err)
	}
	if value, err := etcd.Get([]byte("key")); err != nil || string(value) != "value" {
		t.Errorf("%q %v", value, err)
	}
	want := `PUT /key application/json "value"
PUT /pending application/json "value"
GET /missing  
GET /key  
POST /v3/kv/put application/json {"key":"a2V5","value":"dmFsdWU="}
POST /v3/kv/range application/json {"key":"a2V5"}`
	if all := strings.Join(got, "\n"); all != want {
		t.Errorf("the server saw\n%s\ninstead of\n%s", all, want)
	}
}
