package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"raftlab/linearizability"
)

// The workload against a list that keeps its promise, and against one that forgets: every run of the first passes both
// checkers, and the last read of the second shows what is lost.
func TestListsAgainstAnHonestAndAForgetfulStore(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		w, err := NewLists(RegistersConfig{Keys: 2, OpsPerKey: 40})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		holds := map[string]string{}
		var ops []linearizability.Operation
		act := func(op linearizability.Operation) linearizability.Operation {
			op.ID, op.Process = int64(len(ops)+1), 1
			op.Call = time.Duration(2*len(ops)+1) * time.Millisecond
			op.Return, op.Outcome = op.Call+time.Millisecond, linearizability.OK
			switch value, here := holds[op.Key]; {
			case op.Kind == linearizability.Get && here:
				op.Got = &value
			case op.Kind == linearizability.Put:
				holds[op.Key] = op.Value
			case op.Kind == linearizability.CAS && value == op.Expect:
				op.Swapped = true
				if holds[op.Key] = op.Value; forgets && len(ops) == 60 {
					holds[op.Key] = value // acknowledged, and gone
				}
			}
			ops = append(ops, op)
			return op
		}
		for len(ops) < 100 {
			op, ok := w.Next(random, len(ops)%3)
			if !ok {
				t.Fatal("nobody is in flight, and there is nothing to ask")
			}
			if forgets && len(ops) == 60 && op.Kind != linearizability.CAS {
				w.Observe(op)
				continue
			}
			w.Observe(act(op))
		}
		for _, key := range w.Keys() {
			act(linearizability.Operation{Kind: linearizability.Get, Key: key})
		}
		want := linearizability.Pass
		if forgets {
			want = linearizability.Fail
		}
		if r := linearizability.CheckLists(ops); r.Verdict != want || r.Elements < 20 {
			t.Errorf("forgets %v: lists %+v", forgets, r)
		}
		if r := linearizability.Check(context.Background(), ops, linearizability.Options{}); r.Verdict != want {
			t.Errorf("forgets %v: %s", forgets, r.Message)
		}
	}
	if _, err := NewLists(RegistersConfig{Keys: -1}); err == nil || fmt.Sprint(err) != "harness: workload: Keys is -1, it must not be negative" {
		t.Error(err)
	}
}
