package linearizability_test

import (
	"context"
	"fmt"
	"io"

	"raftlab/linearizability"
)

// A recorded history is judged again at any time.
func ExampleCheck() {
	history, err := linearizability.ReadFile("testdata/stale-read.jsonl")
	if err != nil {
		fmt.Println(err)
		return
	}
	report := linearizability.Check(context.Background(), history.Operations, linearizability.Options{})
	fmt.Println(report.Verdict, report.Message)
	for _, k := range report.Failing() {
		fmt.Println(k.Explanation.Pattern, k.Message)
	}
	// Output:
	// FAIL 6 operations on 1 key: 0 linearizable, 1 not linearizable (k)
	// stale-read get (#5 at n3) returned v12 although put v13 (#3 at n1) was acknowledged 84 ms before it began
}

// A client records a call, sends it, and records what came back.
func ExampleRecorder() {
	recorder, err := linearizability.NewRecorder(io.Discard, linearizability.Header{Seed: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, outcome := range []linearizability.Outcome{linearizability.OK, linearizability.Unknown, linearizability.OK} {
		op, err := recorder.Invoke(linearizability.Operation{Client: 3, Node: "n1", Kind: linearizability.Get, Key: "k"})
		if err != nil {
			fmt.Println(err)
			return
		}
		// Here the operation is sent, once.
		if _, err := recorder.Return(op.ID, linearizability.Result{Outcome: outcome}); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("operation", op.ID, "process", op.Process, outcome)
	}
	// An error of Close means that the file has a hole.
	fmt.Println(recorder.Close())
	// Output:
	// operation 1 process 0 ok
	// operation 2 process 0 unknown
	// operation 3 process 1 ok
	// <nil>
}
