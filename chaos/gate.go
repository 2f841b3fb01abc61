package chaos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// notVacuous asks whether the run could have found anything: in each fault window that left a majority, at
// least one ok of each of the kinds that the store can be asked that began and ended while the fault was in force, and after each fault that took the
// leader, an election and, if that leader was left there to be asked, a client that asked it for a read. A run in
// which nothing happened is not green (openraft #1910, #2068; etcd #21033).
//
// A window that left no majority, alone or with the faults that overlapped it, is exempt: no store may serve there. Where that leaves no window at all, clients
// must have done real work before the first fault and after the last.
func notVacuous(kinds []linearizability.Kind, planned []Event, windows []Window, ops []linearizability.Operation, elections []harness.Election) Check {
	var missing, exempt []string
	for i, event := range planned {
		if !slices.ContainsFunc(windows, func(w Window) bool { return w.Fault == i+1 }) {
			missing = append(missing, fmt.Sprintf("#%d (%s) was never reached", i+1, event))
		}
	}
	counted, served, elected := 0, 0, 0
	for _, w := range windows {
		if w.Evidence.Outcome != Installed {
			continue // named by the check of the faults
		}
		if !w.couldServe(windows) {
			exempt = append(exempt, fmt.Sprintf("#%d (%s)", w.Fault, w.What))
			continue
		}
		counted++
		where := fmt.Sprintf("during fault #%d (%s)", w.Fault, w.What)
		ok, absent := okBetween(kinds, max(w.From, w.InForce), w.To, ops)
		served += ok
		if len(absent) > 0 {
			missing = append(missing, fmt.Sprintf("no ok of %s %s", words(absent), where))
		}
		if missed := starved(w, windows, ok, ops); missed != "" {
			missing = append(missing, missed+" "+where)
		}
		if w.owesElection(windows) {
			n := electionsIn(w, elections)
			elected += n
			if n == 0 {
				missing = append(missing, "no election "+where)
			}
		}
	}
	c := Check{Verdict: Pass, Looked: fmt.Sprintf("%s with %s ok and %s in them",
		Counted(counted, "fault window"), thousands(served), Counted(elected, "election"))}
	if asked, silent := unasked(windows, ops); asked > 0 || len(silent) > 0 {
		c.Looked += fmt.Sprintf(", %s asked of a leader that was hit", Counted(asked, "read"))
		missing = append(missing, silent...)
	}
	if len(exempt) > 0 {
		c.Looked += fmt.Sprintf(", exempt because no majority was left: %s", strings.Join(exempt, ", "))
	}
	if counted == 0 && len(windows) > 0 {
		around, absent := around(kinds, windows, ops)
		c.Looked += around
		missing = append(missing, absent...)
	}
	if len(windows) == 0 {
		missing = append(missing, "no fault was injected")
	}
	if len(missing) > 0 {
		c.Verdict, c.Reason = Unknown, strings.Join(missing, "; ")
	}
	return c
}

// starvedShare: in a window of which nobody but its fault took anything, clients must get more than a fiftieth of what they get without
// a fault. Of 286 windows in runs of all scenarios the slowest that was served, a leader that lost a quarter of its packets, had a tenth.
const starvedShare = 50

// starved says how few of the clients were served in w, where they were next to none: an ok of every kind is soon had.
func starved(w Window, windows []Window, ok int, ops []linearizability.Operation) string {
	lasted := w.To - max(w.From, w.InForce)
	if lasted < serviceMin || w.overlapped(windows) {
		return ""
	}
	var free, last time.Duration // without a fault; all faults are over at last
	for _, other := range windows {
		free += max(other.From-last, 0)
		last = max(last, other.To)
	}
	var end time.Duration
	calm := 0
	for _, op := range ops {
		if op.Phase == harness.FinalReads {
			continue
		}
		end = max(end, op.Call, op.Return)
		if op.Outcome == linearizability.OK && !slices.ContainsFunc(windows, func(o Window) bool { return op.Call <= o.To && op.Return >= o.From }) {
			calm++
		}
	}
	free += max(end-last, 0)
	if want := float64(calm) * lasted.Seconds() / free.Seconds() / starvedShare; free > 0 && float64(ok) < want {
		return fmt.Sprintf("clients got %s in %v, less than one in %d of what they get without a fault,", thousands(ok)+" ok", short(lasted), starvedShare)
	}
	return ""
}

// around looks at the time before the first fault and after the last, up to the end of the load.
func around(kinds []linearizability.Kind, windows []Window, ops []linearizability.Operation) (looked string, missing []string) {
	ops = slices.DeleteFunc(slices.Clone(ops), func(op linearizability.Operation) bool { return op.Phase == harness.FinalReads })
	first, last := windows[0].From, windows[0].To
	for _, w := range windows {
		first, last = min(first, w.From), max(last, w.To)
	}
	before, lacked := okBetween(kinds, 0, first, ops)
	if len(lacked) > 0 {
		missing = append(missing, fmt.Sprintf("no ok of %s before the first fault", words(lacked)))
	}
	after, lacked := okBetween(kinds, last, math.MaxInt64, ops)
	if len(lacked) > 0 {
		missing = append(missing, fmt.Sprintf("no ok of %s after the last fault", words(lacked)))
	}
	return fmt.Sprintf("; %s ok before and %s after", thousands(before), thousands(after)), missing
}

// okBetween counts the operations that began and ended with ok in between, and names the kinds of which there is none.
func okBetween(kinds []linearizability.Kind, from, to time.Duration, ops []linearizability.Operation) (ok int, absent []linearizability.Kind) {
	seen := make(map[linearizability.Kind]bool)
	for _, op := range ops {
		if op.Outcome == linearizability.OK && op.Call >= from && op.Return <= to {
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

// electionsIn counts elections in later terms than the one in which the leader was found that the fault then hit.
func electionsIn(w Window, elections []harness.Election) int {
	n := 0
	for _, e := range elections {
		if e.At <= w.To && e.Term > w.Term {
			n++
		}
	}
	return n
}

// faultsProven wants Installed for every fault: the store may have survived only because nothing was done to it.
func faultsProven(windows []Window) Check {
	c := Check{Verdict: Pass}
	var missing []string
	skipped := 0
	for _, w := range windows {
		if w.Evidence.Outcome == Skipped {
			skipped++
		}
		if w.Evidence.Outcome != Installed {
			missing = append(missing, fmt.Sprintf("fault #%d (%s) %s: %s", w.Fault, w.What, w.Evidence.Outcome, w.Evidence.Says))
		}
	}
	c.Looked = "probes before, during and after " + Counted(len(windows)-skipped, "fault")
	if skipped > 0 {
		c.Looked += fmt.Sprintf(", %d skipped", skipped)
	}
	if len(windows) == 0 {
		missing = append(missing, "no fault was injected")
	}
	if len(missing) > 0 {
		c.Verdict, c.Reason = Unknown, strings.Join(missing, "; ")
	}
	return c
}
