package chaos

import (
	"fmt"
	"strings"

	"raftlab/harness"
	"raftlab/linearizability"
)

// kinds are what clients must have been served in every fault window.
var kinds = []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS}

// notVacuous asks whether the run could have found anything: in each fault window that left a majority, at
// least one ok of each kind that began and ended inside it, and after each fault that took the leader, an
// election. A run in which nothing happened is not green (openraft #1910, #2068; etcd #21033).
func notVacuous(planned int, windows []Window, ops []linearizability.Operation, elections []harness.Election) Check {
	var missing []string
	if len(windows) < planned {
		missing = append(missing, fmt.Sprintf("%d of %d faults were never reached", planned-len(windows), planned))
	}
	served, elected := 0, 0
	for _, w := range windows {
		if w.Evidence.Outcome != Installed {
			continue // named by the check of the faults
		}
		where := fmt.Sprintf("during fault #%d (%s)", w.Fault, w.What)
		if w.Quorum {
			ok, absent := okIn(w, ops)
			served += ok
			if len(absent) > 0 {
				missing = append(missing, fmt.Sprintf("no ok of %s %s", words(absent), where))
			}
		}
		if w.HitLeader() && w.Quorum {
			n := electionsIn(w, elections)
			elected += n
			if n == 0 {
				missing = append(missing, fmt.Sprintf("no election %s", where))
			}
		}
	}
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("%d fault windows with %s ok and %d elections in them",
		len(windows), thousands(served), elected)}
	if len(windows) == 0 {
		missing = append(missing, "no fault was injected")
	}
	if len(missing) > 0 {
		c.Verdict, c.Reason = Unknown, strings.Join(missing, "; ")
	}
	return c
}

func okIn(w Window, ops []linearizability.Operation) (ok int, absent []linearizability.Kind) {
	seen := make(map[linearizability.Kind]bool)
	for _, op := range ops {
		if op.Outcome == linearizability.OK && op.Call >= w.From && op.Return <= w.To {
			ok++
			seen[op.Kind] = true
		}
	}
	for _, kind := range kinds {
		if !seen[kind] {
			absent = append(absent, kind)
		}
	}
	return ok, absent
}

func electionsIn(w Window, elections []harness.Election) int {
	n := 0
	for _, e := range elections {
		if e.At >= w.From && e.At <= w.To && e.Term > w.Term {
			n++
		}
	}
	return n
}

// faultsProven wants Installed for every fault: the store may have survived only because nothing was done to it.
func faultsProven(windows []Window) Check {
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("probes before, during and after %d faults", len(windows))}
	var missing []string
	for _, w := range windows {
		if w.Evidence.Outcome != Installed {
			missing = append(missing, fmt.Sprintf("fault #%d (%s) %s: %s", w.Fault, w.What, w.Evidence.Outcome, w.Evidence.Says))
		}
	}
	if len(windows) == 0 {
		missing = append(missing, "no fault was injected")
	}
	if len(missing) > 0 {
		c.Verdict, c.Reason = Unknown, strings.Join(missing, "; ")
	}
	return c
}
