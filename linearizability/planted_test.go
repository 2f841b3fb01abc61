package linearizability

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted are histories with one mistake each, and what must be said of it.
var planted = []struct {
	file     string
	pattern  Pattern
	sentence string
	ids      []int64
}{
	{"stale-read", StaleRead,
		"get (#5 at n3) returned v12 although put v13 (#3 at n1) was acknowledged 84 ms before it began", []int64{5, 3, 1}},
	{"lost-write", LostWrite,
		"put v13 (#2 at n2) was acknowledged but is lost: get (#3 at n1) returned v12, having begun 84 ms later, and no read ever returned v13", []int64{3, 2, 1}},
	{"lost-first-write", LostWrite,
		"get (#4 at n2) found nothing although put v12 (#2 at n1) was acknowledged 104 ms before it began, and no delete can have removed it", []int64{4, 2}},
	{"resurrected-delete", ResurrectedWrite,
		"get (#4 at n3) returned v5 although delete (#2 at n1) was acknowledged 84 ms before it began, and v5 was there before that: put v5 (#1 at n1) was acknowledged", []int64{4, 2, 1}},
	{"resurrected-after-unknown-delete", ResurrectedWrite,
		"get (#4 at n3) returned v5 although get (#3 at n2) found nothing 30 ms before it began, and v5 was there before that: put v5 (#1 at n1) was acknowledged", []int64{4, 3, 1}},
	{"phantom-failure", PhantomFailure,
		`get (#3 at n3) returned v2 although put v2 (#2 at n2) had failed, which promised that it did not happen and never would ("not leader")`, []int64{3, 2}},
	{"phantom-failed-delete", PhantomFailure,
		`get (#3 at n3) found nothing although put v1 (#1 at n1) was acknowledged 26 ms before it began: only delete (#2 at n2) can have removed it, and that had failed ("not leader")`, []int64{3, 2, 1}},
	{"phantom-refused-cas", PhantomFailure,
		"get (#4 at n3) returned v3 although cas v1 to v3 (#3 at n2) had been refused and so wrote nothing", []int64{4, 3}},
	{"double-swap", DoubleSwap,
		"cas v1 to v2 (#2 at n2) and cas v1 to v3 (#3 at n3) both swapped, but v1 was written once and can be taken once", []int64{3, 2}},
	{"swapped-away-and-back", StaleRead,
		"get (#3 at n1) returned v1 although cas v1 to v2 (#2 at n2) was acknowledged 12 ms before it began", []int64{3, 2, 1}},
	{"never-written", NeverWritten,
		"get (#2 at n2) returned v1x, but no operation on this key ever wrote v1x", []int64{2}},
	{"future-read", FutureRead,
		"get (#2 at n2) returned v2 8 ms before put v2 (#3 at n1) was even called", []int64{2, 3}},
	{"wrong-refusal", WrongRefusal,
		"cas v1 to v2 (#2 at n2) refused although the key certainly held v1: put v1 (#1 at n1) was acknowledged 6 ms before it began, and nothing else was written since", []int64{2, 1}},
	{"reads-swap-order", StaleRead,
		"get (#5 at n3) returned v1 although get (#4 at n3) returned v2 4 ms before it began; v2 is the newer of the two, for get (#4 at n3) returned v2 2 ms after get (#3 at n3) returned v1", []int64{5, 4, 3}},
	{"no-pattern", Unordered,
		"no order explains get (#7 at n1) returned v2 in [0.070 s, 0.072 s]: everything that had returned before can be ordered, but not together with it; " +
			"around it: put v1 (#1 at n1) was acknowledged in [0.010 s, 0.012 s], delete (#2 at n2) was acknowledged in [0.020 s, 0.060 s], " +
			"cas v1 to v2 (#3 at n3) swapped in [0.021 s, 0.061 s], cas v1 to v3 (#4 at n1) refused in [0.022 s, 0.062 s], " +
			"get (#5 at n2) returned v1 in [0.023 s, 0.040 s], get (#6 at n3) found nothing in [0.024 s, 0.042 s]",
		[]int64{7, 1, 2, 3, 4, 5, 6}},
}

func read(t testing.TB, file string) History {
	t.Helper()
	h, err := ReadFile(filepath.Join("testdata", file+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPlantedViolationsAreFound(t *testing.T) {
	for _, p := range planted {
		t.Run(p.file, func(t *testing.T) {
			h := read(t, p.file)
			if possible(h.Operations) {
				t.Fatal("the planted history is linearizable: the test is wrong")
			}
			report := Check(context.Background(), h.Operations, Options{})
			if report.Verdict != Fail || len(report.Failing()) != 1 {
				t.Fatalf("verdict %s (%s), want FAIL of one key", report.Verdict, report.Message)
			}
			k := report.Failing()[0]
			if k.Explanation == nil || k.Message != k.Explanation.Sentence {
				t.Fatalf("message %q does not explain: %+v", k.Message, k.Explanation)
			}
			if k.Explanation.Pattern != p.pattern || k.Message != p.sentence {
				t.Errorf("pattern %s: %s\nwant    %s: %s", k.Explanation.Pattern, k.Message, p.pattern, p.sentence)
			}
			if !slices.Equal(k.Explanation.Operations, p.ids) {
				t.Errorf("operations %v, want %v", k.Explanation.Operations, p.ids)
			}
		})
	}
}

// The two ways of finding a violation are independent: each must find what it can alone.
func TestPorcupineAloneFindsEveryPlantedViolation(t *testing.T) {
	for _, p := range planted {
		ops := read(t, p.file).Operations
		verdict, _, err := checker{newRegister: newRegister}.decide(t.Context(), newKeyHistory("k", ops), Options{}.withDefaults())
		if verdict != Fail || err != nil {
			t.Errorf("%s: %s, %v", p.file, verdict, err)
		}
	}
}

func TestHonestHistoriesPass(t *testing.T) {
	files, err := filepath.Glob("testdata/honest*.jsonl")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		t.Run(name, func(t *testing.T) {
			h := read(t, name)
			if (name == "honest-torn") != (h.Torn != "") {
				t.Errorf("torn: %q", h.Torn)
			}
			report := Check(context.Background(), h.Operations, Options{})
			if report.Verdict != Pass {
				t.Errorf("verdict %s: %s %+v", report.Verdict, report.Message, report.Keys)
			}
		})
	}
}
