package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The directory of a member of the first version, killed with SIGKILL: a snapshot of entries up to 20, a log from 11 to
// 33, thirty keys written under idempotency keys, of which one was deleted. It was made by
//
//	raftd --port 18731 --data DIR --snapshot-entries 20 --tail-entries 10
//	curl -X PUT -d "value $i" -H "Idempotency-Key: golden-$i" localhost:18731/key$i   # i from 1 to 30
//	curl -X DELETE localhost:18731/key3
//
// If this test fails, who upgrades loses data: read the old format too.
const (
	golden        = "testdata/data-v1.tar.gz"
	goldenAddress = "127.0.0.1:18731"
	goldenID      = "f5dd5a96498f6157"
	goldenCluster = "a01d9960c769ffcc"
)

func TestADataDirectoryOfTheFirstVersionStarts(t *testing.T) {
	m := start(t, "", unpack(t, golden), "--advertise", goldenAddress)
	var status struct {
		ID, Cluster string
		Term        int
		Snapshot    int
		Keys        int
	}
	if err := json.Unmarshal([]byte(m.ask(http.MethodGet, "/__pyraft/status", "", "", 200)), &status); err != nil {
		t.Fatal(err)
	}
	if status.ID != goldenID || status.Cluster != goldenCluster || status.Term < 3 || status.Snapshot < 20 || status.Keys != 29 {
		t.Errorf("%+v", status)
	}
	for i := 1; i <= 30; i++ {
		key, value := fmt.Sprintf("/key%d", i), fmt.Sprintf("value %d", i)
		if i == 3 {
			m.ask(http.MethodGet, key, "", "", 404)
			continue
		}
		if got := m.ask(http.MethodGet, key, "", "", 200); got != value {
			t.Errorf("%s is %q", key, got)
		}
		// What was done under an idempotency key is remembered, from the snapshot and from the log: the same again is
		// done already, and something else is refused.
		session := fmt.Sprintf("golden-%d", i)
		m.ask(http.MethodPut, key, "another value", session, 422)
		m.ask(http.MethodPut, key, value, session, 200)
	}
	if got := m.ask(http.MethodPut, "/key3", "value 3", "golden-3", 200); !strings.Contains(got, "ok") {
		t.Errorf("a repeated write of what was deleted since: %s", got)
	}
	m.ask(http.MethodGet, "/key3", "", "", 404) // exactly once: it is not written again
}

// ask makes one request and wants this status code.
func (m *member) ask(method, path, body, session string, want int) string {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), method, "http://"+m.address+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if session != "" {
		request.Header.Set("Idempotency-Key", session)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != want {
		m.t.Errorf("%s %s: %s %s, want %d (%v)", method, path, reply.Status, text, want, err)
	}
	return string(text)
}

// unpack gives the test a copy of its own.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for files := tar.NewReader(compressed); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(files); err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
