package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Shown is what was measured of one mutant.
type Shown struct {
	ID       string    `json:"id"`
	Findings []Finding `json:"findings"`
}

// Found reports whether any layer has it.
func (s Shown) Found() bool {
	for _, f := range s.Findings {
		if f.Found {
			return true
		}
	}
	return false
}

// Keep puts new measurements into findings.json, in the place of older ones of the same layers, and writes the table of
// README.md anew from all that is there.
func Keep(root string, shown []Shown) error {
	dir := filepath.Join(root, "chaos", "mutants")
	file := filepath.Join(dir, "findings.json")
	kept := map[string][]Finding{}
	if raw, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(raw, &kept); err != nil {
			return fmt.Errorf("mutants: %s: %w", file, err)
		}
	}
	for _, s := range shown {
		for _, f := range s.Findings {
			kept[s.ID] = replace(kept[s.ID], f)
		}
	}
	all, err := All()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, m := range all {
		known[m.ID] = true
	}
	for id := range kept {
		if !known[id] {
			delete(kept, id)
		}
	}
	raw, err := json.MarshalIndent(kept, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return rewrite(filepath.Join(dir, "README.md"), Table(all, kept))
}

func replace(findings []Finding, new Finding) []Finding {
	for i, f := range findings {
		if f.Layer == new.Layer {
			findings[i] = new
			return findings
		}
	}
	return append(findings, new)
}

const (
	tableBegins = "<!-- raftlab bugs --write fills in from here -->\n"
	tableEnds   = "<!-- to here -->\n"
)

func rewrite(readme, table string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("mutants: %s has no place for the table", readme)
	}
	return os.WriteFile(readme, []byte(before+tableBegins+table+tableEnds+after), 0o644)
}

// Table is the museum in Markdown: one row a mutant. What no layer has found is bold, and a layer that does not run what the
// bug is in has a dash.
func Table(all []Mutant, kept map[string][]Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| bug | kind | breaks | %s | again |\n|---|---|---|%s---|\n", strings.Join(Layers(), " | "), strings.Repeat("---|", len(layers)))
	for _, m := range all {
		name := "`" + m.ID + "`"
		shown := Shown{m.ID, kept[m.ID]}
		if len(shown.Findings) > 0 && !shown.Found() && m.Kind != Trap {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", name, m.Kind, m.Breaks)
		again := ""
		for _, l := range layers {
			text := map[bool]string{false: "–"}[l.fits(m)]
			for _, f := range shown.Findings {
				if f.Layer == l.name {
					text = f.String()
					if f.Found && again == "" {
						again = "`" + f.Command + "`"
					}
				}
			}
			if text == "" && l.name == "walks" && again != "" {
				text = "·" // they are for what nothing to the left has found
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		fmt.Fprintf(&b, " %s |\n", again)
	}
	return b.String()
}

// String is a cell of the table.
func (f Finding) String() string {
	switch {
	case f.Trouble != "":
		return "could not run"
	case !f.Found && f.real():
		text := fmt.Sprintf("no, in %d runs of %.0f s", f.Tries, f.Seconds/float64(f.Tries))
		if f.Unknown > 0 {
			text += fmt.Sprintf(", %d UNKNOWN", f.Unknown)
		}
		return text
	case !f.Found && f.Tries > 1:
		return fmt.Sprintf("no, in %d tries of %.0f s", f.Tries, f.Seconds/float64(f.Tries))
	case !f.Found && f.States > 0:
		return fmt.Sprintf("no, %d states", f.States)
	case !f.Found:
		return "no"
	}
	check := strings.ReplaceAll(f.Check, "|", "/")
	if len(check) > 90 {
		check = check[:87] + "..."
	}
	text := fmt.Sprintf("%s: %.1f s", check, f.Seconds)
	if f.States > 0 {
		text += fmt.Sprintf(", %d %s", f.States, map[bool]string{true: "seeds", false: "states"}[f.Layer == "simulator"])
	}
	if f.Tries > 1 || f.real() {
		text += fmt.Sprintf(", %d of %d", f.Hits, f.Tries)
	}
	return text
}

// real says that it is of real clusters, where a run is a try.
func (f Finding) real() bool { return f.Layer == "processes" || f.Layer == "containers" }
