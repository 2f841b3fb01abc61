package sim

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// What a diagram shows of faults, and where it failed.

const labelHeight = 13.0

// name is who was in a slot: a member that was wiped came back as another.
func (p *Picture) name(slot int) string {
	var names []string
	for _, u := range p.ups {
		if name := fmt.Sprint(u.id); u.slot == slot && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", then ")
}

// pauses draws where a member stood still.
func (d *diagram) pauses(slot int) {
	var mine []pause
	for _, p := range d.p.pauses {
		if p.slot == slot {
			mine = append(mine, p)
		}
	}
	for _, u := range d.p.ups { // who ends stands still no longer
		if u.slot == slot {
			mine = append(mine, pause{slot: slot, at: u.at})
		}
	}
	slices.SortStableFunc(mine, func(a, b pause) int { return int(a.at - b.at) })
	for i, p := range mine {
		end := d.till
		if i+1 < len(mine) {
			end = mine[i+1].at
		}
		if !p.still || end < d.from {
			continue
		}
		fmt.Fprintf(d, `<rect class="still" x="%.1f" y="%.1f" width="24" height="%.1f"><title>%s stands still, %v to %v</title></rect>`,
			d.x(slot)-12, d.y(p.at), max(2, d.y(end)-d.y(p.at)), d.p.name(slot), p.at, end)
	}
}

// faults writes what hit a member beside its lane. One that comes too soon after another has no room, and is a mark that says
// it to the pointer.
func (d *diagram) faults(slot int) {
	free := 0.0
	for _, f := range d.p.faults {
		y := d.y(f.at)
		if f.slot != slot || f.at < d.from {
			continue
		}
		text := html.EscapeString(f.fault)
		label := ""
		if y >= free {
			label, free = text, y+labelHeight
		}
		fmt.Fprintf(d, `<g class="fault"><title>%v: %s</title><circle cx="%.1f" cy="%.1f" r="4"/><text x="%.1f" y="%.1f">%s</text></g>`,
			f.at, text, d.x(slot), y, d.x(slot)+14, y+12, label)
	}
}

// failure marks the end, and the member that the failure begins with, if it begins with one.
func (d *diagram) failure(f *Failure) {
	if f == nil {
		return
	}
	y := d.y(d.till)
	fmt.Fprintf(d, `<g id="failure"><line class="x" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" fill="#c22" font-weight="bold">FAIL %s: %s</text></g>`,
		textWidth, textWidth+d.lanes*laneWidth, y, y, 4, y+22, html.EscapeString(f.Check), html.EscapeString(f.Message))
	who, _, _ := strings.Cut(f.Message, " ")
	for slot := range d.lanes {
		if names := strings.Split(d.p.name(slot), ", then "); names[len(names)-1] == who {
			fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="9" fill="none" class="x"/>`, d.x(slot), y)
		}
	}
}
