package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ExecutedFile is the name, in the run directory, of the schedule of what was done. `raftlab replay` runs it.
const ExecutedFile = "executed.txt"

// Executed is the schedule of what was done from began to ended: when each fault began, how long it was in force, and at
// whom it was aimed. Words that draw members are replaced by whom they drew; those that depend on who leads stay, for it is
// the role that a replay must hit and not the name, and the comment names the members. What was skipped is not in it.
func Executed(seed uint64, windows []Window, began, ended time.Duration) string {
	s := Schedule{Seed: seed}
	var comments []string
	windows = slices.Clone(windows)
	slices.SortStableFunc(windows, func(a, b Window) int { return int(a.From - b.From) })
	for _, w := range windows {
		if w.To <= w.InForce {
			continue
		}
		e := Event{When: At(rounded(w.From - began)), For: rounded(w.To - w.InForce), Fault: w.What}
		comment := names(w.Nodes)
		if !w.What.Target.needsLeader() && w.What.Target != All {
			comment = string(w.What.Target)
			e.Fault.Target = Target(strings.Join(w.Nodes, ","))
		}
		if w.Leader != "" {
			comment += fmt.Sprintf("; %s led in term %d", w.Leader, w.Term)
		}
		s.Events, comments = append(s.Events, e), append(comments, comment)
		s.End = max(s.End, e.When.Time+e.For)
	}
	s.End = max(s.End, rounded(ended-began))
	lines := strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n")
	for i, comment := range comments {
		lines[i+1] += "  # " + comment
	}
	return strings.Join(lines, "\n") + "\n"
}

// rounded is never zero for what was not.
func rounded(d time.Duration) time.Duration { return max(d.Round(time.Millisecond), time.Millisecond) }

// keepExecuted writes what was done so far, in the middle of a run that was interrupted too.
func (p *progress) keepExecuted(began, ended time.Duration) {
	err := p.Dir.WriteFile(ExecutedFile, []byte(Executed(p.Schedule.Seed, p.result.Windows, began, ended)))
	if err != nil {
		p.say("%s was not written: %s", ExecutedFile, text(err))
	}
}
