package mutants

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Patch is a unified diff over existing files. Only Go, make and Docker may be assumed where the lab runs, so
// it does not need git or patch.
type Patch []FilePatch

// FilePatch is what changes in one file.
type FilePatch struct {
	Path  string // below the module's root, with slashes
	hunks []hunk
}

type hunk struct {
	line     int      // in the old file, from 1
	old, new []string // with context
}

// ErrPatch is wrapped by every error about a patch that does not parse or does not fit.
var ErrPatch = errors.New("patch")

var hunkHead = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

// ParsePatch reads a unified diff. Files are neither made nor removed.
func ParsePatch(text string) (Patch, error) {
	var p Patch
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], "--- a/") || i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "+++ b/") {
			return nil, fmt.Errorf("%w: line %d: expected --- a/FILE and +++ b/FILE, found %q", ErrPatch, i+1, lines[i])
		}
		file := FilePatch{Path: strings.TrimPrefix(lines[i+1], "+++ b/")}
		if file.Path != strings.TrimPrefix(lines[i], "--- a/") {
			return nil, fmt.Errorf("%w: line %d: a file cannot be renamed", ErrPatch, i+2)
		}
		i += 2
		for i < len(lines) && strings.HasPrefix(lines[i], "@@") {
			h, next, err := parseHunk(lines, i)
			if err != nil {
				return nil, err
			}
			file.hunks = append(file.hunks, h)
			i = next
		}
		if len(file.hunks) == 0 {
			return nil, fmt.Errorf("%w: %s has no hunk", ErrPatch, file.Path)
		}
		p = append(p, file)
	}
	return p, nil
}

func parseHunk(lines []string, at int) (hunk, int, error) {
	head := hunkHead.FindStringSubmatch(lines[at])
	if head == nil {
		return hunk{}, 0, fmt.Errorf("%w: line %d: %q is no hunk header", ErrPatch, at+1, lines[at])
	}
	oldLines, newLines := count(head[2]), count(head[4])
	h := hunk{line: count(head[1])}
	i := at + 1
	for ; len(h.old) < oldLines || len(h.new) < newLines; i++ {
		if i == len(lines) {
			return h, 0, fmt.Errorf("%w: the hunk of line %d ends too early", ErrPatch, at+1)
		}
		// Editors strip the space of an empty context line.
		mark, text := " ", ""
		if lines[i] != "" {
			mark, text = lines[i][:1], lines[i][1:]
		}
		switch mark {
		case " ":
			h.old, h.new = append(h.old, text), append(h.new, text)
		case "-":
			h.old = append(h.old, text)
		case "+":
			h.new = append(h.new, text)
		default:
			return h, 0, fmt.Errorf("%w: line %d: %q begins with none of ' ', '-', '+'", ErrPatch, i+1, lines[i])
		}
	}
	if len(h.old) != oldLines || len(h.new) != newLines || len(h.old) == 0 {
		return h, 0, fmt.Errorf("%w: the hunk of line %d does not have the lines that it announces", ErrPatch, at+1)
	}
	return h, i, nil
}

func count(digits string) int {
	if digits == "" {
		return 1
	}
	n, _ := strconv.Atoi(digits) // the expression matched digits only
	return n
}

// Apply changes text. Every line of context must match exactly. A hunk may have moved, but only to the one
// place where it fits: a bug that lands somewhere else is another bug.
func (f FilePatch) Apply(text string) (string, error) {
	lines := strings.Split(text, "\n")
	moved := 0
	for i, h := range f.hunks {
		at, err := h.place(lines, h.line-1+moved)
		if err != nil {
			return "", fmt.Errorf("%w: %s: hunk %d: %w", ErrPatch, f.Path, i+1, err)
		}
		lines = slices.Replace(lines, at, at+len(h.old), h.new...)
		moved = at - (h.line - 1) + len(h.new) - len(h.old)
	}
	return strings.Join(lines, "\n"), nil
}

func (h hunk) place(lines []string, expected int) (int, error) {
	var fits []int
	for at := 0; at+len(h.old) <= len(lines); at++ {
		if slices.Equal(lines[at:at+len(h.old)], h.old) {
			fits = append(fits, at)
		}
	}
	switch {
	case slices.Contains(fits, expected):
		return expected, nil
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) == 0:
		return 0, errors.New("its context is not in the file: the source has changed, make the patch again")
	}
	return 0, fmt.Errorf("its context is in %d places, none of them line %d", len(fits), h.line)
}
