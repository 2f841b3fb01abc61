package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"raftlab/linearizability"
)

// shownMax is how many operations a person can follow in one drawing.
const shownMax = 14

// Key is one key that failed: the operations around the violation, and where the rest is.
type Key struct {
	linearizability.KeyReport
	Operations []Marked
	Left       int    // operations on the key that are not drawn
	Page       string // porcupine's page of the whole key, empty where there is none
	Drawing    template.HTML
}

// Marked is an operation of a drawing. Mark is empty for those that only lie near.
type Marked struct {
	linearizability.Operation
	Mark string
}

// Keys are the keys to draw: each that failed.
func (r Run) Keys() []Key {
	var keys []Key
	for _, report := range r.Failing() {
		k := Key{KeyReport: report}
		k.Operations, k.Left = r.around(report)
		page := linearizability.DrawingName(report.Key)
		if slices.ContainsFunc(r.Files, func(f File) bool { return f.Name == page }) {
			k.Page = page
		}
		k.Drawing = r.drawKey(k)
		keys = append(keys, k)
	}
	return keys
}

// around picks the operations of the explanation and those of the same key that lie nearest to them in time.
func (r Run) around(report linearizability.KeyReport) (picked []Marked, left int) {
	var shown []linearizability.Operation
	if report.Explanation != nil {
		shown = r.shown(*report.Explanation)
	}
	type candidate struct {
		Marked
		away time.Duration
	}
	var all []candidate
	total := 0
	for _, op := range r.History.Operations {
		if op.Key != report.Key {
			continue
		}
		total++
		c := candidate{Marked: Marked{Operation: op}, away: math.MaxInt64}
		for i, other := range shown {
			if other.ID == op.ID {
				c.Mark, c.away = circled(i), -1
				break
			}
			c.away = min(c.away, apart(op, other))
		}
		if c.Mark != "" || op.Outcome != linearizability.Unknown || op.Kind != linearizability.Get {
			all = append(all, c) // a read without an answer tells nothing
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.away, b.away) })
	for _, c := range all[:min(len(all), max(shownMax, len(shown)))] {
		picked = append(picked, c.Marked)
	}
	slices.SortFunc(picked, func(a, b Marked) int { return cmp.Compare(a.ID, b.ID) })
	return picked, total - len(picked)
}

// apart is the time between two operations, zero where they overlap.
func apart(a, b linearizability.Operation) time.Duration {
	return max(0, b.Call-max(a.Return, a.Call), a.Call-max(b.Return, b.Call))
}

const (
	keyLeft   = 84.0
	keyLane   = 30.0
	keyBar    = 21.0
	keyTop    = 8.0
	keyBottom = 40.0
)

// keyDrawing lays operations out by the order of their calls and returns, which is what a linearizability violation is
// about. The distance between two such moments grows with the logarithm of the time between them, and the next operation of a
// client begins after the words of the one before.
type keyDrawing struct {
	svg
	moments []moment
	lanes   []int // processes
	width   float64
	height  float64
}

type moment struct {
	at time.Duration
	x  float64
}

func (r Run) drawKey(k Key) template.HTML {
	if len(k.Operations) == 0 {
		return ""
	}
	d := &keyDrawing{}
	ends := d.layOut(k.Operations)
	d.height = keyTop + keyLane*float64(len(d.lanes)) + keyBottom
	d.open("svg", "class", "chart key", "viewBox", fmt.Sprintf("0 0 %s %s", number(d.width), number(d.height)),
		"width", d.width, "height", d.height, "role", "img",
		"aria-label", fmt.Sprintf("Operations on key %s around the violation; the table below lists them", k.Key))
	d.faults(r)
	for i, process := range d.lanes {
		y := keyTop + keyLane*float64(i)
		d.el("line", "class", "rule", "x1", keyLeft, "x2", d.width, "y1", y+keyBar/2, "y2", y+keyBar/2)
		d.text(keyLeft-10, y+keyBar/2+4, "name", fmt.Sprintf("client %d", clientOf(k.Operations, process)), "text-anchor", "end")
	}
	for _, op := range k.Operations {
		d.operation(r, op, ends[op.ID])
	}
	d.times(k.Operations, ends)
	d.close("svg")
	return d.html()
}

func clientOf(ops []Marked, process int) int {
	i := slices.IndexFunc(ops, func(op Marked) bool { return op.Process == process })
	return ops[i].Client
}

