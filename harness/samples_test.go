package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSamplesAreReadBackAsTheyWereSeen(t *testing.T) {
	run, err := CreateRun(filepath.Join(t.TempDir(), "a [run]*"), "default", 7, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if none, err := ReadSamples(run.Dir()); err != nil || len(none) != 0 {
		t.Errorf("before there are any: %v, %v", none, err)
	}
	want := map[string][]Sample{
		"n1": {
			{At: 1, Node: "n1", Status: &Status{ID: "1", Role: "leader", Leader: "a:1", Term: 3, Commit: 9, Applied: 8, Hash: "ab", Voters: []string{"a:1", "b:2"}}},
			{At: 3, Node: "n1", Error: "connection refused"},
		},
		"n2": {{At: 2, Node: "n2", Status: &Status{Role: "follower", Term: 3}}},
	}
	samples := run.Samples()
	for _, s := range append(want["n1"], want["n2"]...) {
		samples.Write(s)
	}
	if err := samples.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSamples(run.Dir())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestATornLastSampleIsLeftOutAndADamagedOneIsSaid(t *testing.T) {
	run, err := CreateRun(t.TempDir(), "default", 7, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := run.Node("n1")
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"at_ns":1,"node":"n1","status":{"role":"leader","term":3,"commit":1,"applied":1}}` + "\n"
	for text, lines := range map[string]struct {
		want  int
		fails string
	}{
		whole + whole[:20]:              {1, ""},
		whole + "garbage\n" + whole:     {1, "line 2"},
		whole + strings.Repeat("x", 40): {1, ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, samplesFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSamples(run.Dir())
		if len(got["n1"]) != lines.want || (err == nil) != (lines.fails == "") || err != nil && !strings.Contains(err.Error(), lines.fails) {
			t.Errorf("%q: %d samples, %v", text, len(got["n1"]), err)
		}
	}
}

func TestSamplesThatCannotBeWrittenAreSaidOnce(t *testing.T) {
	run, err := CreateRun(t.TempDir(), "default", 7, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(run.Path("nodes"), nil, 0o644); err != nil { // where a directory must be
		t.Fatal(err)
	}
	samples := run.Samples()
	samples.Write(Sample{Node: "n1"})
	samples.Write(Sample{Node: "n2"})
	if err := samples.Close(); err == nil || strings.Count(err.Error(), "run directory") != 1 {
		t.Errorf("%v", err)
	}
}
