package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestALearnerDoesNotGiveUp: a state that takes longer to send than --join-timeout was never joined with. The process ended
// in the middle of the snapshot, and began anew when it was started again.
func TestALearnerDoesNotGiveUp(t *testing.T) {
	release := make(chan struct{})
	first := start(t, "", t.TempDir(), "--snapshot-entries", "10", "--peer-proxy", holdSnapshots(t, release))
	for range 30 {
		first.put("k", "v")
	}
	asked := make(chan struct{}, 100)
	there := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: first.address})
	there.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // who asked has gone
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			asked <- struct{}{}
		}
		there.ServeHTTP(w, r)
	}))
	defer door.Close()
	second := launch(t, freeAddress(t), t.TempDir(), "--join", strings.TrimPrefix(door.URL, "http://"), "--join-timeout", "500ms")
	for n := range 3 { // each lasts as long as --join-timeout
		select {
		case <-asked:
		case <-time.After(20 * time.Second):
			second.kill()
			t.Fatalf("asked only %d times:\n%s", n, second.stderr.String())
		}
	}
	close(release)
	second.awaitReady("--url", "http://"+second.address)
}

// holdSnapshots is a CONNECT proxy on which snapshots stand still until they are released.
func holdSnapshots(t *testing.T, release <-chan struct{}) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer context.AfterFunc(ctx, func() { there.Close() })()
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		go func() {
			defer here.Close()
			io.Copy(here, there) // until one of them closes
		}()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		from := bufio.NewReader(here)
		if method, _ := from.Peek(4); string(method) == "POST" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		io.Copy(there, from)
	}))
	t.Cleanup(func() { cancel(); proxy.Close() })
	return strings.TrimPrefix(proxy.URL, "http://")
}

// Thirty seconds without a word look like a member that hangs.
func TestAMemberThatWaitsForTheOthersSaysSo(t *testing.T) {
	cmd := exec.Command(program, "--listen", freeAddress(t), "--data", filepath.Join(t.TempDir(), "data"), "--join", "127.0.0.1:1", "--join-timeout", "2500ms")
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{"waits for a member of a cluster to answer", "join=127.0.0.1:1 patience=2.5s", "connection refused", "no member of a cluster answers there (tried for 2.5s)"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}
