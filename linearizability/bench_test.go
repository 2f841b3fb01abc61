package linearizability

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// keysOf makes a history of many keys, of which each is legal by construction.
func keysOf(keys int, s shape) []Operation {
	var all []Operation
	for key := range keys {
		random := rand.New(rand.NewPCG(uint64(key), 5))
		process := len(all)
		for _, op := range legal(random.IntN, s) {
			prefix := "k" + strconv.Itoa(key)
			op.ID, op.Process, op.Key = int64(len(all)+1), op.Process+process, prefix
			if op.Kind == Put || op.Kind == CAS {
				op.Value = prefix + op.Value
			}
			if op.Kind == CAS {
				op.Expect = prefix + op.Expect
			}
			if op.Got != nil {
				op.Got = Value(prefix + *op.Got)
			}
			all = append(all, op)
		}
	}
	return all
}

// The limits of the README come from here: go test -bench Check -benchtime 1x.
func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name     string
		keys     int
		perKey   int
		spread   int // about two operations in flight for each
		unknowns int
	}{
		{"the rule/100k", 1000, 100, 2, 2},
		{"the rule/10k", 100, 100, 2, 2},
		{"500 per key", 200, 500, 2, 2},
		{"many unknowns", 1000, 100, 2, 20},
		{"10 in flight", 100, 100, 5, 2},
		{"20 in flight", 10, 100, 10, 2},
		{"30 in flight", 10, 100, 15, 2},
		{"one key/10k", 1, 10000, 2, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			ops := keysOf(c.keys, shape{operations: c.perKey, spread: c.spread, unknowns: c.unknowns, cas: 20, deletes: 10})
			var report Report
			for b.Loop() {
				report = Check(b.Context(), ops, Options{KeyTimeout: 2 * time.Second})
			}
			decided, flight := 0, 0
			for _, k := range report.Keys {
				if k.Verdict == Pass {
					decided++
				}
				flight = max(flight, k.InFlight)
			}
			b.ReportMetric(float64(len(ops))/report.Took.Seconds(), "ops/s")
			b.ReportMetric(100*float64(decided)/float64(len(report.Keys)), "%decided")
			b.ReportMetric(float64(flight), "in-flight")
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	r, err := Create(b.TempDir()+"/history.jsonl", Header{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		op, err := r.Invoke(Operation{Kind: Put, Key: "k", Value: strconv.Itoa(i), Node: "n1"})
		if err == nil {
			_, err = r.Return(op.ID, Result{Outcome: OK})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	r := newRecorder(b, &file)
	for i := range 10000 {
		op := invoke(b, r, Operation{Kind: Put, Key: fmt.Sprintf("k%d", i%100), Value: strconv.Itoa(i), Node: "n1"})
		giveBack(b, r, op.ID, Result{Outcome: OK, Index: uint64(i), Term: 1, ServedBy: "n1"})
	}
	for b.Loop() {
		if _, err := Read(bytes.NewReader(file.Bytes())); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
	b.ReportMetric(10000*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
