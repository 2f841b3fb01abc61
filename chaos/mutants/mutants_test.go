package mutants

import (
	"errors"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every patch must fit the source as it is now, and the result must compile: a mutant that does not convicts nobody. A type
// check finds what a compiler would refuse, in a fraction of its time.
func TestEveryMutantAppliesAndCompiles(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	all, err := All()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d mutants, %v", len(all), err)
	}
	packages := compiled(t, root)
	for _, m := range all {
		t.Run(m.ID, func(t *testing.T) {
			changed, err := m.Apply(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, pkg := range m.Packages() {
				if err := packages.check(filepath.Join(root, pkg), changed, root); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// compiler checks packages against what the go command has compiled of those that they import.
type compiler struct {
	files    *token.FileSet
	importer types.Importer
}

func compiled(t *testing.T, root string) compiler {
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(said)) {
		name, export, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[name] = export
	}
	files := token.NewFileSet()
	return compiler{files, importer.ForCompiler(files, "gc", func(name string) (io.ReadCloser, error) { return os.Open(exports[name]) })}
}

func (c compiler) check(dir string, changed map[string]string, root string) error {
	pkg, err := build.ImportDir(dir, 0)
	if err != nil {
		return err
	}
	var parsed []*ast.File
	for _, name := range pkg.GoFiles {
		at := filepath.Join(dir, name)
		below, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		var source any
		if text, ok := changed[filepath.ToSlash(below)]; ok {
			source = text
		}
		file, err := parser.ParseFile(c.files, at, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		parsed = append(parsed, file)
	}
	_, err = (&types.Config{Importer: c.importer}).Check(pkg.ImportPath, c.files, parsed, nil)
	return err
}

// What is built has the bug in it, and the source stays as it was.
func TestAMutantIsAProgramAndTheSourceStays(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Find("local-read")
	if err != nil {
		t.Fatal(err)
	}
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
		"kind: C\nbreaks: LIN\nseen: x\n\nstory\n":                 "no diff",
		"kind: C\nbreaks: LIN\n\nstory\n" + diff:                   "must say what it breaks",
		"kind: C\nbreaks: LIN\nseen: x\n" + diff:                   "must say what it breaks",
		"kind: X\nbreaks: LIN\nseen: x\n\nstory\n" + diff:          `kind "X"`,
		"kind: C\nbreaks: LIN\nsen: x\n\nstory\n" + diff:           `header "sen"`,
		"kind: C\nbreaks: LIN\nseen: x\n\nstory\n" + diff + "rest": "expected --- a/FILE",
	} {
		if _, err := parse("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
	m, err := parse("x", "kind: C\nbreaks: LIN\nseen: y\n\nstory\n"+diff)
	if err != nil || m.Breaks != "LIN" || m.Seen != "y" || m.Story != "story" || len(m.Patch) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}
