package chaos

import (
	"fmt"
	"strings"
)

// Verdict is what a run shows. What cannot be shown is Unknown.
type Verdict string

const (
	Pass        Verdict = "PASS"
	Fail        Verdict = "FAIL"    // a promise was broken, and the evidence is in the run directory
	Unknown     Verdict = "UNKNOWN" // something that would be needed to say PASS is missing
	Environment Verdict = "ENVIRONMENT"
	// Nothing is the verdict of a check, never of a run, that had nothing to look at and that the system does not owe us,
	// such as log indexes in its replies. It weighs nothing, and it is no pass.
	Nothing Verdict = "NOTHING"
)

// badness orders verdicts: a violation outweighs missing evidence, and both outweigh a machine that could not
// run a part. An unknown must never hide a failure.
var badness = map[Verdict]int{Pass: 0, Environment: 1, Unknown: 2, Fail: 3}

// Worst is the verdict over all parts; over none, or parts that all had nothing to look at, it is Unknown, because
// nothing was shown. So is a part whose verdict is none of the words, such as that of a checker that never said one.
func Worst(verdicts ...Verdict) Verdict {
	worst := Nothing
	for _, v := range verdicts {
		if _, known := badness[v]; !known && v != Nothing {
			v = Unknown
		}
		if v != Nothing && (worst == Nothing || badness[v] > badness[worst]) {
			worst = v
		}
	}
	if worst == Nothing {
		return Unknown
	}
	return worst
}

// Exit codes of raftlab. Usage and interrupt belong to the command; the others follow from the verdict.
const (
	ExitPass        = 0
	ExitFail        = 1
	ExitUnknown     = 2
	ExitEnvironment = 3
	ExitUsage       = 64
	ExitInterrupted = 130
)

// ExitCode of v. A verdict that is none of the known ones is not a pass.
func (v Verdict) ExitCode() int {
	switch v {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	case Environment:
		return ExitEnvironment
	}
	return ExitUnknown
}

// Check is what one checker found.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Looked  string  `json:"looked_at"`        // what it looked at, with counts
	Reason  string  `json:"reason,omitempty"` // why it is not PASS
}

// guarded runs a checker. One that panics has shown nothing: that is Unknown, never Pass.
func guarded(name string, check func() Check) (c Check) {
	defer func() {
		if p := recover(); p != nil {
			c = Check{Name: name, Verdict: Unknown, Reason: fmt.Sprintf("the checker panicked: %v", p)}
		}
	}()
	c = check()
	c.Name = name
	return c
}

// thousands prints 12,345.
func thousands[N ~int | ~int64 | ~uint64](n N) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Counted prints 1 fault, 2 faults, 2,000 faults.
func Counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, y := strings.CutSuffix(noun, "y"); y && !strings.ContainsAny(stem[len(stem)-1:], "aeiou") {
		return thousands(n) + " " + stem + "ies"
	}
	return thousands(n) + " " + noun + "s"
}
