package chaos

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"raftlab/linearizability"
)

// A member that recovers a panic lives on; all that is left of it is an attribute of a log line.
func TestARecoveredPanicIsFoundInEveryFormOfTheLog(t *testing.T) {
	var asJSON, asText bytes.Buffer
	slog.New(slog.NewJSONHandler(&asJSON, nil)).Error("request", "panic", errors.New("nil map"), "stack", strings.Repeat("x", 5000))
	slog.New(slog.NewTextHandler(&asText, nil)).Error("request", "panic", errors.New("nil map"))
	for _, log := range []string{
		asJSON.String(), asText.String(),
		`{"level":"ERROR","msg":"bug in a handler","request_id":"17"}`,
		`time=2026-11-23T18:00:00Z level=ERROR msg="bug in a handler"`,
		`level=ERROR msg="dropped a message that no correct member sends: a stranger" message="raft: n1@3 leader"`,
		"2026/11/23 18:00:00 http: panic serving 127.0.0.1:4711: runtime error: index out of range",
		"panic: raft: commit 18 beyond log 17", "fatal error: all goroutines are asleep - deadlock!",
		"WARNING: DATA RACE", "goroutine 17 [running]:",
	} {
		if confessed.FindString("n1@3 leader: commit 17\n"+log+"\nstopped\n") == "" {
			t.Errorf("not found: %.200s", log)
		}
	}
	for _, log := range []string{
		`{"level":"INFO","msg":"n1@3 leader: commit 17","key":"panic"}`, `level=INFO msg="no panic here"`,
		"goroutines 17, running since 18:00", `{"level":"WARN","msg":"election timed out"}`,
	} {
		if found := confessed.FindString(log); found != "" {
			t.Errorf("found in %q", found)
		}
	}
}

func TestAReplyThatTheMemberCallsABugIsAFailure(t *testing.T) {
	ops := []linearizability.Operation{
		{ID: 1, Node: "n1", Kind: linearizability.Get, Key: "k", Result: linearizability.Result{Outcome: linearizability.OK}},
		{ID: 2, Node: "n3", Kind: linearizability.Delete, Key: "k", Result: linearizability.Result{Outcome: linearizability.Unknown, Error: "504"}},
	}
	if c := noBugAdmitted(ops); c.Verdict != Pass {
		t.Errorf("honest replies: %+v", c)
	}
	ops[1].Error, ops[1].Bug = "500 Internal Server Error", true
	if c := noBugAdmitted(append(ops, ops[1])); c.Verdict != Fail || c.Reason != "n3 answered delete of k (#2) with 500 Internal Server Error (and 1 more)" {
		t.Errorf("two bugs: %+v", c)
	}
}

func TestAHistoryThatIsNotTheOneThatWasRecordedIsUnknown(t *testing.T) {
	op := func(o linearizability.Outcome) linearizability.Operation {
		return linearizability.Operation{Result: linearizability.Result{Outcome: o}}
	}
	whole := linearizability.History{Operations: []linearizability.Operation{
		op(linearizability.OK), op(linearizability.Failed), op(linearizability.Unknown), op("")}}
	written := linearizability.Counts{Operations: 4, OK: 1, Failed: 1, Unknown: 1} // one call is still open
	torn, short := whole, whole
	torn.Torn = "12 bytes"
	short.Operations = short.Operations[:3]
	for name, c := range map[string]struct {
		history linearizability.History
		failed  error
		want    Verdict
		says    string
	}{
		"whole":     {whole, nil, Pass, ""},
		"torn":      {torn, nil, Unknown, "12 bytes"},
		"short":     {short, nil, Unknown, "read back"},
		"not whole": {whole, errors.New("disk full"), Unknown, "disk full"},
	} {
		if got := records(c.history, written, c.failed); got.Verdict != c.want || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: %+v, want %s with %q", name, got, c.want, c.says)
		}
	}
	other := written
	other.OK, other.Failed = 2, 0
	if got := records(whole, other, nil); got.Verdict != Unknown {
		t.Errorf("an outcome that changed on the way: %+v", got)
	}
}
