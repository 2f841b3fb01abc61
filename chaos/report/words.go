package report

import (
	"fmt"
	"strings"
	"time"

	"raftlab/linearizability"
)

// short is a duration as a person reads it: three figures at most.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}

// clock is a moment of the run: seconds since it began.
func clock(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// thousands prints 12,345.
func thousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted prints 1 fault, 2,000 faults.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// asked is what a client wanted: put c3-4, get, cas c1-1 to c2-2.
func asked(op linearizability.Operation) string {
	switch op.Kind {
	case linearizability.Put:
		return "put " + op.Value
	case linearizability.CAS:
		return "cas " + op.Expect + " to " + op.Value
	}
	return string(op.Kind)
}

// answered is what it was told.
func answered(op linearizability.Operation) string {
	switch {
	case op.Outcome == linearizability.Failed:
		return "failed"
	case op.Outcome != linearizability.OK:
		return "unknown"
	case op.Kind == linearizability.Get && op.Got == nil:
		return "nothing"
	case op.Kind == linearizability.Get:
		return *op.Got
	case op.Kind == linearizability.CAS && op.Swapped:
		return "swapped"
	case op.Kind == linearizability.CAS:
		return "refused"
	}
	return "ok"
}

// sentence is an operation in full: what was asked, of whom, when, and what came back.
func (r Run) sentence(op linearizability.Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s by client %d at %s", asked(op), op.Key, op.Client, op.Node)
	fmt.Fprintf(&b, ", called at %s", clock(op.Call))
	if op.Return > 0 {
		fmt.Fprintf(&b, ", answered %q after %s", answered(op), short(op.Return-op.Call))
	} else {
		b.WriteString(", never answered")
	}
	if op.Attempts > 1 {
		fmt.Fprintf(&b, " and %d attempts with one idempotency key", op.Attempts)
	}
	if op.ServedBy != "" {
		fmt.Fprintf(&b, " by %s", r.node(op.ServedBy))
	}
	if op.Index != 0 {
		fmt.Fprintf(&b, " (log index %s, term %d)", thousands(int(op.Index)), op.Term)
	}
	return b.String()
}
