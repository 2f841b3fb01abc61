package kvdtest

import (
	"slices"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// AskEverything asks a member of a healthy cluster for each kind that the system can be asked, holds every answer against
// a register, and returns the history with its claims.
func AskEverything(t *testing.T, s harness.System, client harness.Client) []linearizability.Operation {
	t.Helper()
	kinds := harness.Kinds(s)
	get, put, del, cas := linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS
	var ops []linearizability.Operation
	began := time.Now()
	for i, step := range []struct {
		op      linearizability.Operation
		got     string // empty: nothing
		swapped bool
	}{
		{op: linearizability.Operation{Kind: get}},
		{op: linearizability.Operation{Kind: del}},
		{op: linearizability.Operation{Kind: put, Value: "v 1/ü"}},
		{op: linearizability.Operation{Kind: get}, got: "v 1/ü"},
		{op: linearizability.Operation{Kind: cas, Expect: "v 1/ü", Value: "v2"}, swapped: true},
		{op: linearizability.Operation{Kind: cas, Expect: "v 1/ü", Value: "v3"}},
		{op: linearizability.Operation{Kind: put, Value: "v4"}},
		{op: linearizability.Operation{Kind: get}, got: "v4"},
		{op: linearizability.Operation{Kind: del}},
		{op: linearizability.Operation{Kind: get}},
		{op: linearizability.Operation{Kind: cas, Expect: "v4", Value: "v5"}},
	} {
		if !slices.Contains(kinds, step.op.Kind) {
			continue
		}
		op := step.op
		op.ID, op.Process, op.Key, op.Node, op.Call = int64(i+1), 1, "a key", "n", time.Since(began)+1
		op.Result = client.Do(Deadline(t, 5*time.Second), op)
		op.Return = time.Since(began) + 1
		ops = append(ops, op)
		if op.Outcome != linearizability.OK || op.Swapped != step.swapped || (op.Got != nil) != (step.got != "") || op.Got != nil && *op.Got != step.got {
			t.Errorf("%s %q expecting %q: %+v", op.Kind, op.Value, op.Expect, op.Result)
		}
	}
	return ops
}