// layOut gives every call and return its place, and every process its lane.
func (d *keyDrawing) layOut(ops []Marked) map[int64][2]float64 {
	type event struct {
		at    time.Duration
		op    Marked
		isEnd bool
	}
	var events []event
	for _, op := range ops {
		if !slices.Contains(d.lanes, op.Process) {
			d.lanes = append(d.lanes, op.Process)
		}
		events = append(events, event{op.Call, op, false})
		if op.Return > 0 && op.Outcome != linearizability.Unknown {
			events = append(events, event{op.Return, op, true})
		}
	}
	// In one instant calls come first: operations that touch overlap.
	slices.SortStableFunc(events, func(a, b event) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return map[bool]int{false: 0, true: 1}[a.isEnd] - map[bool]int{false: 0, true: 1}[b.isEnd]
	})
	ends, free := map[int64][2]float64{}, map[int]float64{} // free: where a lane has room again
	x, last := keyLeft+6, events[0].at
	for i, e := range events {
		if i > 0 {
			x += 8 + 6*math.Log2(1+float64(e.at-last)/float64(time.Millisecond))
		}
		if e.isEnd {
			x = max(x, ends[e.op.ID][0]+12)
			ends[e.op.ID] = [2]float64{ends[e.op.ID][0], x}
			free[e.op.Process] = wordsAt(e.op, ends[e.op.ID]) + widthOf(barText(e.op)) + 12
			d.width = max(d.width, free[e.op.Process])
		} else {
			x = max(x, free[e.op.Process])
			ends[e.op.ID] = [2]float64{x, 0}
			if e.op.Return == 0 || e.op.Outcome == linearizability.Unknown {
				d.width = max(d.width, x+widthOf(barText(e.op))+18)
			}
		}
		last = e.at
		d.moments = append(d.moments, moment{e.at, x})
	}
	d.width = max(x+34, d.width, 900)
	for id, pair := range ends {
		if pair[1] == 0 {
			ends[id] = [2]float64{pair[0], d.width}
		}
	}
	return ends
}

// barText is what fits into an operation: what was asked of whom, and what came back.
func barText(op Marked) string {
	text := asked(op.Operation)
	if answer := answered(op.Operation); answer != "ok" {
		text += " → " + answer
	}
	if op.Mark != "" {
		text = op.Mark + " " + text
	}
	return text + " · " + op.Node
}

// wordsAt is where the words of an operation begin: in it, or after it where it is too short for them.
func wordsAt(op Marked, ends [2]float64) float64 {
	if widthOf(barText(op))+12 > ends[1]-ends[0] {
		return ends[1] + 6
	}
	return ends[0] + 7
}

func (d *keyDrawing) operation(r Run, op Marked, ends [2]float64) {
	y := keyTop + keyLane*float64(slices.Index(d.lanes, op.Process))
	class := "operation " + string(op.Outcome)
	if op.Mark != "" {
		class += " marked"
	}
	if op.Outcome == linearizability.Unknown { // no known end: it may take effect at any time after its call
		d.titled("path", sentenced(r.sentence(op.Operation)), "class", class, "d",
			fmt.Sprintf("M%s %sH%sM%s %sH%sM%s %sV%s", number(ends[1]), number(y), number(ends[0]), number(ends[1]), number(y+keyBar), number(ends[0]), number(ends[0]), number(y), number(y+keyBar)))
	} else {
		d.titled("rect", sentenced(r.sentence(op.Operation)), "class", class, "x", ends[0], "width", ends[1]-ends[0], "y", y, "height", keyBar, "rx", 3)
	}
	class = "onbar"
	if op.Mark != "" {
		class = "onbar strong"
	}
	d.text(wordsAt(op, ends), y+keyBar/2+4, class, barText(op))
}

// faults shades the times in which something was broken.
func (d *keyDrawing) faults(r Run) {
	first, last := d.moments[0], d.moments[len(d.moments)-1]
	for _, f := range r.during(first.at, last.at) {
		from, to := d.x(f.From), d.x(f.To)
		if f.To > last.at {
			to = d.width
		}
		if f.From < first.at {
			from = keyLeft
		}
		d.titled("rect", faultLabel(f), "class", "shade", "x", from, "width", max(to-from, 2), "y", 0, "height", d.height)
		d.text(from+5, d.height-5, "small", faultLabel(f))
	}
}

// x is where a moment lies that is none of the drawn ones.
func (d *keyDrawing) x(at time.Duration) float64 {
	for i, m := range d.moments {
		switch {
		case at > m.at:
		case i == 0 || at == m.at:
			return m.x
		default:
			before := d.moments[i-1]
			return before.x + (m.x-before.x)*float64(at-before.at)/float64(m.at-before.at)
		}
	}
	return d.moments[len(d.moments)-1].x
}

// times writes the clock at the ends of the marked operations.
func (d *keyDrawing) times(ops []Marked, ends map[int64][2]float64) {
	y := d.height - keyBottom
	taken := -1e9
	var marks []moment
	for _, op := range ops {
		if op.Mark == "" {
			continue
		}
		marks = append(marks, moment{op.Call, ends[op.ID][0]})
		if op.Return > 0 && op.Outcome != linearizability.Unknown {
			marks = append(marks, moment{op.Return, ends[op.ID][1]})
		}
	}
	slices.SortFunc(marks, func(a, b moment) int { return cmp.Compare(a.x, b.x) })
	for _, m := range marks {
		d.el("line", "class", "mark", "x1", m.x, "x2", m.x, "y1", keyTop, "y2", y+4)
		if m.x-widthOf(clock(m.at))/2 > taken {
			d.text(m.x, y+16, "tick", clock(m.at), "text-anchor", "middle")
			taken = m.x + widthOf(clock(m.at))/2
		}
	}
}
