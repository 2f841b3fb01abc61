package linearizability

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// claimsOf is an honest history of two keys: what the servers say is what happened. Tests break one claim each.
func claimsOf() ([]Operation, []Log) {
	ms := time.Millisecond
	op := func(id int64, kind Kind, key, value string, call, ret int, index uint64) Operation {
		o := Operation{ID: id, Process: int(id), Node: fmt.Sprintf("n%d", id%3+1), Kind: kind, Key: key,
			Call: time.Duration(call) * ms, Return: time.Duration(ret) * ms}
		o.Outcome, o.Index, o.Term = OK, index, 1
		if kind == Get {
			if value != "" {
				o.Got = Value(value)
			}
			return o
		}
		o.Value = value
		return o
	}
	ops := []Operation{
		op(1, Put, "x", "x1", 10, 12, 1),
		op(2, Put, "y", "y1", 20, 22, 2),
		op(3, Get, "x", "x1", 30, 32, 2),
		op(4, Put, "x", "x2", 40, 42, 3),
		op(5, Get, "x", "x2", 50, 52, 3),
		op(6, CAS, "x", "x3", 60, 62, 4),
		op(7, CAS, "x", "x4", 70, 72, 5), // refused
		op(8, Delete, "y", "", 80, 82, 6),
		op(9, Get, "y", "", 90, 92, 6),
		op(10, Put, "y", "y2", 100, 0, 0), // unknown
		op(11, Get, "y", "y2", 110, 112, 7),
		op(12, Delete, "x", "", 120, 0, 0), // unknown
		op(13, Get, "x", "", 130, 132, 8),
		op(14, Get, "y", "y2", 140, 142, 8),
	}
	ops[5].Expect, ops[5].Swapped = "x2", true
	ops[6].Expect = "x1"
	for _, i := range []int{9, 11} {
		ops[i].Result = Result{Outcome: Unknown}
	}
	for i, version := range map[int]uint64{2: 1, 4: 3, 6: 4, 10: 7, 13: 7} {
		ops[i].Version = version
	}
	log := []LogEntry{
		{Index: 1, Term: 1, Kind: Put, Key: "x", Value: "x1"}, {Index: 2, Term: 1, Kind: Put, Key: "y", Value: "y1"},
		{Index: 3, Term: 1, Kind: Put, Key: "x", Value: "x2"}, {Index: 4, Term: 1, Kind: Put, Key: "x", Value: "x3"},
		{Index: 6, Term: 1, Kind: Delete, Key: "y"}, {Index: 7, Term: 1, Kind: Put, Key: "y", Value: "y2"},
		{Index: 8, Term: 1, Kind: Delete, Key: "x"},
	}
	return ops, []Log{{Node: "n1", From: 1, To: 8, Entries: log}, {Node: "n2", From: 1, To: 8, Entries: slices.Clone(log)}}
}

func TestAnHonestOrderPasses(t *testing.T) {
	ops, logs := claimsOf()
	r := Witness(ops, logs)
	if r.Verdict != Pass || r.Seen.Gaps != 0 || r.Seen.Filled != 2 || r.Seen.Open != 0 {
		t.Fatalf("%+v", r)
	}
	if want := "7 writes and 8 reads up to index 8, 2 of unknown outcome have their place, 2 logs with 14 entries"; r.Message != want {
		t.Errorf("message %q, want %q", r.Message, want)
	}
	// Without the logs nobody can say that the delete happened: the read of nothing is a gap, and one read in ten is allowed.
	if r.Unpatched != Undecided || !strings.Contains(r.UnpatchedMessage, "1 read that only those explain went unjudged") {
		t.Errorf("unpatched %s: %s", r.Unpatched, r.UnpatchedMessage)
	}
}

