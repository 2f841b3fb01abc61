package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The definition, porcupine with our model and the direct search, on histories of up to eight operations.
func TestTheCheckersAgreeWithTheDefinition(t *testing.T) {
	const histories = 12000
	var legals, illegals, explained int
	for seed := range uint64(histories) {
		random := rand.New(rand.NewPCG(seed, 2))
		ops := legal(random.IntN, shape{
			operations: 2 + random.IntN(7), spread: random.IntN(4),
			unknowns: random.IntN(60), failures: random.IntN(30), cas: random.IntN(50), deletes: random.IntN(30),
		})
		if !possible(ops) {
			t.Fatalf("seed %d: the generator or the definition is wrong:\n%s", seed, transcript(ops))
		}
		for range random.IntN(10) {
			disturb(random.IntN, ops)
		}
		if random.IntN(3) == 0 {
			coarsen(ops)
		}
		want := Fail
		if possible(ops) {
			want = Pass
			legals++
		} else {
			illegals++
		}
		if err := wellFormed(ops); err != nil {
			t.Fatalf("seed %d: %v:\n%s", seed, err, transcript(ops))
		}
		c := checker{newRegister: newRegister}
		got, _, err := c.decide(t.Context(), newKeyHistory("k", ops), Options{}.withDefaults())
		if err != nil || got != want {
			t.Fatalf("seed %d: porcupine says %s, %v, the definition %s:\n%s", seed, got, err, want, transcript(ops))
		}
		found := contradiction(t.Context(), ops)
		if found != nil && want == Pass {
			t.Fatalf("seed %d: linearizable, but %s:\n%s", seed, found.Sentence, transcript(ops))
		}
		if found != nil {
			explained++
		}
		if want == Fail {
			culpritIsRight(t, ops)
		}
		k := c.checkKey(t.Context(), ops, Options{}.withDefaults())
		if k.Verdict != want || (k.Explanation == nil) != (want == Pass) {
			t.Fatalf("seed %d: the report says %s (%s), the definition %s:\n%s", seed, k.Verdict, k.Message, want, transcript(ops))
		}
	}
	if legals < histories/5 || illegals < histories/5 {
		t.Errorf("%d linearizable and %d others: too few of one kind to compare", legals, illegals)
	}
	if explained*100 < illegals*95 {
		t.Errorf("the direct search explained %d of %d, which is less than it did", explained, illegals)
	}
	t.Logf("%d linearizable, %d not, of which the direct search explained %d", legals, illegals, explained)
}

// culpritIsRight: by the definition, the history was possible until the culprit returned, and then no more.
func culpritIsRight(t *testing.T, ops []Operation) {
	t.Helper()
	culprit, err := checker{newRegister: newRegister}.culprit(t.Context(), newKeyHistory("k", ops), Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	var last time.Duration // return before it
	for _, op := range ops {
		if op.Outcome == OK && op.Return < culprit.Return {
			last = max(last, op.Return)
		}
	}
	if !possible(cut(ops, last)) || possible(cut(ops, culprit.Return)) {
		t.Fatalf("%s at %v is not where it became impossible:\n%s", tells(culprit), culprit.Return, transcript(ops))
	}
}

// cut is what was known at a time.
func cut(ops []Operation, at time.Duration) []Operation {
	var known []Operation
	for _, op := range ops {
		if op.Outcome == OK && op.Return > at {
			op.Result = Result{Outcome: Unknown}
		}
		if op.Call <= at {
			known = append(known, op)
		}
	}
	return known
}

func TestHistoriesThatARegisterMadePass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := legal(rolls(t), shape{
			operations: rapid.IntRange(5, 120).Draw(t, "operations"), spread: rapid.IntRange(0, 2).Draw(t, "spread"),
			unknowns: rapid.IntRange(0, 8).Draw(t, "unknowns"), failures: 5, cas: 20, deletes: 10,
		})
		ops = append(ops, Operation{ID: 1000, Process: 1000, Kind: Get, Key: "other", Call: 1, Return: 2,
			Result: Result{Outcome: OK}})
		report := Check(context.Background(), ops, Options{})
		if report.Verdict != Pass {
			t.Fatalf("%s: %s\n%s", report.Verdict, report.Message, transcript(ops))
		}
	})
}

func TestOneStaleReadIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := legal(rolls(t), shape{
			operations: rapid.IntRange(30, 120).Draw(t, "operations"), spread: rapid.IntRange(0, 2).Draw(t, "spread"),
			unknowns: rapid.IntRange(0, 8).Draw(t, "unknowns"), failures: 5, cas: 20, deletes: 10,
		})
		if !staleRead(ops) {
			t.Skip("no read after two writes that do not overlap")
		}
		report := Check(context.Background(), ops, Options{})
		if report.Verdict != Fail {
			t.Fatalf("%s: %s\n%s", report.Verdict, report.Message, transcript(ops))
		}
		if e := report.Keys[0].Explanation; e.Pattern == Unordered {
			t.Fatalf("no pattern for a stale read: %s\n%s", e.Sentence, transcript(ops))
		}
	})
}

// rolls lets rapid choose a seed only: it cannot shrink a history, but it prints how to repeat it.
func rolls(t *rapid.T) dice {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).IntN
}

// transcript prints a history for a person.
func transcript(ops []Operation) string {
	var b strings.Builder
	for i := range ops {
		op := &ops[i]
		fmt.Fprintf(&b, "p%d [%d %d] %s %s\n", op.Process, op.Call, op.Return, op.Outcome, tells(op))
	}
	return b.String()
}
