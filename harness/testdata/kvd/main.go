// Command kvd is the smallest store that the lab can run, and an example of a foreign one: the first member
// keeps everything, the others pass requests on to it. Nothing is replicated, so it is linearizable and
// stands still whenever the first member does. It tests the worlds, and nothing else.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "host:port to listen on")
	data := flag.String("data", ".", "directory of the log")
	primary := flag.String("primary", "", "host:port of the member that keeps the data; empty: this one")
	proxy := flag.String("peer-proxy", "", "host:port of a CONNECT proxy to dial the primary through")
	flag.Parse()
	var handler http.Handler
	if *primary == "" {
		s, err := open(filepath.Join(*data, "log"))
		if err != nil {
			log.Fatalf("kvd: %v", err)
		}
		handler = s
	} else {
		handler = forward(*primary, *proxy)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("kvd: %v", err)
	}
	// As process 1 of a container a program without a handler never ends on SIGTERM.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { os.Exit(0) }) // every answered write is on disk
	log.Printf("kvd: listening on %s", l.Addr())
	log.Fatal(http.Serve(l, handler))
}

// record is one line of the log.
type record struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Deleted bool   `json:"deleted,omitempty"`
	Index   uint64 `json:"index"`
}

// store keeps the values in memory and every change in a file, synced before it is answered.
type store struct {
	mu     sync.Mutex
	file   *os.File
	index  uint64
	values map[string]record
}

func open(path string) (*store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil { // else the file is there after a power cut, and its name is not
		return nil, err
	}
	s := &store{file: f, values: map[string]record{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			s.apply(r)
		}
	}
	return s, nil
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *store) apply(r record) {
	s.index = r.Index
	if r.Deleted {
		delete(s.values, r.Key)
	} else {
		s.values[r.Key] = r
	}
}

func (s *store) write(r record) error {
	r.Index = s.index + 1
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.apply(r)
	return nil
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/")
	w.Header().Set("Raft-Index", strconv.FormatUint(s.index, 10))
	switch {
	case key == "readyz":
	case key == "status":
		s.status(w)
	case r.Method == http.MethodGet:
		v, ok := s.values[key]
		if !ok {
			http.Error(w, "no such key", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", strconv.Quote(strconv.FormatUint(v.Index, 10)))
		io.WriteString(w, v.Value)
	default:
		s.change(w, r, key)
	}
}

func (s *store) change(w http.ResponseWriter, r *http.Request, key string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if want := r.Header.Get("If-Match"); want != "" && want != strconv.Quote(strconv.FormatUint(s.values[key].Index, 10)) {
		http.Error(w, "another value is there", http.StatusPreconditionFailed)
		return
	}
	if err := s.write(record{Key: key, Value: string(body), Deleted: r.Method == http.MethodDelete}); err != nil {
		log.Fatalf("kvd: %v", err) // what was not written must not be answered
	}
	w.Header().Set("ETag", strconv.Quote(strconv.FormatUint(s.index, 10)))
}

func (s *store) status(w io.Writer) {
	state, _ := json.Marshal(s.values) // maps are marshalled in the order of their keys
	h := fnv.New64a()
	h.Write(state)
	json.NewEncoder(w).Encode(map[string]any{"role": "leader", "term": 1, "commit": s.index, "applied": s.index, "hash": fmt.Sprintf("%016x", h.Sum64())})
}

// forward passes every request on to the primary, through the proxy if there is one. A primary that cannot
// be dialled is 503 (certainly nothing was done), one that breaks off later is 504.
func forward(primary, proxy string) http.Handler {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr, proxy)
			if err != nil {
				return nil, dialError{err}
			}
			return conn, nil
		},
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		body, _ := io.ReadAll(r.Body)
		req, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+primary+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.GetBody = nil // one attempt
		req.Header.Set("If-Match", r.Header.Get("If-Match"))
		resp, err := client.Do(req)
		if err != nil {
			code := http.StatusGatewayTimeout
			if errors.As(err, &dialError{}) {
				code = http.StatusServiceUnavailable
			}
			http.Error(w, err.Error(), code)
			return
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		for _, h := range []string{"ETag", "Raft-Index"} {
			w.Header().Set(h, resp.Header.Get(h))
		}
		if r.URL.Path == "/status" {
			follows, _ := json.Marshal(primary)
			answer = bytes.Replace(answer, []byte(`"role":"leader"`), []byte(`"role":"follower","leader":`+string(follows)), 1)
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(answer)
	})
}

// dialError says that nothing was sent.
type dialError struct{ error }

func dial(ctx context.Context, addr, proxy string) (net.Conn, error) {
	var d net.Dialer
	if proxy == "" {
		return d.DialContext(ctx, "tcp", addr)
	}
	conn, err := d.DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("proxy: %s", resp.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
