package chaos

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"raftlab/harness"
	"raftlab/linearizability"
)

// confessed matches the lines in which a program says that it has found a bug in itself: the last words of the Go
// runtime, what net/http says of a handler that it recovered, a panic as an attribute of slog's text and JSON forms,
// what a member calls a bug itself or, where all members are ours, of another, and the race detector.
var confessed = regexp.MustCompile(`(?m)^.*(panic: |panic serving |fatal error: |"panic":|\bpanic=|bug in a handler|no correct member sends|WARNING: DATA RACE|goroutine \d+ \[running\]).*$`)

// confessionMax bounds what is quoted of a line: slog writes a whole stack into one.
const confessionMax = 300

func noPanic(dir *harness.Run, nodes []string, collected error) Check {
	c := Check{Verdict: Pass}
	bytes := 0
	for _, node := range nodes {
		log, err := harness.ReadFile(dir.Dir(), filepath.Join("nodes", node, "log"))
		collected = errors.Join(collected, err)
		bytes += len(log)
		if line := confessed.Find(log); line != nil && c.Verdict == Pass {
			c.Verdict, c.Reason = Fail, fmt.Sprintf("%s: %s", node, line[:min(len(line), confessionMax)])
		}
	}
	c.Looked = fmt.Sprintf("logs of %s, %s", Counted(len(nodes), "member"), Counted(bytes, "byte"))
	if collected != nil && c.Verdict == Pass {
		c.Verdict, c.Reason = Unknown, text(collected)
	}
	return c
}

// noBugAdmitted fails on a reply that the member itself calls the result of a bug. To the checker of histories such a
// reply is one more unknown outcome.
func noBugAdmitted(ops []linearizability.Operation) Check {
	c := Check{Verdict: Pass, Looked: "replies to " + Counted(len(ops), "operation")}
	var first *linearizability.Operation
	bugs := 0
	for i := range ops {
		if !ops[i].Bug {
			continue
		}
		bugs++
		if first == nil {
			first = &ops[i]
		}
	}
	if first != nil {
		c.Verdict = Fail
		c.Reason = fmt.Sprintf("%s answered %s of %s (#%d) with %s", first.Node, first.Kind, first.Key, first.ID, first.Error)
		if bugs > 1 {
			c.Reason += fmt.Sprintf(" (and %s more)", thousands(bugs-1))
		}
	}
	return c
}

// records asks whether the history that is judged is the one that was recorded. A history that lost its end would be
// judged all the same, and pass.
func records(history linearizability.History, written linearizability.Counts, failed error) Check {
	read := linearizability.Count(history.Operations)
	written.Unknown = written.Operations - written.OK - written.Failed // also what never returned
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("%s of %s in history.jsonl", thousands(read.Operations), Counted(written.Operations, "operation"))}
	switch {
	case failed != nil:
		c.Verdict, c.Reason = Unknown, text(failed)
	case history.Torn != "":
		c.Verdict, c.Reason = Unknown, "the history is cut off: "+history.Torn
	case read != written:
		c.Verdict, c.Reason = Unknown, fmt.Sprintf("recorded %+v, read back %+v", written, read)
	}
	return c
}
