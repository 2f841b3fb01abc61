package report

import (
	"fmt"
	"slices"
	"strings"
)

const (
	laneHeight = 27.0
	barHeight  = 19.0
	termColors = 6
)

// lanes are one track for each member. What a member is shows in the shape, and the term in colour and number: a leader
// fills the lane, a follower is a thin band, a candidate is dotted, one that does not answer is hatched.
func (t *timeline) lanes() []track {
	var tracks []track
	for _, node := range t.run.members() {
		tracks = append(tracks, track{name: node, height: laneHeight, draw: func(t *timeline, y float64) { t.lane(node, y) }})
	}
	return tracks
}

func (t *timeline) lane(node string, y float64) {
	t.open("g", "clip-path", "url(#plot)")
	told := uint64(0) // the last term that was written into the lane
	for _, s := range t.run.lane(node) {
		t.stretch(node, s, y, s.Term != told)
		if s.Role != "" {
			told = s.Term
		}
	}
	for _, f := range t.run.Faults {
		if f.Done() && slices.Contains(f.Nodes, node) {
			t.span("rect", f.From, f.To, "class", "hit", "y", y+barHeight+1, "height", 2.5)
		}
	}
	t.close("g")
}

func (t *timeline) stretch(node string, s Stretch, y float64, newTerm bool) {
	class, top, height := "follower", y+4.0, barHeight-8
	label := fmt.Sprintf("term %d", s.Term)
	text := "onlane"
	switch {
	case s.Role == "":
		class, top, height, label = "silent", y, barHeight, s.Why
		if label == "" {
			label = "no answer"
		}
		newTerm = true
	case leads(s.Role):
		class, top, height = "leader", y, barHeight
		label, text, newTerm = fmt.Sprintf("leader, term %d", s.Term), "onleader", true
	case seeks(s.Role):
		class, top, height = "candidate", y, barHeight
	case s.Role != "follower":
		label, newTerm = s.Role+", "+label, true
	}
	if s.Role != "" {
		class += fmt.Sprintf(" t%d", s.Term%termColors)
	}
	t.titled("rect", stretchTitle(node, s), append(t.place(s.From, s.To), "class", class, "y", top, "height", height)...)
	if seeks(s.Role) || s.Role == "" {
		t.span("rect", s.From, s.To, "class", strings.Fields(class)[0]+"-mark", "y", top, "height", height)
	}
	if newTerm {
		t.label(s.From, s.To, y+13.5, text, label, true)
	}
}

func stretchTitle(node string, s Stretch) string {
	times := fmt.Sprintf("%s to %s", clock(s.From), clock(s.To))
	if s.Role == "" {
		why := ""
		if s.Why != "" {
			why = " (" + s.Why + ")"
		}
		return fmt.Sprintf("%s did not answer%s\n%s", node, why, times)
	}
	return fmt.Sprintf("%s %s in term %d\n%s\ncommit %s, applied %s at the end", node, s.Role, s.Term, times, thousands(int(s.Commit)), thousands(int(s.Applied)))
}
