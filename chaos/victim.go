package chaos

import (
	"fmt"

	"raftlab/linearizability"
)

// unasked names the faults that took a leader away and left it there to be asked, and whom nobody asked for a read while
// they were in force: a leader that answers for a majority that it has lost is found only by those who ask it.
func unasked(windows []Window, ops []linearizability.Operation) (asked int, missing []string) {
	for _, w := range windows {
		if w.Evidence.Outcome != Installed || !w.couldServe(windows) || w.What.Kind.family().Suffers == "" || !w.owesElection(windows) {
			continue
		}
		reads := 0
		for _, op := range ops {
			if op.Kind == linearizability.Get && op.Node == w.Leader && op.Call >= max(w.From, w.InForce) && op.Call <= w.To {
				reads++
			}
		}
		asked += reads
		if reads == 0 {
			missing = append(missing, fmt.Sprintf("nobody asked the %s member %s for a read during fault #%d (%s)",
				w.What.Kind.family().Suffers, w.Leader, w.Fault, w.What))
		}
	}
	return asked, missing
}
