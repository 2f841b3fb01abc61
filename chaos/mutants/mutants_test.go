package mutants

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every patch must fit the source as it is now, and the result must be a program that starts: a mutant that
// does not compile convicts nobody.
func TestEveryMutantAppliesAndCompiles(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	all, err := All()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d mutants, %v", len(all), err)
	}
	for _, m := range all {
		t.Run(m.ID, func(t *testing.T) {
			before := read(t, root, m)
			out := filepath.Join(t.TempDir(), "raftd")
			if err := m.Build(t.Context(), root, out); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.CommandContext(t.Context(), out, "version").CombinedOutput(); err != nil {
				t.Errorf("raftd version: %v: %s", err, said)
			}
			if after := read(t, root, m); after != before {
				t.Error("the shipped source was changed")
			}
		})
	}
}

func read(t *testing.T, root string, m Mutant) string {
	var all strings.Builder
	for _, file := range m.Patch {
		text, err := os.ReadFile(filepath.Join(root, file.Path))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestAnUnknownMutantNamesTheKnownOnes(t *testing.T) {
	_, err := Find("locl-read")
	if !errors.Is(err, ErrMutant) || !strings.Contains(err.Error(), "local-read") {
		t.Error(err)
	}
}

func TestAMutantMustTellItsStory(t *testing.T) {
	const diff = "\n--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n"
	for text, want := range map[string]string{
		"breaks: LIN\nseen: x\n\nstory\n":                 "no diff",
		"breaks: LIN\n\nstory\n" + diff:                   "must say what it breaks",
		"breaks: LIN\nseen: x\n" + diff:                   "must say what it breaks",
		"breaks: LIN\nsen: x\n\nstory\n" + diff:           `header "sen"`,
		"breaks: LIN\nseen: x\n\nstory\n" + diff + "rest": "expected --- a/FILE",
	} {
		if _, err := parse("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
	m, err := parse("x", "breaks: LIN\nseen: y\n\nstory\n"+diff)
	if err != nil || m.Breaks != "LIN" || m.Seen != "y" || m.Story != "story" || len(m.Patch) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}
