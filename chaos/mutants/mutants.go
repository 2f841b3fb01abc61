// Package mutants is the bug museum: mistakes that real consensus stores shipped, each planted in raftd by one
// small patch. A patch is applied to a copy, never to the source that ships, and a lab that does not convict
// the result has a hole.
//
// A mutant is one file, ID.patch: header lines (kind, breaks, seen, scenario), a paragraph that says what the code does wrong
// and which schedule shows it, and a unified diff against the module.
package mutants

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"raftlab/harness/scratch"
	"raftlab/internal/nearest"
)

//go:embed *.patch
var files embed.FS

// ErrMutant is returned for an id that no mutant has.
var ErrMutant = errors.New("mutants: mutant")

// Kind says what it takes to show a mutant.
type Kind string

const (
	Core     Kind = "C" // an order of messages, of clients, or nothing at all
	Disk     Kind = "D" // a disk that loses, tears or refuses
	Paused   Kind = "P" // a process that is stopped, killed or wiped
	Liveness Kind = "L" // time: something never happens
	Checker  Kind = "K" // it is in a checker of the lab, which then judges wrongly
	Trap     Kind = "T" // it is no bug, and must not be found
)

// Mutant is one planted bug.
type Mutant struct {
	ID     string
	Kind   Kind
	Breaks string // the property: LIN, ES, LC, ...
	Seen   string // where it was seen in the wild
	Story  string // what is wrong, which schedule shows it, what breaks
	// Scenario is the one of `raftlab run`, with its flags, that is for it; empty where no client of the lab can see it.
	Scenario string
	Patch    Patch
}

// All lists the museum by id. A file that does not parse is a bug of ours: the error names it.
func All() ([]Mutant, error) {
	names, err := fs.Glob(files, "*.patch")
	if err != nil {
		return nil, err
	}
	var all []Mutant
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(name, ".patch"), string(raw))
		if err != nil {
			return nil, fmt.Errorf("mutants: %s: %w", name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// Find names the known ids where it finds none.
func Find(id string) (Mutant, error) {
	all, err := All()
	if err != nil {
		return Mutant{}, err
	}
	var known []string
	for _, m := range all {
		if m.ID == id {
			return m, nil
		}
		known = append(known, m.ID)
	}
	return Mutant{}, fmt.Errorf("%w %q is not known; %s", ErrMutant, id, nearest.Hint(id, known, "`raftlab list` prints them, and knows a new patch after `make build`"))
}

func parse(id, text string) (Mutant, error) {
	m := Mutant{ID: id}
	head, diff, found := strings.Cut(text, "\n--- ")
	if !found {
		return m, errors.New("there is no diff in it")
	}
	meta, story, _ := strings.Cut(head, "\n\n")
	for line := range strings.Lines(meta) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "kind":
			m.Kind = Kind(value)
		case "breaks":
			m.Breaks = value
		case "seen":
			m.Seen = value
		case "scenario":
			m.Scenario = value
		default:
			return m, fmt.Errorf("header %q is none of kind, breaks, seen, scenario", field)
		}
	}
	m.Story = strings.TrimSpace(story)
	if !strings.Contains("CDPLKT", string(m.Kind)) || len(m.Kind) != 1 {
		return m, fmt.Errorf("kind %q is none of C, D, P, L, K, T", m.Kind)
	}
	if m.Breaks == "" || m.Seen == "" || m.Story == "" {
		return m, errors.New("it must say what it breaks, where it was seen, and its story")
	}
	var err error
	m.Patch, err = ParsePatch("--- " + diff)
	return m, err
}

// Build compiles raftd with the bug in it from the module at root, into out. It leaves root alone: go build
// -overlay reads the patched copies from a directory that is removed afterwards.
func (m Mutant) Build(ctx context.Context, root, out string) error {
	return m.build(ctx, root, out, "./node/cmd/raftd")
}

func (m Mutant) build(ctx context.Context, root, out, pkg string) error {
	copies, err := scratch.Make()
	if err != nil {
		return err
	}
	defer copies.Close()
	overlay, err := m.Overlay(root, copies.Path())
	if err != nil {
		return err
	}
	return GoBuild(ctx, root, out, pkg, "-overlay", overlay)
}

// Overlay writes the patched copies into a directory, and beside them the file that go build and go test take as
// -overlay.
func (m Mutant) Overlay(root, dir string) (string, error) {
	changed, err := m.Apply(root)
	if err != nil {
		return "", err
	}
	replaced := make(map[string]string)
	for i, file := range m.Patch {
		patched := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(patched, []byte(changed[file.Path]), 0o600); err != nil {
			return "", err
		}
		replaced[filepath.Join(root, filepath.FromSlash(file.Path))] = patched
	}
	raw, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}

// Apply returns the text of each patched file, by its path below root.
func (m Mutant) Apply(root string) (map[string]string, error) {
	changed := make(map[string]string)
	for _, file := range m.Patch {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file.Path)))
		if err != nil {
			return nil, fmt.Errorf("mutants: %s: %w", m.ID, err)
		}
		if changed[file.Path], err = file.Apply(string(text)); err != nil {
			return nil, fmt.Errorf("mutants: %s: %w", m.ID, err)
		}
	}
	return changed, nil
}

// Packages are the directories that the patch touches, as go build names them from the module's root.
func (m Mutant) Packages() []string {
	var all []string
	for _, file := range m.Patch {
		if pkg := "./" + path.Dir(file.Path); !slices.Contains(all, pkg) {
			all = append(all, pkg)
		}
	}
	return all
}

// GoBuild compiles one package of the module at root as a static binary, so that it runs in an empty image.
func GoBuild(ctx context.Context, root, out, pkg string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", out}, flags...)
	build := exec.CommandContext(ctx, "go", append(args, pkg)...)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	gently(build)
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", pkg, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// tidies is how long a program that was interrupted may take to remove what it has made.
const tidies = 20 * time.Second

// gently ends a command whose context ends by an interrupt: the go command then removes its work directory, and a lab heals and
// removes its cluster. What does not end by it is killed.
func gently(c *exec.Cmd) {
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = tidies
}

// ModuleRoot finds the source of raftlab from dir upwards.
func ModuleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module raftlab\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("mutants: %s is not inside the source of raftlab; run this in a clone of it", dir)
		}
	}
}
