package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"raftlab/harness"
	"raftlab/linearizability"
)

// FileName is the report's name in the run directory, and suiteName that of the file for a CI.
const (
	FileName  = "report.html"
	suiteName = "junit.xml"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// policy lets the page do nothing but what it brought along: no network, and no script but ours, whatever a key is called.
var policy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'", digest(pageCSS), digest(pageJS))

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// firstMax is how many operations stand in the page for who runs no scripts.
const firstMax = 200

// page is what the template shows.
type page struct {
	Run
	Story     Story
	Class     string
	Mark      string
	When      string
	Where     string
	Figures   []Figure
	Parts     []Part
	Keys      []Key
	Timeline  template.HTML
	Available []Availability
	Thrice    [3]struct{}
	Drawn     []Fact
	First     []linearizability.Operation
	Total     int
	Data      template.JS
	CSS       template.CSS
	JS        template.JS
	Policy    string
}

// Figure is one large number of the page.
type Figure struct{ Label, Value, Note string }

// Part is one section that the page has.
type Part struct{ ID, Name string }

// Write makes report.html and junit.xml in the run directory, out of what else is in it. A reader sees the old file or
// the new one, never a part.
func Write(dir string) error {
	r, err := Read(dir)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return err
	}
	var suite bytes.Buffer
	if err := r.JUnit(&suite); err != nil {
		return err
	}
	return errors.Join(replace(dir, FileName, page.Bytes()), replace(dir, suiteName, suite.Bytes()))
}