func TestFalseClaimsAreFound(t *testing.T) {
	for _, row := range []struct {
		name     string
		spoil    func(ops []Operation, logs []Log)
		rule     Rule
		sentence string
		ids      []int64
	}{
		{"one index for two writes", func(ops []Operation, logs []Log) { ops[1].Index = 1 }, UniqueIndexes,
			"put x1 (#1 at n2) at index 1 and put y1 (#2 at n3) at index 1, but an index holds one write", []int64{2, 1}},
		{"a write with two indexes", func(ops []Operation, logs []Log) { ops[4].Version = 2 }, UniqueIndexes,
			"get (#5 at n3) returned x2 and says that it was written at index 2, but put x2 (#4 at n2) has index 3", []int64{5, 4}},
		{"a write with another index in a log", func(ops []Operation, logs []Log) {
			logs[0].Entries[2].Index, logs[1].Entries[2].Index = 5, 5
		}, UniqueIndexes, "put x2 (#4 at n2) has index 3, but the log of n1 has it at index 5", []int64{4}},
		{"an old value at a new index", func(ops []Operation, logs []Log) { ops[4].Got, ops[4].Version = Value("x1"), 1 }, ReplayEqual,
			"get (#5 at n3) returned x1, written at index 1, at index 3, but there the newest write is put x2 (#4 at n2) at index 3", []int64{5, 1, 4}},
		{"a value from below its index", func(ops []Operation, logs []Log) { ops[3].Call, ops[3].Return, ops[4].Index = 40e6, 60e6, 2 }, ReplayEqual,
			"get (#5 at n3) returned x2 at index 2, but put x2 (#4 at n2) has the later index 3", []int64{5, 4}},
		{"a value that nobody wrote", func(ops []Operation, logs []Log) { ops[2].Got = Value("zzz") }, ReplayEqual,
			"get (#3 at n1) returned zzz at index 2, but no operation on this key ever wrote zzz", []int64{3}},
		{"a value whose write failed", func(ops []Operation, logs []Log) { ops[9].Outcome, ops[9].Return = Failed, 101e6 }, ReplayEqual,
			"get (#11 at n3) returned y2 at index 7 although put y2 (#10 at n2) did not happen", []int64{11, 10}},
		{"nothing where a value is", func(ops []Operation, logs []Log) { ops[4].Got, ops[4].Version = nil, 0 }, ReplayEqual,
			"get (#5 at n3) found nothing at index 3, but there the newest write is put x2 (#4 at n2) at index 3", []int64{5, 4}},
		{"a refusal without a reason", func(ops []Operation, logs []Log) { ops[6].Expect = "x3" }, ReplayEqual,
			"cas x3 to x4 (#7 at n2) refused at index 5, but there the newest write is cas x2 to x3 (#6 at n1) at index 4", []int64{7, 6}},
		{"a swap of what was not there", func(ops []Operation, logs []Log) { ops[5].Expect = "x1" }, ReplayEqual,
			"cas x1 to x3 (#6 at n1) swapped, written at index 1, at index 4, but there the newest write is put x2 (#4 at n2) at index 3", []int64{6, 1, 4}},
		{"a swap of unknown outcome that cannot have been", func(ops []Operation, logs []Log) {
			ops[9].Kind, ops[9].Expect = CAS, "y1"
		}, ReplayEqual, "cas y1 to y2 (#10 at n2) took effect at index 7, but there the newest write is delete (#8 at n3) at index 6", []int64{10, 8}},
		{"a stale read that says so, on another key than the write", func(ops []Operation, logs []Log) { ops[2].Index = 1 }, RealTime,
			"get (#3 at n1) returned x1 at index 1, although put y1 (#2 at n3) was acknowledged at index 2, 8 ms before it began", []int64{3, 2}},
		{"a write before one that was acknowledged", func(ops []Operation, logs []Log) { ops[0].Index, ops[1].Index = 2, 1 }, RealTime,
			"put y1 (#2 at n3) was acknowledged at index 1, although put x1 (#1 at n2) was acknowledged at index 2, 8 ms before it began", []int64{2, 1}},
		{"an index in two terms", func(ops []Operation, logs []Log) { ops[2].Term = 2 }, OneTerm,
			"index 2 is of term 1 for put y1 (#2 at n3) and of term 2 for get (#3 at n1)", []int64{3, 2}},
		{"a term that goes back", func(ops []Operation, logs []Log) {
			ops[3].Term, ops[4].Term = 9, 9
			logs[0].Entries[2].Term, logs[1].Entries[2].Term = 9, 9
		}, OneTerm,
			"index 4 of cas x2 to x3 (#6 at n1) is of term 1, but the earlier index 3 of get (#5 at n3) of the later term 9", []int64{6, 5}},
		{"members that differ", func(ops []Operation, logs []Log) { logs[1].Entries[5].Value = "y1" }, LogsAgree,
			"at index 7 the log of n1 has put y2 on y and that of n2 has put y1 on y", nil},
		{"a member with one write more", func(ops []Operation, logs []Log) {
			logs[1].Entries = append(logs[1].Entries, LogEntry{Index: 5, Term: 1, Kind: Delete, Key: "other"})
		}, LogsAgree, "between index 1 and 8 the log of n2 has 1 entry that the log of n1 does not have", nil},
		{"an acknowledged write that a log lacks", func(ops []Operation, logs []Log) { logs[1].Entries = slices.Delete(logs[1].Entries, 1, 2) }, LogComplete,
			"put y1 (#2 at n3) was acknowledged at index 2, but the log of n2, which tells all from 1 to 8, does not have it", []int64{2}},
		{"an acknowledged write that became another", func(ops []Operation, logs []Log) {
			logs[0].Entries[1].Key, logs[1].Entries[1].Key = "q", "q"
		}, LogComplete, "put y1 (#2 at n3) was acknowledged at index 2, but there the log of n1 has put y1 on q", []int64{2}},
		{"a failed write in a log", func(ops []Operation, logs []Log) {
			ops[9].Outcome, ops[9].Return, ops[9].Error = Failed, 101e6, "not leader"
		}, LogFounded, `the log of n1 has put y2 (#10 at n2) at index 7 although it did not happen: it had failed ("not leader")`, []int64{10}},
		{"a write in a log that nobody asked for", func(ops []Operation, logs []Log) {
			logs[0].Entries[5].Value, logs[1].Entries[5].Value = "y9", "y9"
		}, LogFounded, "the log of n1 has y9 on y at index 7, but no operation wrote that", nil},
		{"a delete in a log that nobody asked for", func(ops []Operation, logs []Log) {
			ops[11].Outcome, ops[11].Return = Failed, 121e6
		}, LogFounded, "the log of n1 deletes x at index 8, but at most 0 operations of unknown outcome can have done that", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			ops, logs := claimsOf()
			row.spoil(ops, logs)
			r := Witness(ops, logs)
			if r.Verdict != Fail {
				t.Fatalf("%s: %s", r.Verdict, r.Message)
			}
			for _, v := range r.Violations {
				if v.Rule == row.rule && v.Sentence == row.sentence && slices.Equal(v.Operations, row.ids) {
					return
				}
			}
			t.Errorf("want %s: %s %v", row.rule, row.sentence, row.ids)
			for _, v := range r.Violations {
				t.Errorf("got  %s: %s %v", v.Rule, v.Sentence, v.Operations)
			}
		})
	}
}

