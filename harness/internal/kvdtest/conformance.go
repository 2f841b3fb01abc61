package kvdtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
)

// World is a cluster that can do everything that a fault needs.
type World interface {
	harness.Cluster
	harness.Killer
	harness.Pauser
	harness.Networker
	harness.Member
	harness.Shaper
}

// Conformance checks what every world promises: that a kill, a pause and a cut do what they say, that Probe and
// Dropped show it, and that it can be undone. start makes a cluster of kvd that the test closes by itself.
func Conformance(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	t.Run("kill leaves data and a restart is another process", func(t *testing.T) { killAndRestart(t, start) })
	t.Run("SIGTERM is seen as its own exit", func(t *testing.T) { terminate(t, start) })
	t.Run("pause is read from the kernel", func(t *testing.T) { pauseAndResume(t, start) })
	t.Run("cut separates members and not clients", func(t *testing.T) { cutAndRestore(t, start) })
	t.Run("a shaped link is slow and says how slow", func(t *testing.T) { shapeAndHeal(t, start) })
	t.Run("a cut outlives a restart", func(t *testing.T) { cutAndRestart(t, start) })
	t.Run("members come, go and lose their data", func(t *testing.T) { changeMembers(t, start) })
}

// Call asks a member and returns the status code, or -1 where there was no answer in time.
func Call(t *testing.T, c harness.Cluster, node, method, path, body string, timeout time.Duration) (int, string) {
	t.Helper()
	endpoint, err := c.Endpoint(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return -1, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// Deadline is the test's context, which ends after d.
func Deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const (
	answers = 5 * time.Second        // within which a member that can answer does
	silent  = 500 * time.Millisecond // after which one that has not will not
)

func probe(t *testing.T, c harness.Cluster, node string) harness.Probe {
	t.Helper()
	p, err := c.Probe(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func killAndRestart(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, system := start(t, 3)
	if code, body := Call(t, c, "n2", "PUT", "/k", "v1", answers); code != 200 {
		t.Fatalf("put through n2: %d %s", code, body)
	}
	before := probe(t, c, "n1")
	if before.State != harness.Running || before.PID == 0 || before.Started.IsZero() {
		t.Fatalf("before the kill: %+v", before)
	}
	if again := probe(t, c, "n1"); again != before {
		t.Fatalf("two probes of one process differ: %+v and %+v", before, again)
	}
	do(t, c.Kill(t.Context(), "n1", syscall.SIGKILL))
	dead := probe(t, c, "n1")
	if dead.State != harness.Exited || dead.Exit != 128+int(syscall.SIGKILL) || dead.PID != 0 {
		t.Fatalf("after SIGKILL: %+v", dead)
	}
	if err := c.Kill(t.Context(), "n1", syscall.SIGKILL); err == nil {
		t.Fatal("a second kill of a dead member succeeded")
	}
	if code, _ := Call(t, c, "n2", "PUT", "/k", "v2", silent); code == 200 {
		t.Fatal("n2 wrote while the only member with data was dead")
	}
	do(t, c.Start(t.Context(), "n1"))
	if err := c.Start(t.Context(), "n1"); err == nil {
		t.Fatal("a member that runs was started again")
	}
	do(t, harness.AwaitReady(Deadline(t, 10*time.Second), c, system))
	after := probe(t, c, "n1")
	if after.State != harness.Running || after.PID == before.PID || !after.Started.After(before.Started) {
		t.Fatalf("after the restart: %+v, before: %+v", after, before)
	}
	if code, body := Call(t, c, "n3", "GET", "/k", "", answers); code != 200 || body != "v1" {
		t.Fatalf("n3 after the restart of n1: %d %q", code, body)
	}
	var log bytes.Buffer
	if err := c.Log(t.Context(), "n1", &log); err != nil || strings.Count(log.String(), "listening on") != 2 {
		t.Fatalf("log of both lives: %v %q", err, log.String())
	}
	if _, err := c.Probe(t.Context(), "n9"); err == nil {
		t.Fatal("a member that is not there was probed")
	}
}

func terminate(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, _ := start(t, 1)
	do(t, c.Kill(t.Context(), "n1", syscall.SIGTERM))
	for deadline := time.Now().Add(answers); probe(t, c, "n1").State != harness.Exited; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("kvd did not end on SIGTERM")
		}
	}
	if p := probe(t, c, "n1"); p.Exit != 0 {
		t.Fatalf("kvd ends with 0 on SIGTERM: %+v", p)
	}
}

func pauseAndResume(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, _ := start(t, 2)
	before := probe(t, c, "n1")
	do(t, c.Pause(t.Context(), "n1"))
	if p := probe(t, c, "n1"); p.State != harness.Paused || p.PID != before.PID {
		t.Fatalf("paused: %+v", p)
	}
	if code, body := Call(t, c, "n1", "GET", "/readyz", "", silent); code != -1 {
		t.Fatalf("a paused member answered %d %s", code, body)
	}
	do(t, c.Resume(t.Context(), "n1"))
	p := probe(t, c, "n1")
	if p.Ran, before.Ran = 0, 0; p != before {
		t.Fatalf("resumed: %+v, before: %+v", p, before)
	}
	if code, body := Call(t, c, "n1", "GET", "/readyz", "", answers); code != 200 {
		t.Fatalf("a resumed member answered %d %s", code, body)
	}
	// Faults overlap: a paused member can be cut off, and its cluster closed.
	do(t, c.Pause(t.Context(), "n1"))
	cut(t, c, isolate("n1", "n2")...)
	do(t, c.Restore(t.Context()))
}

func cut(t *testing.T, c World, links ...harness.Link) harness.Cut {
	t.Helper()
	made, err := c.Cut(t.Context(), links)
	do(t, err)
	return made
}

func dropped(t *testing.T, c harness.Cut) map[harness.Link]uint64 {
	t.Helper()
	counted, err := c.Dropped(t.Context())
	do(t, err)
	return counted
}

// isolate is both directions between one member and each of the others.
func isolate(node string, others ...string) []harness.Link {
	var links []harness.Link
	for _, other := range others {
		links = append(links, harness.Link{From: node, To: other}, harness.Link{From: other, To: node})
	}
	return links
}

func cutAndRestore(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, _ := start(t, 3)
	if code, body := Call(t, c, "n2", "PUT", "/k", "v", answers); code != 200 {
		t.Fatal(code, body)
	}
	link := harness.Link{From: "n2", To: "n1"}
	first := cut(t, c, link)
	second := cut(t, c, link) // it is cut already
	do(t, first.Heal(t.Context()))
	do(t, first.Heal(t.Context()))
	if left := dropped(t, first); len(left) != 0 {
		t.Fatalf("a healed cut has rules: %v", left)
	}
	if code, body := Call(t, c, "n2", "GET", "/k", "", silent); code != -1 {
		t.Fatalf("n2 reached n1 over a cut link: %d %s", code, body)
	}
	if code, body := Call(t, c, "n3", "GET", "/k", "", answers); code != 200 {
		t.Fatalf("n3 is not cut: %d %s", code, body)
	}
	if code, body := Call(t, c, "n1", "GET", "/k", "", answers); code != 200 {
		t.Fatalf("the client of n1 is not cut: %d %s", code, body)
	}
	if seen := dropped(t, second); seen[link] == 0 || len(seen) != 1 {
		t.Fatalf("evidence of the cut that another one shared: %v", seen)
	}
	do(t, second.Heal(t.Context()))
	if seen := dropped(t, second); len(seen) != 0 {
		t.Fatalf("after the heal: %v", seen)
	}
	do(t, c.Restore(t.Context())) // nothing to restore is restored
	if code, body := Call(t, c, "n2", "GET", "/k", "", answers); code != 200 || body != "v" {
		t.Fatalf("n2 after the restore: %d %s", code, body)
	}
	for _, bad := range []harness.Link{{From: "n1", To: "n9"}, {From: "n1", To: "n1"}} {
		if _, err := c.Cut(t.Context(), []harness.Link{bad}); err == nil {
			t.Errorf("%+v was cut", bad)
		}
	}
}

// A container has a new network namespace after its restart, without the rules of the old one.
func cutAndRestart(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, system := start(t, 3)
	links := isolate("n2", "n1", "n3")
	held := cut(t, c, links...)
	if code, body := Call(t, c, "n2", "GET", "/k", "", silent); code != -1 {
		t.Fatalf("n2 reached n1 over a cut link: %d %s", code, body)
	}
	before := dropped(t, held)
	if before[links[0]] == 0 || len(before) != 4 {
		t.Fatalf("before the restart: %v", before)
	}
	do(t, c.Kill(t.Context(), "n2", syscall.SIGKILL))
	do(t, c.Start(t.Context(), "n2"))
	do(t, harness.AwaitReady(Deadline(t, 10*time.Second), c, system, "n2"))
	for deadline := time.Now().Add(answers); ; <-time.After(5 * time.Millisecond) {
		// It answers its clients what it cannot ask n1 for, or hangs; it never reaches n1.
		code, body := Call(t, c, "n2", "GET", "/k", "", silent)
		if code == 404 || code == 200 {
			t.Fatalf("n2 reached n1 after its restart: %d %s", code, body)
		}
		after, err := held.Dropped(t.Context())
		if err == nil && after[links[0]] > before[links[0]] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the counters after the restart: %v %v, before: %v", after, err, before)
		}
	}
	do(t, c.Restore(t.Context()))
	if code, body := Call(t, c, "n2", "GET", "/k", "", answers); code != 404 {
		t.Fatalf("n2 after the restore: %d %s", code, body)
	}
}

func shapeAndHeal(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, _ := start(t, 3)
	ask := func(node string) time.Duration {
		t.Helper()
		began := time.Now()
		if code, body := Call(t, c, node, "GET", "/k", "", answers); code != 200 {
			t.Fatal(code, body)
		}
		return time.Since(began)
	}
	if code, body := Call(t, c, "n2", "PUT", "/k", "v", answers); code != 200 {
		t.Fatal(code, body)
	}
	const delay = 150 * time.Millisecond
	link := harness.Link{From: "n2", To: "n1"}
	slow, err := c.Shape(t.Context(), []harness.Link{link}, harness.Shape{Delay: delay})
	do(t, err)
	lossy, err := c.Shape(t.Context(), []harness.Link{link}, harness.Shape{Loss: 0.1})
	do(t, err)
	if took := ask("n2"); took < delay {
		t.Errorf("n2 asked n1 over a slow link in %v", took)
	}
	do(t, lossy.Heal(t.Context()))
	passed, err := slow.Passed(t.Context())
	got := passed[link]
	if err != nil || len(passed) != 1 || got.Packets == 0 || got.Bytes == 0 || got.Released == 0 || got.Held < delay*time.Duration(got.Released)*9/10 {
		t.Errorf("evidence of the delay: %+v %v", passed, err)
	}
	// What a member that is started again sends is held as well, and counted on.
	do(t, c.Kill(t.Context(), "n2", syscall.SIGKILL))
	do(t, c.Start(t.Context(), "n2"))
	for deadline := time.Now().Add(answers); ; <-time.After(5 * time.Millisecond) {
		code, _ := Call(t, c, "n2", "GET", "/k", "", answers)
		after, err := slow.Passed(t.Context())
		if code == 200 && err == nil && after[link].Packets > got.Packets {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the restart: %+v %v, before: %+v", after, err, got)
		}
	}
	do(t, slow.Heal(t.Context()))
	do(t, slow.Heal(t.Context()))
	if left, err := slow.Passed(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("after the heal: %v %v", left, err)
	}
	for range 3 {
		ask("n2") // what was on its way may still be late
	}
	if took := ask("n2"); took > delay {
		t.Errorf("n2 asked n1 over a healed link in %v", took)
	}
	messy := harness.Shape{Reorder: 0.5, Duplicate: 0.5, Delay: 10 * time.Millisecond}
	shaped, err := c.Shape(t.Context(), []harness.Link{link}, messy)
	if errors.Is(err, harness.ErrUnsupported) && c.World() == "process" {
		return
	}
	do(t, err)
	for range 20 {
		ask("n2")
	}
	passed, err = shaped.Passed(t.Context())
	if err != nil || passed[link].Duplicated == 0 {
		t.Errorf("%+v: %+v %v", messy, passed, err)
	}
	do(t, shaped.Heal(t.Context()))
}
