package sim

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"raftlab/raft"
)

// What a diagram holds at most: the end of a run, which is where it failed.
const (
	drawnMessages = 400
	laneWidth     = 170
	textWidth     = 90
	pixelsMax     = 6000
)

// terms have colours by their number, so that two leaders of one term have one colour.
var termColours = []string{"#2f6fb2", "#b2542f", "#3a8f4d", "#8a4fb0", "#a8842c", "#2d8f92", "#b03a6c", "#5b6b7a"}

func termColour(t raft.Term) string { return termColours[int(t)%len(termColours)] }

// diagram is a picture as it is being drawn: time goes down, a lane is a member, an arrow a message.
type diagram struct {
	strings.Builder
	p          *Picture
	from, till time.Duration
	lanes      int
	height     float64
}

// HTML draws the last moments of a run as one page with one SVG, which needs nothing else.
func (p *Picture) HTML(r Result) string {
	d := diagram{p: p, till: r.Virtual}
	first := max(0, len(p.messages)-drawnMessages)
	if len(p.messages) > 0 {
		d.from = p.messages[first].sent
		for _, m := range p.messages[first:] {
			d.from = min(d.from, m.sent)
		}
	}
	for _, u := range p.ups {
		d.lanes = max(d.lanes, u.slot+1)
	}
	d.height = min(pixelsMax, max(400, 12*float64(len(p.messages)-first)))
	verdict, lead := "PASS", ""
	if f := r.Failure; f != nil {
		verdict = "FAIL " + f.Check
		lead = fmt.Sprintf(`<p><b>%s</b>, after %v: <a href="#failure">the end of the picture</a>. What led to it is above it: who led, who stood still, what was lost.</p>`, html.EscapeString(f.Message), f.At)
	}
	fmt.Fprintf(&d, `<!doctype html><meta charset="utf-8"><title>raftlab sim, seed %d</title>
<style>body{font:14px/1.4 system-ui,sans-serif;margin:1em;color:#222;background:#fff}pre{font-size:12px;overflow-x:auto;background:#f4f4f4;padding:1em}
svg text{font:11px system-ui,sans-serif}.msg{stroke:#555;stroke-width:1}.append{stroke:#2f6fb2}.vote{stroke:#b2542f}.snap{stroke:#3a8f4d;stroke-width:2}.lost{stroke-dasharray:3 3;stroke:#c22}
.x{stroke:#c22;stroke-width:2}.commit{fill:#222}.still{fill:#e9a13b;fill-opacity:.45}.fault{fill:#8a5200}</style>
<h1>Seed %d: %s</h1>%s<p>%d events in %v of virtual time, trace hash %016x. Faults: %s.</p>
<p>Time goes down. A lane is a member: thin and grey while it follows, wide in the colour of its term while it leads, pale while it asks for votes, broken while it is down, on orange while it stands still. Brown words are faults that hit it.
An arrow is a message: <span style="color:#2f6fb2">appends</span>, <span style="color:#b2542f">votes</span>, <span style="color:#3a8f4d">snapshots</span>; dashed red with a cross, it was lost. A dot is a commit. Each says more when the pointer rests on it.</p>
`, r.Plan.Seed, r.Plan.Seed, html.EscapeString(verdict), lead, r.Events, r.Virtual.Round(time.Microsecond), r.TraceHash, html.EscapeString(r.Faults.String()))
	fmt.Fprintf(&d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" role="img" aria-label="members, messages, roles and crashes over time">`, textWidth+d.lanes*laneWidth, d.height+80)
	d.clock()
	for slot := range d.lanes {
		d.pauses(slot)
		d.lane(slot)
	}
	for _, m := range p.messages[first:] {
		d.arrow(m)
	}
	for _, c := range p.commits {
		if c.at >= d.from {
			fmt.Fprintf(&d, `<circle class="commit" cx="%.1f" cy="%.1f" r="2.5"><title>%v: %s has committed up to %d</title></circle>`, d.x(c.slot), d.y(c.at), c.at, p.name(c.slot), c.index)
		}
	}
	for slot := range d.lanes {
		d.faults(slot)
	}
	d.failure(r.Failure)
	d.WriteString("</svg>\n")
	if len(r.Story) > 0 {
		fmt.Fprintf(&d, "<h2>The last sentences</h2><pre>%s</pre>\n", html.EscapeString(strings.Join(r.Story, "\n")))
	}
	fmt.Fprintf(&d, "<h2>The plan</h2><pre>%s</pre>\n", html.EscapeString(r.Plan.String()))
	return d.String()
}

func (d *diagram) x(slot int) float64 { return textWidth + (float64(slot)+0.5)*laneWidth }

func (d *diagram) y(at time.Duration) float64 {
	if d.till <= d.from {
		return 40
	}
	return 40 + d.height*float64(max(at, d.from)-d.from)/float64(d.till-d.from)
}

// clock writes the time at the left.
func (d *diagram) clock() {
	const steps = 20
	for i := range steps + 1 {
		at := d.from + (d.till-d.from)*time.Duration(i)/steps
		fmt.Fprintf(d, `<text x="4" y="%.1f" fill="#777">%.4f s</text><line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#eee"/>`,
			d.y(at)+4, at.Seconds(), textWidth, textWidth+d.lanes*laneWidth, d.y(at), d.y(at))
	}
}

// span is a stretch of a member's life in which nothing changes.
type span struct {
	at   time.Duration
	up   bool
	role raft.Role
	term raft.Term
}

// lane draws one member's roles and crashes.
func (d *diagram) lane(slot int) {
	var spans []span
	for _, u := range d.p.ups {
		if u.slot == slot {
			spans = append(spans, span{at: u.at, up: u.up})
		}
	}
	for _, t := range d.p.roles {
		if t.slot == slot {
			spans = append(spans, span{t.at, true, t.role, t.term})
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return int(a.at - b.at) })
	x := d.x(slot)
	name := d.p.name(slot)
	fmt.Fprintf(d, `<text x="%.1f" y="16" text-anchor="middle" font-weight="bold">%s</text>`, x, name)
	for i, s := range spans {
		end := d.till
		if i+1 < len(spans) {
			end = spans[i+1].at
		}
		if end < d.from {
			continue
		}
		colour, width, dash, what := "#999", 2.0, "", fmt.Sprintf("%s: %v in term %d", name, s.role, s.term)
		switch {
		case !s.up:
			colour, width, dash, what = "#ccc", 1, ` stroke-dasharray="2 6"`, name+" is down"
		case s.role == raft.Leader:
			colour, width = termColour(s.term), 10
		case s.role != raft.Follower:
			colour, width, dash = termColour(s.term), 6, ` stroke-opacity="0.4"`
		}
		fmt.Fprintf(d, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="%.0f"%s><title>%s, %v to %v</title></line>`, x, x, d.y(s.at), d.y(end), colour, width, dash, what, s.at, end)
		if s.at < d.from {
			continue
		}
		if !s.up {
			fmt.Fprintf(d, `<path class="x" d="M%.1f %.1fl8 8m0 -8l-8 8"/><text x="%.1f" y="%.1f" fill="#c22">down</text>`, x-4, d.y(s.at)-4, x+8, d.y(s.at)+4)
		} else if s.role == raft.Leader {
			fmt.Fprintf(d, `<text x="%.1f" y="%.1f" fill="%s">leads term %d</text>`, x+8, d.y(s.at)+4, colour, s.term)
		}
	}
}

// arrow draws one message. One that was lost ends half-way, in a cross.
func (d *diagram) arrow(m arrow) {
	class := "msg"
	switch m.kind {
	case raft.MsgAppend, raft.MsgAppendReply:
		class += " append"
	case raft.MsgVote, raft.MsgVoteReply, raft.MsgPreVote, raft.MsgPreVoteReply:
		class += " vote"
	case raft.MsgSnapshot:
		class += " snap"
	}
	x1, y1, x2, y2 := d.x(m.from), d.y(m.sent), d.x(m.to), d.y(m.came)
	title := html.EscapeString(fmt.Sprintf("%v to %v: %s", m.sent, m.came, m.text))
	if m.lost != "" {
		x2, y2 = (x1+x2)/2, max((y1+y2)/2, y1+6)
		fmt.Fprintf(d, `<g><title>%s; %s</title><line class="%s lost" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/><path class="x" d="M%.1f %.1fl6 6m0 -6l-6 6"/></g>`, title, m.lost, class, x1, y1, x2, y2, x2-3, y2-3)
		return
	}
	head := 5.0
	if x2 < x1 {
		head = -5
	}
	fmt.Fprintf(d, `<g><title>%s</title><path class="%s" fill="none" d="M%.1f %.1fL%.1f %.1fm%.1f -3l%.1f 3l%.1f 3"/></g>`, title, class, x1, y1, x2, y2, -head, head, -head)
}
