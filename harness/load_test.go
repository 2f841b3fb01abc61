package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/harness/process"
	"raftlab/linearizability"
)

var kvd string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kvd")
	if err == nil {
		kvd, err = kvdtest.Build(dir, kvdtest.Package)
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

func startKVD(t *testing.T, nodes int) (*process.Cluster, *kvdtest.System) {
	t.Helper()
	system := &kvdtest.System{Binary: kvd}
	c, err := process.Start(withDeadline(t, 20*time.Second), system, process.Options{Nodes: nodes, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		system.Close()
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, system
}

func withDeadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func record(t *testing.T) (*linearizability.Recorder, string) {
	t.Helper()
	path := t.TempDir() + "/history.jsonl"
	rec, err := linearizability.Create(path, linearizability.Header{})
	if err != nil {
		t.Fatal(err)
	}
	return rec, path
}

// recorded ends the recording, and reads what is in the file.
func recorded(t *testing.T, rec *linearizability.Recorder, path string) linearizability.History {
	t.Helper()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	history, err := linearizability.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return history
}

func registers(t *testing.T) *harness.Registers {
	t.Helper()
	w, err := harness.NewRegisters(harness.RegistersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A whole small run on a real store: load, a kill and a restart in the middle, final reads.
func TestLoadRecordsWhatHappenedAroundAKill(t *testing.T) {
	c, system := startKVD(t, 3)
	rec, path := record(t)
	w := registers(t)
	monitor, err := harness.Watch(t.Context(), c, system, harness.MonitorConfig{Interval: 5 * time.Millisecond, Now: rec.Now})
	if err != nil {
		t.Fatal(err)
	}
	load, err := harness.StartLoad(t.Context(), c, system, harness.LoadConfig{
		Seed: 1, Rate: 1000, Timeout: 200 * time.Millisecond, Workload: w, Recorder: rec,
	})
	if err != nil {
		t.Fatal(err)
	}
	phase := func(name string, ok func(harness.PhaseCounts) bool) {
		load.Phase(name)
		await(t, name, func() bool { p, _ := load.Counts().Phase(name); return ok(p) })
	}
	everyKind := func(p harness.PhaseCounts) bool {
		for _, kind := range []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS} {
			if p.Kinds[kind].OK < 5 {
				return false
			}
		}
		return true
	}
	phase("warm-up", everyKind)
	if err := c.Kill(t.Context(), "n1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	phase("dead", func(p harness.PhaseCounts) bool { return p.Total.Failed > 20 })
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	phase("healed", everyKind)
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	counts := load.Counts()
	statuses, err := harness.AwaitConverged(withDeadline(t, 5*time.Second), c, system)
	if err != nil || len(statuses) != 3 {
		t.Fatalf("converged: %v %v", statuses, err)
	}
	final, err := harness.ReadAll(withDeadline(t, 10*time.Second), c, system, rec, w.Keys(), 100, time.Second)
	if err != nil || final.Total.OK != 3*len(w.Keys()) {
		t.Fatalf("final reads of %d keys: %+v %v", len(w.Keys()), final, err)
	}
	seen := monitor.Stop()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}

	checkHistory(t, path, counts, final)
	longest := time.Duration(0)
	for _, gap := range counts.LongestGap {
		longest = max(longest, gap)
	}
	if len(counts.LongestGap) != 10 || longest < 20*time.Millisecond || longest > counts.Elapsed {
		t.Errorf("longest gaps %v in %s", counts.LongestGap, counts.Elapsed)
	}
	if len(seen.Findings) != 0 || len(seen.Elections) != 1 || seen.Without == 0 || seen.Compared == 0 {
		t.Errorf("the monitor saw %+v", seen)
	}
}

// checkHistory compares what was recorded with what was counted, and judges it: kvd is linearizable.
func checkHistory(t *testing.T, path string, counts ...harness.Counts) {
	t.Helper()
	history, err := linearizability.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want linearizability.Counts
	for _, c := range counts {
		want.Operations += c.Total.Total()
		want.OK += c.Total.OK
		want.Failed += c.Total.Failed
		want.Unknown += c.Total.Unknown
	}
	if got := linearizability.Count(history.Operations); got != want {
		t.Errorf("the history has %+v, the load counted %+v", got, want)
	}
	if report := linearizability.Check(t.Context(), history.Operations, linearizability.Options{}); report.Verdict != linearizability.Pass {
		t.Errorf("%s: %s", report.Verdict, report.Message)
	}
}

// What is sent must be in the file before, or a crash of the lab would leave writes that nobody knows of.
func TestCallsAreOnDiskBeforeTheyAreSent(t *testing.T) {
	c, system := startKVD(t, 1)
	rec, path := record(t)
	var missing, looked atomic.Int64
	spying := spy{system, func(op linearizability.Operation) {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), fmt.Sprintf(`"type":"invoke","id":%d,`, op.ID)) {
			missing.Add(1)
		}
		looked.Add(1)
	}}
	load, err := harness.StartLoad(t.Context(), c, spying, harness.LoadConfig{Rate: 500, Workload: registers(t), Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "operations", func() bool { return looked.Load() > 50 })
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	if missing.Load() > 0 {
		t.Fatalf("%d of %d calls were not in the file when they were sent", missing.Load(), looked.Load())
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
}

type spy struct {
	*kvdtest.System
	before func(linearizability.Operation)
}

func (s spy) Dial(node string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	c, err := s.System.Dial(node, endpoint)
	return spyClient{c, s.before}, err
}

type spyClient struct {
	harness.Client
	before func(linearizability.Operation)
}

func (c spyClient) Do(ctx context.Context, op linearizability.Operation) linearizability.Result {
	c.before(op)
	return c.Client.Do(ctx, op)
}

// A history with a hole proves nothing: the load ends, and says why.
func TestLoadEndsWhenTheRecorderFails(t *testing.T) {
	c, system := startKVD(t, 1)
	rec, _ := record(t)
	load, err := harness.StartLoad(t.Context(), c, system, harness.LoadConfig{Rate: 500, Workload: registers(t), Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "operations", func() bool { return load.Counts().Total.OK > 5 })
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the load", func() bool {
		before := load.Counts().Total
		<-time.After(50 * time.Millisecond)
		return load.Counts().Total == before
	})
	if err := load.Stop(); !errors.Is(err, linearizability.ErrClosed) {
		t.Fatalf("%v", err)
	}
}

// With the context the operations in flight end at once, as Unknown; none is lost.
func TestCancelledLoadLosesNoOperation(t *testing.T) {
	c, system := startKVD(t, 1)
	rec, path := record(t)
	ctx, cancel := context.WithCancel(t.Context())
	load, err := harness.StartLoad(ctx, c, system, harness.LoadConfig{Rate: 1000, Timeout: time.Minute, Workload: registers(t), Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "operations", func() bool { return load.Counts().Total.OK > 5 })
	if err := c.Pause(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	// Ten in flight for a moment is not enough: the member may have answered some before it was stopped.
	var last linearizability.Counts
	still := 0
	await(t, "all clients hanging", func() bool {
		recorded := rec.Counts()
		if still++; recorded != last {
			last, still = recorded, 0
		}
		return still >= 50 && recorded.Operations == recorded.OK+recorded.Failed+recorded.Unknown+10
	})
	cancel()
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	history := recorded(t, rec, path)
	counts := linearizability.Count(history.Operations)
	if counts.Unknown != 10 || counts.Operations != load.Counts().Total.Total() {
		t.Fatalf("recorded %+v, counted %+v", counts, load.Counts().Total)
	}
}
