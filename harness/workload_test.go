package harness_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raftlab/harness"
	"raftlab/linearizability"
)

// The bounds are what makes a history decidable, so they hold whatever the clients are told.
func TestWorkloadKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := harness.RegistersConfig{
			Keys:           rapid.IntRange(1, 4).Draw(t, "keys"),
			ClientsPerKey:  rapid.IntRange(1, 5).Draw(t, "clients per key"),
			OpsPerKey:      rapid.IntRange(1, 20).Draw(t, "operations per key"),
			UnknownsPerKey: rapid.IntRange(1, 3).Draw(t, "unknowns per key"),
		}
		w, err := harness.NewRegisters(config)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var open []linearizability.Operation
		var inFlight, asked, unknown = map[string]int{}, map[string]int{}, map[string]int{}
		written, shown := map[string]bool{}, map[string]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(open) > 0 && r.IntN(2) == 0 {
				op := open[0]
				open = open[1:]
				inFlight[op.Key]--
				op.Result = outcome(r, op)
				if op.Outcome == linearizability.Unknown && op.Kind != linearizability.Get {
					unknown[op.Key]++
				}
				if op.Outcome == linearizability.OK && (op.Kind == linearizability.Put || op.Swapped) {
					shown[op.Key+"="+op.Value] = true
				}
				w.Observe(op)
				continue
			}
			op, ok := w.Next(r, r.IntN(10))
			if !ok {
				continue
			}
			if unknown[op.Key] >= config.UnknownsPerKey {
				t.Fatalf("%s has %d unknowns and is asked again", op.Key, unknown[op.Key])
			}
			if inFlight[op.Key]++; inFlight[op.Key] > config.ClientsPerKey {
				t.Fatalf("%d in flight on %s", inFlight[op.Key], op.Key)
			}
			if asked[op.Key]++; asked[op.Key] > config.OpsPerKey {
				t.Fatalf("%d operations on %s", asked[op.Key], op.Key)
			}
			if op.Value != "" && written[op.Value] {
				t.Fatalf("%q is written twice", op.Value)
			}
			written[op.Value] = true
			if op.Kind == linearizability.CAS && !shown[op.Key+"="+op.Expect] {
				t.Fatalf("%s: expects %q, which no reply has shown", op.Key, op.Expect)
			}
			open = append(open, op)
		}
		if len(w.Keys()) != len(asked) {
			t.Fatalf("%d keys were asked for, Keys says %v", len(asked), w.Keys())
		}
	})
}

func outcome(r *rand.Rand, op linearizability.Operation) linearizability.Result {
	switch r.IntN(5) {
	case 0:
		return linearizability.Result{Outcome: linearizability.Unknown}
	case 1:
		return linearizability.Result{Outcome: linearizability.Failed}
	}
	return linearizability.Result{Outcome: linearizability.OK, Swapped: op.Kind == linearizability.CAS && r.IntN(2) == 0}
}

func TestSameSeedAndRepliesGiveTheSameOperations(t *testing.T) {
	transcript := func(seed uint64) string {
		w, err := harness.NewRegisters(harness.RegistersConfig{})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		var lines []string
		for i := range 300 {
			op, ok := w.Next(r, i%7)
			if !ok {
				t.Fatal("no operation although nothing is in flight")
			}
			lines = append(lines, fmt.Sprint(op.Kind, op.Key, op.Value, op.Expect))
			op.Result = linearizability.Result{Outcome: linearizability.OK}
			w.Observe(op)
		}
		return strings.Join(lines, "\n")
	}
	if transcript(1) != transcript(1) {
		t.Error("one seed gave two transcripts")
	}
	if transcript(1) == transcript(2) {
		t.Error("two seeds gave one transcript")
	}
}

func TestDefaultMixHasEveryKind(t *testing.T) {
	w, err := harness.NewRegisters(harness.RegistersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	kinds := map[linearizability.Kind]int{}
	for range 1000 {
		op, _ := w.Next(r, 0)
		kinds[op.Kind]++
		op.Result = linearizability.Result{Outcome: linearizability.OK}
		w.Observe(op)
	}
	for _, kind := range []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS} {
		if kinds[kind] < 50 {
			t.Errorf("%d of 1000 are %s: %v", kinds[kind], kind, kinds)
		}
	}
}

func TestBadWorkloadNamesTheField(t *testing.T) {
	for _, c := range []struct {
		config harness.RegistersConfig
		says   string
	}{
		{harness.RegistersConfig{Keys: -1}, "Keys is -1"},
		{harness.RegistersConfig{Weights: harness.Weights{CAS: 1}}, "compare-and-set needs values"},
		{harness.RegistersConfig{Weights: harness.Weights{Get: -1, Put: 2}}, "must not be negative"},
	} {
		if _, err := harness.NewRegisters(c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
