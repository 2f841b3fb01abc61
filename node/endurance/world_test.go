package endurance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/harness"
	"raftlab/harness/docker"
	"raftlab/harness/process"
	"raftlab/harness/systems/raftkv"
	"raftlab/linearizability"
)

// raftd is the program under test.
var raftd string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "endurance")
	if err == nil {
		raftd, err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// breakable is what both of the lab's worlds can do.
type breakable interface {
	harness.Cluster
	harness.Killer
	harness.Member
}

// world is a cluster under load: of processes, or of containers where RAFTLAB_WORLD is docker.
type world struct {
	breakable
	t        *testing.T
	system   *raftkv.System
	seed     uint64
	load     *harness.Load
	workload *harness.Registers
	recorder *linearizability.Recorder
	monitor  *harness.Monitor
	history  string // path
	dir      string
}

// demand says what is asked of a world.
type demand struct {
	nodes   int
	clients int
	rate    float64
	args    []string      // more for raftd
	keys    int           // in use at a time, default 10
	timeout time.Duration // of one operation, default 1 s
	weights harness.Weights
	dir     string // empty: a directory of the test
}

// start runs a cluster and its clients. The test ends with settle.
func start(t *testing.T, d demand) *world {
	t.Helper()
	w := &world{t: t, seed: seed(t), dir: d.dir}
	if w.dir == "" {
		w.dir = t.TempDir()
	}
	w.system = raftkv.New(raftkv.Options{Binary: raftd, Args: d.args})
	t.Cleanup(w.system.Close)
	var err error
	w.breakable, err = w.run(d.nodes)
	w.must(err)
	t.Cleanup(func() { w.Close(context.Background()) })
	w.history = filepath.Join(w.dir, "history.jsonl")
	w.recorder, err = linearizability.Create(w.history, linearizability.Header{Seed: int64(w.seed)})
	w.must(err)
	w.workload, err = harness.NewRegisters(harness.RegistersConfig{Keys: d.keys, Weights: d.weights})
	w.must(err)
	w.monitor, err = harness.Watch(t.Context(), w, w.system, harness.MonitorConfig{Now: w.recorder.Now})
	w.must(err)
	w.load, err = harness.StartLoad(t.Context(), w, w.system, harness.LoadConfig{
		Seed: w.seed, Clients: d.clients, Rate: d.rate, Workload: w.workload, Recorder: w.recorder, Timeout: d.timeout,
	})
	w.must(err)
	return w
}

func (w *world) run(nodes int) (breakable, error) {
	ctx := within(w.t, 90*time.Second)
	switch world := os.Getenv("RAFTLAB_WORLD"); world {
	case "", "process":
		return process.Start(ctx, w.system, process.Options{Nodes: nodes, Dir: w.dir})
	case "docker":
		return docker.Start(ctx, w.system, docker.Options{Nodes: nodes, RunID: fmt.Sprintf("endurance-%x", w.seed)})
	default:
		return nil, fmt.Errorf("RAFTLAB_WORLD is %q; it must be process or docker", world)
	}
}

// seed is drawn, or what RAFTLAB_SEED says: with it a failing test can be run again.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64() >> 12
	if text := os.Getenv("RAFTLAB_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("RAFTLAB_SEED %q: %v", text, err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: RAFTLAB_SEED=%d go test ./node/endurance -run '^%s$' -count 1", n, t.Name())
		}
	})
	return n
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// served waits until n more operations were answered with ok since before: clients go on, whatever is done.
func (w *world) served(n int) {
	w.t.Helper()
	before := w.load.Counts().Total.OK
	w.eventually(20*time.Second, func() (bool, string) {
		now := w.load.Counts().Total.OK
		return now >= before+n, fmt.Sprintf("%d of %d operations were answered", now-before, n)
	})
}

func (w *world) eventually(limit time.Duration, done func() (bool, string)) {
	w.t.Helper()
	why := ""
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		ok, missing := done()
		if ok {
			return
		}
		why = missing
		<-time.After(5 * time.Millisecond)
	}
	w.t.Fatalf("not within %v: %s", limit, why)
}

// settle stops the clients, waits until all members are equal, reads every key on every member, closes the cluster, and
// has the whole history judged. What must hold after every test of this package is here.
func (w *world) settle() (linearizability.Counts, harness.Observed) {
	w.t.Helper()
	w.must(w.load.Stop())
	statuses, err := harness.AwaitConverged(within(w.t, 30*time.Second), w, w.system)
	w.must(err)
	_, err = harness.ReadAll(within(w.t, 30*time.Second), w, w.system, w.recorder, w.workload.Keys(), 1000, time.Second)
	w.must(err)
	logs, failed, err := harness.ReadLogs(within(w.t, 30*time.Second), w, w.system)
	if err != nil && !errors.Is(err, harness.ErrUnsupported) || len(failed) > 0 {
		w.t.Fatalf("the members' logs: %v %v", err, failed)
	}
	observed := w.monitor.Stop()
	for _, f := range observed.Findings {
		w.t.Errorf("%s: %s", f.Rule, f.Text)
	}
	for _, node := range harness.Everybody(w) {
		var log strings.Builder
		w.must(w.Log(context.Background(), node, &log))
		if i := strings.Index(log.String(), "panic: "); i >= 0 {
			w.t.Errorf("%s: %.500s", node, log.String()[i:])
		}
	}
	w.must(w.Close(context.Background()))
	w.must(w.recorder.Close())
	history, err := linearizability.ReadFile(w.history)
	w.must(err)
	if r := linearizability.Check(context.Background(), history.Operations, linearizability.Options{}); r.Verdict != linearizability.Pass {
		w.t.Errorf("%s: %s", r.Verdict, r.Message)
		for _, key := range r.Failing() {
			w.t.Errorf("%s: %s", key.Key, key.Message)
		}
	}
	if r := linearizability.Witness(history.Operations, logs); r.Verdict != linearizability.Pass {
		w.t.Errorf("the order that members claim: %s: %s", r.Verdict, r.Message)
	}
	counts := linearizability.Count(history.Operations)
	for _, status := range statuses {
		w.t.Logf("%d operations: %d ok, %d failed, %d unknown, on %d keys; %d elections; all members at index %d with hash %s",
			len(history.Operations), counts.OK, counts.Failed, counts.Unknown, len(w.workload.Keys()), len(observed.Elections), status.Applied, status.Hash)
		break
	}
	return counts, observed
}