// A read that only a write of unknown outcome explains is not judged, and never guessed about.
func TestAGapIsCountedAndNotGuessed(t *testing.T) {
	ops, logs := claimsOf()
	r := Witness(ops, nil)
	if r.Seen.Gaps != 1 || r.Seen.Open != 1 || r.Broken != 0 {
		t.Errorf("without logs: %+v", r)
	}
	for i := range logs { // a log that ends before the delete fills nothing
		logs[i].To, logs[i].Entries = 7, logs[i].Entries[:6]
	}
	if r = Witness(ops, logs); r.Seen.Gaps != 1 || r.Broken != 0 {
		t.Errorf("with a short log: %+v", r)
	}
	for i := range logs { // one that says that nothing happened there is a proof
		logs[i].To = 8
	}
	if r = Witness(ops, logs); r.Verdict != Fail || r.Unpatched != Undecided {
		t.Errorf("with a log that has no delete: %+v", r)
	}
}

func TestTwoDeletesOfUnknownOutcomeAreNotToldApart(t *testing.T) {
	ops, logs := claimsOf()
	second := ops[11]
	second.ID, second.Process, second.Call = 15, 15, 150*time.Millisecond // after the read that one of them explains
	ops = append(ops, second)
	r := Witness(ops, logs)
	if r.Verdict != Pass || r.Seen.Filled != 1 || r.Seen.Open != 2 || r.Seen.Gaps != 0 {
		t.Errorf("%+v", r)
	}
}

func TestNoClaimIsNothingToLookAt(t *testing.T) {
	ops, logs := claimsOf()
	for i := range ops {
		ops[i].Index, ops[i].Version, ops[i].Term = 0, 0, 0
	}
	for _, l := range [][]Log{nil, logs} {
		if r := Witness(ops, l); !r.Nothing || r.Verdict != Undecided || r.Message != "nothing to look at: no reply carries a log index" {
			t.Errorf("%+v", r)
		}
	}
	if r := Witness(nil, nil); r.Verdict != Undecided {
		t.Errorf("%+v", r)
	}
}

func TestADeleteOfNothingIsARead(t *testing.T) {
	ops, _ := claimsOf()
	d := Operation{ID: 15, Process: 15, Node: "n1", Kind: Delete, Key: "x", Call: 150e6, Return: 152e6}
	d.Outcome, d.NoEffect, d.Index = OK, true, 8
	if r := Witness(append(ops, d), nil); r.Broken != 0 || r.Seen.Gaps != 2 {
		t.Errorf("%+v", r)
	}
	d.Key = "y"
	r := Witness(append(ops, d), nil)
	if want := "delete (#15 at n1) found nothing to delete at index 8, but there the newest write is put y2 (#10 at n2) at index 7"; r.Verdict != Fail || r.Violations[0].Sentence != want {
		t.Errorf("%+v", r)
	}
}

// dicey feeds a generator from rapid, which shrinks what fails.
func dicey(t *rapid.T) dice {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "roll") }
}

