package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// The drawing is as wide as this in its own units, and the page scales it.
const (
	chartWidth = 1160.0
	chartLeft  = 84.0 // of the time axis; names of tracks are to the left of it
	chartRight = 14.0
)

// timeline draws everything that has a time on one axis: what was broken, what members were, when nobody led, how many
// operations were answered and how fast. Whatever the script must move when it zooms carries its time in milliseconds as
// data-a and, if it has an end, data-b; what is too much for that is in a group of class dense, whose paths have non-scaling
// strokes and are stretched as a whole.
type timeline struct {
	svg
	run  Run
	axis axis
}

// track is one strip of the timeline.
type track struct {
	name   string
	height float64
	draw   func(t *timeline, y float64)
}

// Timeline draws the run; it is empty where there is nothing on the clock.
func (r Run) Timeline() template.HTML {
	end := r.end()
	if end <= 0 {
		return ""
	}
	t := &timeline{run: r, axis: axis{from: 0, to: end, left: chartLeft, width: chartWidth - chartLeft - chartRight}}
	tracks := []track{t.faults()}
	tracks = append(tracks, t.lanes()...)
	tracks = append(tracks, t.gaps(), t.rates(), t.latencies())
	height := 26.0
	for _, track := range tracks {
		height += track.height
	}
	t.open("svg", "id", "timeline", "class", "chart", "viewBox", fmt.Sprintf("0 0 %g %g", chartWidth, height+26),
		"role", "img", "aria-label", "Time chart of the run; the tables below hold the same values", "data-from", millis(0), "data-to", millis(end),
		"data-left", chartLeft, "data-width", t.axis.width)
	t.defs(height)
	t.grid(26, height)
	t.shades(26, height)
	y := 26.0
	for _, track := range tracks {
		if track.name != "" {
			t.text(chartLeft-10, y+14, "name", track.name, "text-anchor", "end")
		}
		track.draw(t, y)
		y += track.height
	}
	t.scale(18)
	t.scale(height + 16)
	t.el("line", "id", "cursor", "class", "cursor", "y1", 26, "y2", height, "x1", -9, "x2", -9)
	t.el("rect", "id", "brush", "class", "brush", "y", 26, "height", height-26, "x", 0, "width", 0)
	t.el("rect", "id", "surface", "class", "surface", "x", chartLeft, "y", 26, "width", t.axis.width, "height", height-26)
	t.close("svg")
	return t.html()
}

// defs are the patterns by which states differ without colour, and what keeps a zoomed drawing inside.
func (t *timeline) defs(height float64) {
	t.WriteString(`<defs>` +
		`<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatched" width="2.2" height="6"/></pattern>` +
		`<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="dotted" cx="2" cy="2" r="1.3"/></pattern>`)
	t.open("clipPath", "id", "plot")
	t.el("rect", "x", chartLeft, "y", 0, "width", t.axis.width, "height", height+26)
	t.close("clipPath")
	t.WriteString(`</defs>`)
}

func (t *timeline) grid(top, bottom float64) {
	t.open("g", "clip-path", "url(#plot)", "class", "ticks", "data-top", top, "data-bottom", bottom)
	for _, tick := range t.axis.ticks(10) {
		x := t.axis.x(tick)
		t.el("line", "class", "grid", "x1", x, "x2", x, "y1", top, "y2", bottom, "data-a", millis(tick))
	}
	t.close("g")
}

func (t *timeline) scale(y float64) {
	t.open("g", "class", "scale", "data-y", y)
	for _, tick := range t.axis.ticks(10) {
		t.text(t.axis.x(tick), y, "tick", tickText(tick), "text-anchor", "middle", "data-a", millis(tick))
	}
	t.close("g")
}

// tickText is seconds, as everything in a run is short.
func tickText(t time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", t.Seconds()), "0"), ".") + " s"
}

// shades show over the whole height when something was broken.
func (t *timeline) shades(top, bottom float64) {
	t.open("g", "clip-path", "url(#plot)")
	for _, f := range t.run.Faults {
		if f.Done() {
			t.span("rect", f.From, f.To, "class", "shade", "y", top, "height", bottom-top)
		}
	}
	t.close("g")
}

// span writes an element without content from one time to another; it is at least a line wide.
func (t *timeline) span(name string, from, to time.Duration, attributes ...any) {
	t.el(name, append(t.place(from, to), attributes...)...)
}

