package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/client"
)

var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "raftlab-client")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "raftd")
		err = exec.Command("go", "build", "-o", program, "raftlab/node/cmd/raftd").Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// cluster is three real members.
type cluster struct {
	addresses []string
	processes []*exec.Cmd
}

func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.addresses = append(c.addresses, l.Addr().String())
		defer func() { _ = l.Close() }()
	}
	dir := t.TempDir()
	for i, address := range c.addresses {
		args := []string{"--listen", address, "--data", filepath.Join(dir, strconv.Itoa(i))}
		if i > 0 {
			args = append(args, "--join", c.addresses[0])
		}
		c.processes = append(c.processes, exec.Command(program, args...))
	}
	return c
}

// run starts a member and waits until it is ready.
func (c *cluster) run(t *testing.T, i int) {
	t.Helper()
	args := c.processes[i].Args[1:]
	p := exec.Command(program, args...)
	var log bytes.Buffer
	p.Stderr = &log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	c.processes[i] = p
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	ctx := within(t)
	for exec.CommandContext(ctx, program, "health", "--ready", "--url", "http://"+c.addresses[i]).Run() != nil {
		if ctx.Err() != nil {
			_ = p.Process.Kill()
			_ = p.Wait()
			t.Fatalf("%s is not ready:\n%s", c.addresses[i], log.String())
		}
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, members ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Members: members})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A counter that four goroutines raise with compare-and-set, while the leader is killed and comes back: it counts exactly
// the writes that were done, and between them those of which nobody knows.
func TestAcknowledgedWritesAreDoneOnceWhileTheLeaderDies(t *testing.T) {
	members := start(t)
	for i := range members.addresses {
		members.run(t, i)
	}
	ctx := within(t)
	c := connect(t, members.addresses...)
	if _, err := c.Put(ctx, "n", client.Value{Data: []byte("0")}, client.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	var done, unknown atomic.Int64
	over := make(chan struct{})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				v, err := c.Get(ctx, "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, err := strconv.Atoi(string(v.Data))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = c.Put(ctx, "n", client.Value{Data: strconv.AppendInt(nil, int64(n+1), 10)}, client.IfVersion(v.Version))
				switch client.Done(err) {
				case client.OK:
					done.Add(1)
				case client.Unknown:
					unknown.Add(1)
				default:
					if !errors.Is(err, client.ErrCondition) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	more := func(than int64) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for done.Load() < than+50 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("only %d writes were done, want more than %d", done.Load(), than)
			}
		}
	}
	more(0)
	leader := leads(t, members)
	_ = members.processes[leader].Process.Kill()
	_ = members.processes[leader].Wait()
	more(done.Load())
	members.run(t, leader)
	more(done.Load())
	close(over)
	writers.Wait()
	v, err := c.Get(ctx, "n")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(string(v.Data), 10, 64)
	if err != nil || n < done.Load() || n > done.Load()+unknown.Load() {
		t.Fatalf("counted %s (%v), %d were done, of %d nobody knows", v.Data, err, done.Load(), unknown.Load())
	}
	t.Logf("%d done, %d unknown", done.Load(), unknown.Load())
}

func leads(t *testing.T, members *cluster) int {
	t.Helper()
	for i, address := range members.addresses {
		reply, err := http.Get("http://" + address + "/readyz/leader")
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		if reply.StatusCode == http.StatusOK {
			return i
		}
	}
	t.Fatal("nobody leads")
	return 0
}

// A member does a write, and its answer is lost. The write is sent again, to another, and the answer is that of the first.
func TestAnAnswerThatIsLostIsAskedForAgain(t *testing.T) {
	members := start(t)
	members.run(t, 0)
	first := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+members.addresses[0]+r.URL.RequestURI(), r.Body)
		if err != nil {
			panic(err)
		}
		there.Header = r.Header.Clone()
		reply, err := http.DefaultClient.Do(there)
		if err != nil {
			panic(err)
		}
		_ = reply.Body.Close()
		first <- reply.Header.Get("Etag")
		panic(http.ErrAbortHandler)
	}))
	defer proxy.Close()
	c := connect(t, strings.TrimPrefix(proxy.URL, "http://"), members.addresses[0])
	version, err := c.Put(within(t), "k", client.Value{Data: []byte("v"), ContentType: "text/plain"})
	if lost := <-first; err != nil || lost != strconv.Quote(fmt.Sprint(uint64(version))) {
		t.Fatalf("version %d (%v), and what was lost said %s", version, err, lost)
	}
	v, err := c.Get(within(t), "k")
	if err != nil || string(v.Data) != "v" || v.Version != version || v.ContentType != "text/plain" {
		t.Fatalf("%+v %v, want version %d", v, err, version)
	}
	keys, more, err := c.List(within(t), "", "", 10)
	if err != nil || more || len(keys) != 1 || keys[0].Key != "k" || keys[0].Version != version {
		t.Fatalf("%+v %t %v", keys, more, err)
	}
	if err := c.Delete(within(t), "k", client.IfVersion(version+1)); !errors.Is(err, client.ErrCondition) || client.Done(err) != client.Failed {
		t.Fatalf("of another version: %v", err)
	}
	if err := c.Delete(within(t), "k", client.IfVersion(version)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(within(t), "k"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("of a key that was deleted: %v", err)
	}
}

func TestBadConfigIsNamed(t *testing.T) {
	for says, members := range map[string][]string{"at least one": nil, "want host:port": {"http://n1:8000"}, "invalid": {"n 1:8000"}} {
		if _, err := client.New(client.Config{Members: members}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", members, err)
		}
	}
	if _, err := client.New(client.Config{Members: []string{"n1:8000"}, Token: "secret\n"}); err == nil || !strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	// Not tried until the context ends, which this one does not.
	if _, err := connect(t, "127.0.0.1:1").Put(context.Background(), "k", client.Value{ContentType: "text/plain\n"}); client.Done(err) != client.Failed {
		t.Error(err)
	}
	for _, attempt := range []time.Duration{-1, time.Hour} {
		if _, err := client.New(client.Config{Members: []string{"n1:8000"}, Attempt: attempt}); err == nil || !strings.Contains(err.Error(), "Attempt") {
			t.Errorf("%v: %v", attempt, err)
		}
	}
}