// An honest server is never convicted, whatever of its logs is told.
func TestHonestClaimsAreNeverConvicted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roll := dicey(t)
		ops, log := legalLogged(roll, shape{operations: 1 + roll(30), spread: roll(6), unknowns: 40, failures: 10, cas: 25, deletes: 20})
		last := uint64(len(ops) + 1)
		full := Log{Node: "n1", From: 1, To: last, Entries: log}
		part := Log{Node: "n2", From: uint64(roll(int(last))) + 1}
		part.To = part.From + uint64(roll(10))
		for _, e := range log {
			if e.Index >= part.From && e.Index <= part.To {
				part.Entries = append(part.Entries, e)
			}
		}
		for _, logs := range [][]Log{nil, {part}, {full}, {full, part}} {
			r := Witness(ops, logs)
			if r.Broken != 0 || r.Verdict == Fail {
				t.Fatalf("%d logs: %s", len(logs), r.Message)
			}
			if len(logs) > 0 && logs[0].Node == "n1" && r.Seen.Gaps != 0 {
				t.Fatalf("a full log leaves gaps: %s", r.Message)
			}
		}
	})
}

// What passes without a gap is linearizable by the definition: the claimed order is the proof.
func TestAWitnessedOrderIsLinearizable(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	roll := random.IntN
	impossible, convicted, passed := 0, 0, 0
	for range 20_000 {
		ops, log := legalLogged(roll, shape{operations: 2 + roll(6), spread: roll(4), unknowns: 30, failures: 5, cas: 25, deletes: 20})
		disturb(roll, ops)
		for range roll(2) {
			disturb(roll, ops)
		}
		for i := range ops {
			if ops[i].Outcome != OK {
				ops[i].Index, ops[i].Term, ops[i].Version = 0, 0, 0
			}
		}
		if wellFormed(ops) != nil {
			continue
		}
		r := Witness(ops, []Log{{Node: "n1", From: 1, To: uint64(len(ops) + 1), Entries: log}})
		legal := possible(ops)
		switch {
		case r.Verdict == Pass && r.Seen.Gaps == 0 && r.Seen.Unclaimed == 0 && !legal:
			t.Fatalf("PASS over a history that has no order: %s\n%+v\n%+v", r.Message, ops, log)
		case r.Verdict == Pass:
			passed++
		case r.Verdict == Fail && !legal:
			convicted++
		}
		if !legal && r.Seen.Unclaimed == 0 {
			impossible++
			if r.Verdict != Fail {
				t.Fatalf("%s over a history that has no order, though nothing is open: %s\n%+v\n%+v", r.Verdict, r.Message, ops, log)
			}
		}
	}
	t.Logf("%d impossible, %d of them convicted, %d passed", impossible, convicted, passed)
	if impossible < 1000 || passed < 1000 || convicted < impossible*9/10 {
		t.Errorf("the histories do not test much: %d impossible, %d of them convicted, %d passed", impossible, convicted, passed)
	}
}

// BenchmarkWitness is a million operations of 200 clients on 10,000 keys, one in fifty of unknown outcome.
func BenchmarkWitness(b *testing.B) {
	ops, log := million(1_000_000)
	for b.Loop() {
		if r := Witness(ops, []Log{{Node: "n1", From: 1, To: 1 << 40, Entries: log}}); r.Verdict != Pass || r.Seen.Gaps != 0 {
			b.Fatalf("%+v", r)
		}
	}
}

func million(n int) ([]Operation, []LogEntry) {
	random := rand.New(rand.NewPCG(1, 1))
	type held struct {
		value   string
		version uint64
	}
	keys := make([]held, 10_000)
	ops := make([]Operation, n)
	var log []LogEntry
	var index uint64
	for i := range ops {
		k := random.IntN(len(keys))
		at := time.Duration(i+200) * time.Microsecond
		op := &ops[i]
		*op = Operation{ID: int64(i + 1), Process: i, Node: "n1", Key: fmt.Sprintf("k%d", k),
			Call: at - time.Duration(random.IntN(100_000)), Return: at + time.Duration(random.IntN(100_000)), Kind: Get}
		op.Outcome = OK
		if random.IntN(2) == 0 {
			index++
			op.Kind, op.Value, op.Index = Put, fmt.Sprintf("v%d", i), index
			keys[k] = held{op.Value, index}
			log = append(log, LogEntry{Index: index, Kind: Put, Key: op.Key, Value: op.Value})
			if random.IntN(25) == 0 {
				op.Result, op.Return = Result{Outcome: Unknown}, 0
			}
			continue
		}
		op.Index, op.Version = index, keys[k].version
		if keys[k].version > 0 {
			op.Got = Value(keys[k].value)
		}
	}
	return ops, log
}
