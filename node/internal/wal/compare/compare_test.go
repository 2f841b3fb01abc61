package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The table in the README is the one that is measured, and our column is right in every row. Numbers are not compared.
func TestOurColumnIsRightAndTheTableIsTheOneThatIsMeasured(t *testing.T) {
	table, err := measure(t.TempDir(), stores, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if o := table[i][0]; !slices.Contains(r.right, o.kind) {
			t.Errorf("%s: ours %s: %s", r.damage, o.text(r.right), o.says)
		}
	}
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	stands, err := published(string(readme))
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`\d+ of `)
	want := strings.Split(numbers.ReplaceAllString(table.markdown(stores), "N of "), "\n")
	for i, line := range strings.Split(numbers.ReplaceAllString(stands, "N of "), "\n") {
		if i >= len(want) || line != want[i] {
			t.Errorf("README.md says\n%s\nmeasured was\n%s\ngo run . -write mends it", line, want[min(i, len(want)-1)])
		}
	}
}

// A judge that cannot find a loss would call every store right.
func TestTheJudgeTellsALossFromWrongBytesFromARefusal(t *testing.T) {
	acked := entries(0, 10, 50, "a")
	began := entries(10, 2, 50, "b")
	v := variant{acked: acked, began: began}
	bad := slices.Clone(acked)
	bad[3].data = append([]byte("x"), bad[3].data[1:]...)
	for _, c := range []struct {
		what string
		read []entry
		err  error
		want kind
	}{
		{"all", acked, nil, kept},
		{"all and part of what was begun", append(slices.Clone(acked), began[0]), nil, kept},
		{"one missing in the middle", slices.Delete(slices.Clone(acked), 4, 5), nil, lost},
		{"none", nil, nil, lost},
		{"other bytes", bad, nil, wrong},
		{"an entry that nobody wrote", append(slices.Clone(acked), entry{99, nil}), nil, wrong},
		{"an error", nil, os.ErrInvalid, refused},
	} {
		if got := judge(v, c.read, c.err); got.kind != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
