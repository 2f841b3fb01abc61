package harness_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// three is a cluster of three names: nobody runs.
type three struct{ harness.Cluster }

func (three) Places() []harness.Place {
	return []harness.Place{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}}
}

// forgetful is a store of three members that does what it is asked, and often does not say so. Unless doubles is set it knows
// an idempotency key again.
type forgetful struct {
	harness.System
	doubles bool

	mu      sync.Mutex
	random  *rand.Rand
	holds   map[string]string
	first   map[string]linearizability.Result
	applied int
	asked   map[string]map[string]bool // which members, by idempotency key
}

func (s *forgetful) Dial(node string, _ func(context.Context) (string, error)) (harness.Client, error) {
	return forgetfulClient{s, node}, nil
}

type forgetfulClient struct {
	store *forgetful
	node  string
}

func (forgetfulClient) Close() error { return nil }

func (c forgetfulClient) Do(_ context.Context, op linearizability.Operation) linearizability.Result {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if op.Once != "" {
		if s.asked[op.Once] == nil {
			s.asked[op.Once] = map[string]bool{}
		}
		s.asked[op.Once][c.node] = true
	}
	result, known := s.first[op.Once]
	if !known || s.doubles || op.Once == "" {
		result = s.apply(op)
		s.first[op.Once] = result
	}
	switch n := s.random.IntN(4); {
	case op.Kind == linearizability.Get:
	case n == 0:
		return linearizability.Result{Outcome: linearizability.Unknown, Error: "lost"}
	case n == 1 && known: // it was done, and who answers now cannot know
		return linearizability.Result{Outcome: linearizability.Failed, Error: "no leader"}
	}
	return result
}

func (s *forgetful) apply(op linearizability.Operation) linearizability.Result {
	s.applied++
	r := linearizability.Result{Outcome: linearizability.OK}
	value, here := s.holds[op.Key]
	switch {
	case op.Kind == linearizability.Get && here:
		r.Got = &value
	case op.Kind == linearizability.Put:
		s.holds[op.Key] = op.Value
	case op.Kind == linearizability.Delete:
		delete(s.holds, op.Key)
	case op.Kind == linearizability.CAS && here && value == op.Expect:
		s.holds[op.Key], r.Swapped = op.Value, true
	}
	return r
}

// A write is sent to one member after the other until it is answered, is one operation in the history, and is done once by a
// store that keeps its promise; by one that does not, the history is not linearizable.
func TestAWriteWithoutAnAnswerIsSentAgain(t *testing.T) {
	for _, doubles := range []bool{false, true} {
		t.Run(fmt.Sprintf("doubles=%v", doubles), func(t *testing.T) {
			store := &forgetful{
				doubles: doubles, random: rand.New(rand.NewPCG(1, 2)), holds: map[string]string{},
				first: map[string]linearizability.Result{}, asked: map[string]map[string]bool{},
			}
			w, err := harness.NewSessions(harness.RegistersConfig{Keys: 3})
			if err != nil {
				t.Fatal(err)
			}
			rec, path := record(t)
			load, err := harness.StartLoad(t.Context(), three{}, store, harness.LoadConfig{Clients: 6, Rate: 5000, Workload: w, Recorder: rec})
			if err != nil {
				t.Fatal(err)
			}
			await(t, "enough was asked", func() bool { return load.Counts().Total.OK > 300 })
			if err := load.Stop(); err != nil {
				t.Fatal(err)
			}
			store.judge(t, recorded(t, rec, path).Operations)
		})
	}
}

func (s *forgetful) judge(t *testing.T, ops []linearizability.Operation) {
	t.Helper()
	again, unknown, everybody := 0, 0, 0
	for _, op := range ops {
		if (op.Once == "") != (op.Kind == linearizability.Get) {
			t.Fatalf("the idempotency key of a %s is %q", op.Kind, op.Once)
		}
		if op.Attempts > 1 {
			again++
		}
		if op.Outcome == linearizability.Failed {
			t.Fatalf("%s is said to have failed, and an attempt before may have done it: %+v", op.Kind, op)
		}
		if op.Outcome == linearizability.Unknown {
			unknown++ // those that the end of the load has cut short
		}
		if len(s.asked[op.Once]) == 3 {
			everybody++
		}
	}
	if again < 15 || everybody < 3 || unknown > 6 {
		t.Errorf("%d of %d were sent again, %d to everybody, %d have no answer", again, len(ops), everybody, unknown)
	}
	want := linearizability.Pass
	if s.doubles {
		want = linearizability.Fail
	}
	if r := linearizability.Check(t.Context(), ops, linearizability.Options{Timeout: 30 * time.Second}); r.Verdict != want {
		t.Errorf("%s: %s", r.Verdict, r.Message)
	}
	if !s.doubles && s.applied != len(ops) {
		t.Errorf("%d operations were done %d times", len(ops), s.applied)
	}
}
