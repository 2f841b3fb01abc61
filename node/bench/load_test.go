package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestValuesSayWhichWriteTheyAre(t *testing.T) {
	key, other := appendKey(nil, 17), appendKey(nil, 18)
	if len(key) != keyBytes {
		t.Fatalf("key %s has %d bytes", key, len(key))
	}
	vs := newValues(256, 0xfeed)
	v := vs.fill(nil, key, 123)
	if len(v) != 256 || !json.Valid(v) || !vs.belongs(v, key) || vs.belongs(v, other) || vs.belongs(v[:255], key) {
		t.Errorf("%s", v)
	}
	if want := `"k00000000017-000000000000feed-000000000123-`; !strings.HasPrefix(string(v), want) {
		t.Errorf("%s should begin with %s", v, want)
	}
	first := bytes.Clone(v)
	if again := vs.fill(v, other, 9); !vs.belongs(again, other) || bytes.Equal(first, again) {
		t.Errorf("%s", again)
	}
	if !bytes.Equal(first, vs.fill(nil, key, 123)) {
		t.Error("the same write has two values")
	}
}

// memory is a store over HTTP, with a fault in what it does to a write.
type memory struct {
	sync.Mutex
	values map[string][]byte
	writes int
	fault  func(writes int, w http.ResponseWriter) (store bool)
}

func (m *memory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.Lock()
	defer m.Unlock()
	if r.Method == http.MethodGet {
		w.Write(m.values[r.URL.Path])
		return
	}
	body, _ := io.ReadAll(r.Body)
	m.writes++
	if m.fault == nil || m.fault(m.writes, w) {
		m.values[r.URL.Path] = body
		io.WriteString(w, `{"status":"ok"}`)
	}
}

func runAgainst(t *testing.T, store http.Handler, spec load) *measured {
	t.Helper()
	server := httptest.NewServer(store)
	defer server.Close()
	spec.Protocol, spec.Target = speakRaftd, strings.TrimPrefix(server.URL, "http://")
	spec.Members = []string{spec.Target, spec.Target}
	spec.Connections, spec.Keys, spec.ValueBytes, spec.ContentType = 4, 50, 128, "application/json"
	spec.Mark, spec.FirstNumber, spec.Measure, spec.Verify = 5, 1, 100*time.Millisecond, 40
	spec.PIDs = []int{os.Getpid()}
	in, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := runLoad(ctx, bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	m := new(measured)
	if err := json.Unmarshal(out.Bytes(), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLoadFindsNothingWrongWithAnHonestStore(t *testing.T) {
	store := &memory{values: make(map[string][]byte)}
	if m := runAgainst(t, store, load{Op: opFill}); m.Verified != 40 || m.Wrong+m.Errors != 0 || len(store.values) != 50 {
		t.Errorf("fill: %d keys, %+v", len(store.values), m)
	}
	m := runAgainst(t, store, load{Op: opPut})
	if m.Verified != 40 || m.Wrong+m.Errors != 0 || m.Ops == 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 || m.Seconds != 0.1 {
		t.Errorf("put: %+v", m)
	}
	if m.Ops > store.writes || int(m.LastNumber) < store.writes-50 {
		t.Errorf("%d writes counted, %d numbered, of %d", m.Ops, m.LastNumber, store.writes)
	}
	if m := runAgainst(t, store, load{Op: opGet}); m.Wrong+m.Errors+m.Verified != 0 || m.Ops == 0 {
		t.Errorf("get: %+v", m)
	}
}

func TestLoadFindsAStoreThatForgets(t *testing.T) {
	m := runAgainst(t, &memory{values: make(map[string][]byte), fault: func(writes int, w http.ResponseWriter) bool {
		if writes%3 == 0 {
			io.WriteString(w, `{"status":"ok"}`) // and does not store it
			return false
		}
		return true
	}}, load{Op: opPut})
	if m.Wrong == 0 || m.FirstWrong == "" {
		t.Errorf("%+v", m)
	}
}

func TestLoadDoesNotCountWhatWasRefused(t *testing.T) {
	m := runAgainst(t, &memory{values: make(map[string][]byte), fault: func(_ int, w http.ResponseWriter) bool {
		http.Error(w, "no leader", http.StatusServiceUnavailable)
		return false
	}}, load{Op: opPut})
	if m.Ops != 0 || m.Errors == 0 || !strings.Contains(m.FirstError, "503") || m.Wrong != 0 {
		t.Errorf("%+v", m)
	}
}

func TestLoadFindsReadsOfAnotherKey(t *testing.T) {
	foreign := newValues(128, 5).fill(nil, appendKey(nil, 9999), 1)
	m := runAgainst(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(foreign) }), load{Op: opGet})
	if m.Ops != 0 || m.Errors == 0 || !strings.Contains(m.FirstError, "never written") {
		t.Errorf("%+v", m)
	}
}

// A write that failed may still take effect. It is an error, but what is read afterwards is not wrong.
func TestLoadDoesNotJudgeWritesWhoseEndItDoesNotKnow(t *testing.T) {
	m := runAgainst(t, &memory{values: make(map[string][]byte), fault: func(writes int, w http.ResponseWriter) bool {
		if writes%7 == 0 {
			w.WriteHeader(http.StatusGatewayTimeout)
		}
		return true
	}}, load{Op: opPut})
	if m.Wrong != 0 || m.Verified == 0 || m.Errors == 0 {
		t.Errorf("%+v", m)
	}
}
