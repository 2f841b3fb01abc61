package linearizability

import (
	"strings"
	"testing"
	"time"
)

// appended is an honest history of a list: a is put, b and c are appended, d has an unknown outcome, e is refused.
func appended() []Operation {
	op := func(id int64, kind Kind, expect, value string, at int) Operation {
		o := Operation{ID: id, Process: int(id), Node: "n1", Kind: kind, Key: "k", Expect: expect, Value: value,
			Call: time.Duration(at) * time.Millisecond, Return: time.Duration(at+5) * time.Millisecond}
		o.Outcome = OK
		if kind == Get {
			o.Got, o.Value = Value(value), ""
		}
		o.Swapped = kind == CAS
		return o
	}
	ops := []Operation{
		op(1, Put, "", "a", 10), op(2, Get, "", "a", 20), op(3, CAS, "a", "a b", 30), op(4, Get, "", "a b", 40),
		op(5, CAS, "a b", "a b c", 50), op(6, CAS, "a b", "a b e", 60), op(7, CAS, "a b c", "a b c d", 70), op(8, Get, "", "a b c d", 80), op(9, Get, "", "a b c d", 90),
	}
	ops[5].Swapped = false
	ops[6].Result, ops[6].Return = Result{Outcome: Unknown}, 0
	return ops
}

func TestListsThatLoseOrDoubleAreFound(t *testing.T) {
	if r := CheckLists(appended()); r.Verdict != Pass || r.Lists != 4 || r.Elements != 5 {
		t.Errorf("an honest history: %+v", r)
	}
	for says, spoil := range map[string]func([]Operation){
		"get (#8 at n1) of k shows b twice":                                         func(ops []Operation) { ops[7].Got, ops[8].Got = Value("a b b c d"), Value("a b b c d") },
		"get (#8 at n1) of k shows x, which nobody appended":                        func(ops []Operation) { ops[7].Got = Value("a b c x") },
		"shows e, though the append of e (#6 at n1) did not happen: it was refused": func(ops []Operation) { ops[7].Got = Value("a b c e") },
		"did not happen: it had failed (\"no leader\")": func(ops []Operation) {
			ops[6].Outcome, ops[6].Error, ops[6].Return = Failed, "no leader", 75e6
		},
		"get (#9 at n1) of k does not show c, though the append of c (#5 at n1) was acknowledged 35 ms before it began": func(ops []Operation) { ops[8].Got = Value("a b") },
		"get (#9 at n1) of k shows another order than get (#8 at n1) did":                                               func(ops []Operation) { ops[8].Got = Value("b a c d") },
		"shows 3 elements, and get (#8 at n1) had seen 4 5.0 ms before it began":                                        func(ops []Operation) { ops[8].Got = Value("a b c") },
		"get (#2 at n1) of k shows b before it was appended":                                                            func(ops []Operation) { ops[1].Got = Value("a b") },
		"get (#9 at n1) of k found nothing, though the append of a (#1 at n1) was acknowledged 75 ms before it began":   func(ops []Operation) { ops[8].Got = nil },
	} {
		ops := appended()
		spoil(ops)
		r := CheckLists(ops)
		if r.Verdict != Fail || !strings.Contains(strings.Join(r.First, "\n"), strings.ReplaceAll(says, "5.0 ms", "5 ms")) {
			t.Errorf("want %q: %+v", says, r)
		}
	}
	if r := CheckLists(nil); r.Verdict != Undecided {
		t.Errorf("nothing: %+v", r)
	}
	if r := CheckLists(appended()[:1]); r.Verdict != Undecided {
		t.Errorf("nothing read: %+v", r)
	}
	if r := CheckLists(append(appended(), appended()...)); r.Verdict != Undecided {
		t.Errorf("ill-formed: %+v", r)
	}
}
