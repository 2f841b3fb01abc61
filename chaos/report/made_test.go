package report

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// maker makes runs of five members in which n1 leads in term 2, is cut off from 4 s to 8 s, and n3 leads from 5 s on in term 3.
type maker struct {
	ops    []linearizability.Operation
	random *rand.Rand
}

const second = time.Second

func (m *maker) add(op linearizability.Operation) *linearizability.Operation {
	op.ID = int64(len(m.ops) + 1)
	if op.Outcome == "" {
		op.Outcome = linearizability.OK
	}
	m.ops = append(m.ops, op)
	return &m.ops[len(m.ops)-1]
}

// honest adds operations that are atomic: n of them, a millisecond apart at first, on keys of a hundred each.
func (m *maker) honest(n int, every time.Duration) {
	held := map[string]string{}
	for i := range n {
		client := i % 10
		op := linearizability.Operation{
			Process: client, Client: client, Node: fmt.Sprintf("n%d", 1+m.random.IntN(5)), Key: fmt.Sprintf("k%d", 1+i/100),
			Call: time.Duration(i+1) * every, Phase: "fault 1", Kind: linearizability.Get,
		}
		op.Return = op.Call + every*9/10
		op.ServedBy, op.Index, op.Term, op.Outcome = "127.0.0.1:8001", uint64(100+i), 2, linearizability.OK
		switch m.random.IntN(10) {
		case 0, 1, 2, 3:
			op.Kind, op.Value = linearizability.Put, fmt.Sprintf("c%d-%d", client, i)
			held[op.Key] = op.Value
		case 4:
			op.Kind = linearizability.Delete
			delete(held, op.Key)
		case 5:
			op.Outcome, op.Error = linearizability.Failed, "503 no_leader"
		case 6:
			if v, ok := held[op.Key]; ok {
				op.Kind, op.Expect, op.Value, op.Swapped = linearizability.CAS, v, fmt.Sprintf("c%d-%d", client, i), true
				held[op.Key] = op.Value
			}
		}
		if v, ok := held[op.Key]; ok && op.Kind == linearizability.Get && op.Outcome == linearizability.OK {
			op.Got = &v
		}
		m.add(op)
	}
}

// stale adds a read at n1, while it is cut off, of what a later write had replaced.
func (m *maker) stale() {
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	put := func(client int, node, value string, call, ret time.Duration) {
		m.add(linearizability.Operation{Process: 100 + client, Client: client, Node: node, Key: "kx", Kind: linearizability.Put, Value: value, Call: call, Return: ret, Phase: "fault 1",
			Result: linearizability.Result{Outcome: linearizability.OK, Index: 41, Term: 3, ServedBy: "127.0.0.1:8003"}})
	}
	put(2, "n2", "old", at(3800), at(3810))
	put(2, "n3", "new", at(6000), at(6010))
	old := "old"
	m.add(linearizability.Operation{Process: 104, Client: 4, Node: "n1", Key: "kx", Kind: linearizability.Get, Call: at(6427), Return: at(6430), Phase: "fault 1",
		Result: linearizability.Result{Outcome: linearizability.OK, Got: &old, Index: 40, Term: 2, ServedBy: "127.0.0.1:8001"}})
	m.add(linearizability.Operation{Process: 105, Client: 5, Node: "n1", Key: "kx", Kind: linearizability.Put, Value: "lost", Call: at(6428),
		Phase: "fault 1", Result: linearizability.Result{Outcome: linearizability.Unknown, Error: "timeout"}})
}

// run is a run with these operations, judged by the real checker.
func (m *maker) run(t testing.TB) Run {
	t.Helper()
	r := Run{Name: "20260102-030405-made-7", Summary: Summary{
		Verdict: pass, Reason: "20 keys linearizable", Scenario: "made", Seed: 7, System: "raftkv", World: "process", Took: 12 * second,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Members: []string{"n1", "n2", "n3", "n4", "n5"},
		Addresses: map[string]string{"n1": "127.0.0.1:8001", "n3": "127.0.0.1:8003"},
		Again:     "raftlab run made --seed 7", Options: map[string]any{"keys": 10, "at_leader": 0}, Schedule: []string{"seed 7", "at 2s partition leader for 4s", "end 10s"},
		Gaps: []harness.Interval{{From: 4 * second, To: 5 * second}}, Leaderless: second, Elections: 2, Versions: map[string]string{"raftlab": "abc"},
		Faults: []Fault{{Number: 1, Text: "partition leader", Nodes: []string{"n1"}, Leader: "n1", Term: 2, HitLeader: true, From: 4 * second, InForce: 4100 * time.Millisecond, To: 8 * second,
			Quorum: true, Evidence: Evidence{Outcome: "installed", Says: "214 packets dropped by 8 rules", Dropped: 214}}},
	}}
	r.Observed.Elections = []harness.Election{{At: 0, Term: 2, Node: "n1"}, {At: 5 * second, Term: 3, Node: "n3"}}
	r.Samples = map[string][]harness.Sample{}
	for _, node := range r.Members {
		for at := time.Duration(0); at < 12*second; at += second / 10 {
			r.Samples[node] = append(r.Samples[node], harness.Sample{At: at, Node: node, Status: statusAt(node, at)})
		}
	}
	r.History = linearizability.History{Operations: m.ops}
	r.Linearizable = linearizability.Check(context.Background(), m.ops, linearizability.Options{})
	r.Checks = []Check{{Name: "linearizable", Verdict: string(r.Linearizable.Verdict), Looked: "operations on keys"}, {Name: "converged", Verdict: pass, Looked: "5 members"}}
	if failing := r.Failing(); len(failing) > 0 {
		r.Verdict, r.ExitCode = fail, 1
		r.Checks[0].Reason = failing[0].Key + ": " + failing[0].Message
		r.Reason = "linearizable: " + r.Checks[0].Reason
	}
	return r
}

// statusAt: n1 leads in term 2 until 4.5 s, then seeks in vain; n3 leads in term 3 from 5 s; n5 does not answer from 9 s to 10 s.
func statusAt(node string, at time.Duration) *harness.Status {
	s := &harness.Status{Role: "follower", Term: 2, Commit: uint64(at / second), Applied: uint64(at / second)}
	if at >= 5*second && (node != "n1" || at >= 8*second) {
		s.Term = 3
	}
	switch {
	case node == "n5" && at >= 9*second && at < 10*second:
		return nil
	case node == "n1" && at < 4500*time.Millisecond, node == "n3" && at >= 5*second:
		s.Role = "leader"
	case node == "n1" && at < 8*second:
		s.Role = "pre-candidate"
	}
	return s
}

func newMaker() *maker { return &maker{random: rand.New(rand.NewPCG(1, 2))} }

// violating is a run with one stale read.
func violating(t testing.TB) Run {
	m := newMaker()
	m.honest(300, 40*time.Millisecond)
	m.stale()
	return m.run(t)
}

// passing is a run without.
func passing(t testing.TB) Run {
	m := newMaker()
	m.honest(300, 40*time.Millisecond)
	return m.run(t)
}