func (t *timeline) place(from, to time.Duration) []any {
	x := t.axis.x(from)
	return []any{"x", x, "width", max(t.axis.x(to)-x, 1), "data-a", millis(from), "data-b", millis(to)}
}

// label writes a text that stays in sight while its time is, and is left out where it does not fit. room says that it must
// fit into its time.
func (t *timeline) label(from, to time.Duration, y float64, class, content string, room bool) {
	x, end := t.axis.x(from)+4, t.axis.x(to)
	width := widthOf(content)
	attributes := []any{"data-a", millis(from), "data-b", millis(to), "data-w", width}
	if room {
		attributes = append(attributes, "data-room", "1")
		if x+width > end {
			class += " off"
		}
	}
	t.text(min(x, chartWidth-chartRight-width), y, class, content, attributes...)
}

const (
	faultsWithEvidenceMax = 8 // more of them get no second line
	faultRow              = 17.0
	evidenceRow           = 13.0
)

// faults is the track of what was broken, with what proves it. Faults that overlap, or whose words do, go below each other.
func (t *timeline) faults() track {
	wordy := len(t.run.Faults) <= faultsWithEvidenceMax
	rows, height := []float64{}, faultRow
	if wordy {
		height += evidenceRow
	}
	rowOf := make([]int, len(t.run.Faults))
	for i, f := range t.run.Faults {
		width := widthOf(faultLabel(f))
		if wordy {
			width = max(width, widthOf(evidence(f)))
		}
		x := min(t.axis.x(f.From), chartWidth-chartRight-width-4)
		end := max(t.axis.x(f.To), x+width+14)
		row := slices.IndexFunc(rows, func(taken float64) bool { return taken <= x })
		if row < 0 {
			row, rows = len(rows), append(rows, 0)
		}
		rows[row], rowOf[i] = end, row
	}
	return track{name: "faults", height: max(float64(len(rows)), 1)*height + 8, draw: func(t *timeline, y float64) {
		t.open("g", "clip-path", "url(#plot)")
		for i, f := range t.run.Faults {
			t.fault(f, y+float64(rowOf[i])*height, wordy)
		}
		if len(t.run.Faults) == 0 {
			t.text(chartLeft+4, y+14, "small", "none")
		}
		t.close("g")
	}}
}

func (t *timeline) fault(f Fault, y float64, wordy bool) {
	title := fmt.Sprintf("#%d %s at %s\n%s to %s\n%s: %s", f.Number, f.Name(), strings.Join(f.Nodes, " "), clock(f.From), clock(f.To), f.Evidence.Outcome, f.Evidence.Says)
	class := "fault"
	if f.Evidence.Outcome != "installed" {
		class = "fault unproven"
	}
	t.titled("rect", title, append(t.place(f.From, f.To), "class", class, "y", y+3, "height", 3.0)...)
	t.label(f.From, f.To, y+faultRow, "strong", faultLabel(f), false)
	if wordy {
		t.label(f.From, f.To, y+faultRow+evidenceRow-1, "small", evidence(f), false)
	}
}

func faultLabel(f Fault) string {
	label := fmt.Sprintf("#%d %s", f.Number, f.Name())
	words := strings.Fields(f.Name())
	if nodes := strings.Join(f.Nodes, " "); nodes != "" && !strings.HasSuffix(f.Name(), nodes) && !slices.Contains(words, "all") {
		label += " → " + nodes
	}
	return label
}

// evidence is what proves a fault, cut to what a chart has room for.
func evidence(f Fault) string {
	const most = 64
	text := f.Evidence.Says
	if f.Evidence.Outcome != "installed" {
		text = f.Evidence.Outcome + ": " + text
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return text
}

// gaps is the track of the times in which nobody led.
func (t *timeline) gaps() track {
	return track{name: "no leader", height: 26, draw: func(t *timeline, y float64) {
		t.open("g", "clip-path", "url(#plot)")
		for _, gap := range t.run.Gaps {
			to := gap.To
			if to == 0 {
				to = t.axis.to
			}
			lasted := short(to - gap.From)
			t.titled("rect", fmt.Sprintf("no leader for %s, from %s", lasted, clock(gap.From)), append(t.place(gap.From, to), "class", "gap", "y", y+3, "height", 14.0)...)
			t.label(gap.From, to, y+14, "ongap", lasted, true)
		}
		t.close("g")
	}}
}
