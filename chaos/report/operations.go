package report

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"raftlab/linearizability"
)

// outcomes in the order in which they are drawn: what is rare lies on top.
var outcomes = []linearizability.Outcome{linearizability.OK, linearizability.Failed, linearizability.Unknown}

const (
	ratesHeight   = 96.0
	latencyHeight = 210.0
)

// rates is the track of how many operations a second were answered, and how.
func (t *timeline) rates() track {
	return track{name: "ops/s", height: ratesHeight, draw: func(t *timeline, y float64) {
		step := roundStep(t.axis.to / 120)
		buckets := t.run.buckets(step)
		most := 1.0
		for _, b := range buckets {
			most = max(most, b.rate(linearizability.OK, step), b.rate(linearizability.Failed, step), b.rate(linearizability.Unknown, step))
		}
		most = roundUp(most)
		base, room := y+ratesHeight-10, ratesHeight-36
		for _, mark := range []float64{0, most / 2, most} {
			at := base - room*mark/most
			t.el("line", "class", "rule", "x1", chartLeft, "x2", chartWidth-chartRight, "y1", at, "y2", at)
			if mark > 0 {
				t.text(chartLeft-10, at+4, "tick", number(mark), "text-anchor", "end")
			}
		}
		t.dense()
		for _, outcome := range outcomes {
			var d strings.Builder
			for i, b := range buckets {
				at := base - room*b.rate(outcome, step)/most
				from := t.axis.x(time.Duration(i)*step) - chartLeft
				to := t.axis.x(min(time.Duration(i+1)*step, t.axis.to)) - chartLeft
				if i == 0 {
					fmt.Fprintf(&d, "M%s %s", tenth(from), tenth(at))
				}
				fmt.Fprintf(&d, "V%sH%s", tenth(at), tenth(to))
			}
			if outcome == linearizability.OK {
				t.el("path", "class", "area", "d", fmt.Sprintf("%sV%sH0Z", d.String(), tenth(base)))
			}
			t.el("path", "class", "rate "+string(outcome), "d", d.String())
		}
		t.close("g")
		t.close("g")
	}}
}

// dense opens two groups: one that clips, and one that the script stretches.
func (t *timeline) dense() {
	t.open("g", "clip-path", "url(#plot)")
	t.open("g", "class", "dense", "transform", fmt.Sprintf("translate(%s 0)", number(chartLeft)))
}

// bucket counts what was answered in one step of time, or called in it and never answered.
type bucket map[linearizability.Outcome]int

func (b bucket) rate(outcome linearizability.Outcome, step time.Duration) float64 {
	return float64(b[outcome]) / step.Seconds()
}

func (r Run) buckets(step time.Duration) []bucket {
	buckets := make([]bucket, r.end()/step+1)
	for i := range buckets {
		buckets[i] = bucket{}
	}
	for _, op := range r.load() {
		buckets[max(op.Return, op.Call)/step][op.Outcome]++
	}
	return buckets
}

// roundUp is the next of 1, 2, 5, 10, 20, 50, ...
func roundUp(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5, 10} {
		if n*unit >= v {
			return n * unit
		}
	}
	return v
}

// latencies is the scatter of how long each operation took, on a logarithmic scale, at the time of its call. All points of an
// outcome are one path of strokes without length: round for ok, square for failed, an upright for unknown. Those that never
// were answered stand on the upper edge.
func (t *timeline) latencies() track {
	return track{name: "latency", height: latencyHeight, draw: func(t *timeline, y float64) {
		ops := t.run.History.Operations
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for _, op := range ops {
			if op.Return > 0 {
				least, most = min(least, max(op.Return-op.Call, 10*time.Microsecond)), max(most, op.Return-op.Call)
			}
		}
		if most == 0 {
			least, most = time.Millisecond, time.Second
		}
		lo, hi := math.Log10(float64(least))-.05, math.Log10(float64(most))+.05
		if hi < lo+1 {
			hi = lo + 1
		}
		top, base := y+28, y+latencyHeight-8
		at := func(took time.Duration) float64 {
			return base - (base-top)*(math.Log10(max(float64(took), 1))-lo)/(hi-lo)
		}
		t.legend(y + 14)
		for decade := math.Ceil(lo); decade <= hi; decade++ {
			took := time.Duration(math.Round(math.Pow(10, decade)))
			t.el("line", "class", "rule", "x1", chartLeft, "x2", chartWidth-chartRight, "y1", at(took), "y2", at(took))
			t.text(chartLeft-10, at(took)+4, "tick", decadeText(took), "text-anchor", "end")
		}
		t.dense()
		for _, outcome := range outcomes {
			t.el("path", "class", "points "+string(outcome), "d", t.points(ops, outcome, top, at))
		}
		t.close("g")
		t.close("g")
	}}
}

// points is one path for all operations of an outcome. Two that fall on the same half pixel are drawn once.
func (t *timeline) points(ops []linearizability.Operation, outcome linearizability.Outcome, top float64, at func(time.Duration) float64) string {
	var d strings.Builder
	drawn := map[string]bool{}
	for _, op := range ops {
		if op.Outcome != outcome {
			continue
		}
		y := top
		if op.Return > 0 {
			y = at(max(op.Return-op.Call, 10*time.Microsecond))
		}
		point := "M" + tenth(t.axis.x(op.Call)-chartLeft) + " " + number(math.Round(2*y)/2)
		if drawn[point] {
			continue
		}
		drawn[point] = true
		d.WriteString(point)
		if outcome == linearizability.Unknown {
			d.WriteString("v7")
		} else {
			d.WriteString("h0")
		}
	}
	return d.String()
}

func (t *timeline) legend(y float64) {
	counts := linearizability.Count(t.run.History.Operations)
	x := chartLeft + 4
	for _, outcome := range outcomes {
		n := map[linearizability.Outcome]int{linearizability.OK: counts.OK, linearizability.Failed: counts.Failed, linearizability.Unknown: counts.Unknown}[outcome]
		mark := fmt.Sprintf("M%s %sh0", tenth(x+4), tenth(y-4))
		if outcome == linearizability.Unknown {
			mark = fmt.Sprintf("M%s %sv7", tenth(x+4), tenth(y-7.5))
		}
		text := fmt.Sprintf("%s %s", outcome, thousands(n))
		t.el("path", "class", "points legend "+string(outcome), "d", mark)
		t.text(x+13, y, "small", text)
		x += widthOf(text) + 32
	}
}

func decadeText(d time.Duration) string {
	text := d.String()
	unit := strings.IndexFunc(text, unicode.IsLetter)
	return text[:unit] + " " + text[unit:]
}