func replace(dir, name string, data []byte) error {
	if err := harness.ReplaceFile(dir, name, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// HTML writes the page.
func (r Run) HTML(w io.Writer) error {
	ops := r.History.Operations
	p := page{
		Run: r, Story: r.Story(), Class: strings.ToLower(r.Verdict), Mark: mark(r.Verdict), Where: r.where(),
		Figures: r.figures(), Keys: r.Keys(), Timeline: r.Timeline(), Available: r.Availability(), Drawn: r.drawn(),
		First: ops[:min(len(ops), firstMax)], Total: len(ops),
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS), Policy: policy,
	}
	if !r.Started.IsZero() {
		p.When = r.Started.UTC().Format("2 January 2006, 15:04:05 UTC")
	}
	if len(ops) > 0 || len(r.Samples) > 0 {
		data, err := json.Marshal(r.data()) // escapes <, so it cannot end the script
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		p.Data = template.JS(data)
	}
	p.Parts = p.parts()
	if err := r.template().Execute(w, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (p page) parts() []Part {
	var parts []Part
	for _, part := range []struct {
		Part
		there bool
	}{
		{Part{"keys", "What clients saw"}, len(p.Keys) > 0}, {Part{"chart", "Timeline"}, p.Timeline != ""},
		{Part{"checks", "Checks"}, len(p.Checks) > 0}, {Part{"faults", "Faults"}, len(p.Faults) > 0},
		{Part{"availability", "Availability"}, len(p.Available) > 0}, {Part{"options", "Options"}, true},
		{Part{"operations", "Operations"}, len(p.First) > 0}, {Part{"files", "Files"}, true},
	} {
		if part.there {
			parts = append(parts, part.Part)
		}
	}
	return parts
}

// where is what was tested, in a few words.
func (r Run) where() string {
	worlds := map[string]string{"process": "local processes", "docker": "containers"}
	world := r.World
	if w, ok := worlds[world]; ok {
		world = w
	}
	members := len(r.Members) // at the end; others may have come and gone
	if members == 0 {
		members = len(r.members())
	}
	if members == 0 {
		return world
	}
	return strings.TrimSpace(fmt.Sprintf("%s of %s, %s", counted(members, "member"), r.System, world))
}

func (r Run) figures() []Figure {
	counts := linearizability.Count(r.History.Operations)
	if counts.Operations == 0 {
		return nil
	}
	proven, judged := 0, 0
	for _, f := range r.Faults {
		if f.Evidence.Outcome == "installed" {
			proven++
		}
	}
	for _, c := range r.Checks {
		if c.Verdict == pass {
			judged++
		}
	}
	figures := []Figure{
		{"operations", thousands(counts.Operations), fmt.Sprintf("ok %s · failed %s · unknown %s", thousands(counts.OK), thousands(counts.Failed), thousands(counts.Unknown))},
		{"median latency", short(r.Served.Median), "p99 " + short(r.Served.P99)},
		{"longest gap", short(r.Served.LongestGap), "without a single ok, from " + clock(r.Served.GapFrom)},
		{"without a leader", short(r.Leaderless), counted(r.Elections, "election")},
		{"faults proven", fmt.Sprintf("%d of %d", proven, len(r.Faults)), "by probes before, during and after"},
	}
	if r.Dropped > 0 {
		figures[len(figures)-1].Note = fmt.Sprintf("%s %s dropped", thousands(int(r.Dropped)), cmp.Or(r.Unit, "packets"))
	}
	if len(r.Checks) > 0 {
		figures = append(figures, Figure{"checks ok", fmt.Sprintf("%d of %d", judged, len(r.Checks)), counted(len(r.Linearizable.Keys), "key") + " judged"})
	}
	return figures
}

// drawn is what the seed and the command line have settled, and what was tested.
func (r Run) drawn() []Fact {
	facts := []Fact{{Label: "scenario", Text: r.Scenario}, {Label: "seed", Text: fmt.Sprint(r.Seed)}}
	add := func(prefix string, values map[string]string) {
		var names []string
		for name := range values {
			names = append(names, name)
		}
		slices.SortFunc(names, natural)
		for _, name := range names {
			facts = append(facts, Fact{Label: prefix + name, Text: values[name]})
		}
	}
	options := map[string]string{}
	for name, value := range r.Options {
		if text := fmt.Sprint(value); text != "" {
			options[strings.ReplaceAll(name, "_", " ")] = text
		}
	}
	add("", options)
	add("tested: ", r.Tested)
	add("", r.Versions)
	add("member ", together(r.Claims))
	return facts
}

// together joins the names of what has the same value: "n1 n2 n3".
func together(values map[string]string) map[string]string {
	names := map[string][]string{}
	for name, value := range values {
		names[value] = append(names[value], name)
	}
	joined := map[string]string{}
	for value, of := range names {
		slices.SortFunc(of, natural)
		joined[strings.Join(of, " ")] = value
	}
	return joined
}

func (r Run) template() *template.Template {
	dash := func(ok bool, text string) string {
		if !ok {
			return "–"
		}
		return text
	}
	return template.Must(template.New("report").Funcs(template.FuncMap{
		"short": short, "clock": clock, "count": counted, "sentenced": sentenced, "asked": asked, "answered": answered,
		"lower": strings.ToLower, "mark": mark, "millis": millis, "node": r.node,
		"words": func(line string) []string { return strings.Split(line, " ") },
		"more":  func(keys []Key) int { return len(keys) - 3 },
		"join":  func(words []string) string { return strings.Join(words, " ") },
		"word": func(verdict string) string {
			switch verdict {
			case pass:
				return "ok"
			case nothing:
				return "nothing to look at"
			}
			return verdict
		},
		"zero":   func(n uint64) string { return dash(n != 0, fmt.Sprint(n)) },
		"took":   func(op linearizability.Operation) string { return dash(op.Return > 0, short(op.Return-op.Call)) },
		"rate":   func(s Service) string { return dash(s.To > s.From, fmt.Sprintf("%.0f", s.PerSecond())) },
		"median": func(s Service) string { return dash(s.OK > 0, short(s.Median)) },
		"p99":    func(s Service) string { return dash(s.OK > 0, short(s.P99)) },
		"bytes": func(n int64) string {
			switch {
			case n >= 1<<20:
				return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
			case n >= 1<<10:
				return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
			}
			return fmt.Sprintf("%d bytes", n)
		},
	}).Parse(pageHTML))
}

// mark is the verdict as a sign, for who sees no colour.
func mark(verdict string) string {
	switch verdict {
	case pass:
		return "✓"
	case fail:
		return "✕"
	case nothing:
		return "–"
	}
	return "?"
}
