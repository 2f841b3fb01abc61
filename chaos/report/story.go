package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"raftlab/linearizability"
)

// Story is the verdict in words: what a person reads first.
type Story struct {
	Headline string
	Lead     string
	Facts    []Fact
}

// Fact is one line of the story.
type Fact struct {
	Label, Text string
	Key         string // of the drawing that shows it, where there is one
}

// broken says what each pattern of a violation means to whoever uses the store.
var broken = map[linearizability.Pattern]string{
	linearizability.NeverWritten:     "A value was read that nobody wrote.",
	linearizability.PhantomFailure:   "An operation that was reported as failed took effect.",
	linearizability.FutureRead:       "A value was read before it was written.",
	linearizability.StaleRead:        "An old value came back after a newer one was certain.",
	linearizability.LostWrite:        "An acknowledged write is gone.",
	linearizability.ResurrectedWrite: "A deleted value came back.",
	linearizability.DoubleSwap:       "Two compare-and-sets both took the same value.",
	linearizability.WrongRefusal:     "A compare-and-set was refused although its value was there.",
	linearizability.Unordered:        "No order of the operations explains what the clients were told.",
}

// Story tells the verdict.
func (r Run) Story() Story {
	var s Story
	switch r.Verdict {
	case pass:
		s.Headline, s.Lead = "No violation, in a run that could have shown one.", sentenced(r.Reason)
	case fail:
		s = r.violation()
	case environment:
		s.Headline, s.Lead = "The run could not be judged.", sentenced(r.Reason)
	default:
		s.Headline, s.Lead = "It is not known whether the store kept its promise.", sentenced("What a PASS needs is missing: "+r.Reason)
	}
	if r.Interrupted {
		s.Facts = append(s.Facts, Fact{Label: "interrupted", Text: "The run was ended early. What was broken was healed, and what had been recorded until then was judged."})
	}
	told := r.told()
	for _, c := range r.Checks {
		if !c.fine() && c.Reason != "" && c.Name != told {
			s.Facts = append(s.Facts, Fact{Label: c.Name, Text: sentenced(c.Reason)})
		}
	}
	return s
}

// told is the check that the lead is about.
func (r Run) told() string {
	if len(r.Failing()) > 0 {
		return "linearizable"
	}
	for _, c := range r.Checks {
		if c.Verdict == r.Verdict && c.Verdict != pass {
			if r.Verdict == fail || strings.HasPrefix(r.Reason, c.Name) && r.Reason == c.Name+": "+c.Reason {
				return c.Name
			}
			return ""
		}
	}
	return ""
}

// violation begins with what the history shows, because it is what clients saw; else with the first check that failed.
func (r Run) violation() Story {
	failing := r.Failing()
	if len(failing) == 0 {
		for _, c := range r.Checks {
			if c.Verdict == fail {
				return r.broken(c)
			}
		}
		return Story{Headline: "A promise was broken.", Lead: sentenced(r.Reason)}
	}
	first := failing[0]
	s := Story{Headline: "No order of the operations explains what the clients were told.", Lead: sentenced(first.Message)}
	if e := first.Explanation; e != nil {
		s.Headline, s.Lead = cmp.Or(broken[e.Pattern], s.Headline), sentenced("Key "+first.Key+": "+e.Sentence)
		s.Facts = r.facts(first.Key, r.shown(*e))
	}
	if more := len(failing) - 1; more > 0 {
		s.Facts = append(s.Facts, Fact{Label: "and more", Text: counted(more, "other key") + " failed too; each is drawn below."})
	}
	return s
}

// broken tells a failed check that is about members and not about the history.
func (r Run) broken(c Check) Story {
	s := Story{Headline: sentenced(upper(c.Name) + ": a promise was broken"), Lead: sentenced(c.Reason)}
	for _, f := range r.Observed.Findings {
		if string(f.Rule) == c.Name {
			s.Facts = append(s.Facts, Fact{Label: "seen at", Text: clock(f.At) + ": " + f.Text}, r.meanwhile(f.At, f.At), r.led(f.At))
			break
		}
	}
	return s
}

// shown are the operations of an explanation: the one that showed it comes first.
func (r Run) shown(e linearizability.Explanation) []linearizability.Operation {
	var ops []linearizability.Operation
	for _, id := range e.Operations {
		if op, ok := r.operation(id); ok {
			ops = append(ops, op)
		}
	}
	return ops
}

// facts are which operations, how long apart, under which fault, and who led.
func (r Run) facts(key string, ops []linearizability.Operation) []Fact {
	if len(ops) == 0 {
		return nil
	}
	shows := ops[0]
	facts := []Fact{{Label: "① it shows in", Text: sentenced(r.sentence(shows)), Key: key}}
	from, to := shows.Call, max(shows.Call, shows.Return)
	for i, op := range ops[1:] {
		facts = append(facts, Fact{Label: circled(i+1) + " against", Text: sentenced(r.sentence(op))})
		from, to = min(from, op.Call), max(to, op.Return)
	}
	if len(ops) > 1 {
		facts = append(facts, Fact{Label: "how long before", Text: r.apart(shows, ops[1:])})
	}
	return append(facts, r.meanwhile(from, to), r.led(shows.Call))
}

// apart says how long before the call of one operation the last of the others had returned.
func (r Run) apart(shows linearizability.Operation, others []linearizability.Operation) string {
	var last linearizability.Operation
	for _, op := range others {
		if op.Outcome == linearizability.OK && op.Return <= shows.Call && op.Return > last.Return {
			last = op
		}
	}
	if last.ID == 0 {
		return "They overlap in time, or have no known end."
	}
	return fmt.Sprintf("%s was answered at %s: %s before %s began.", upper(asked(last)), clock(last.Return), short(shows.Call-last.Return), asked(shows))
}

func (r Run) meanwhile(from, to time.Duration) Fact {
	faults := r.during(from, to)
	if len(faults) == 0 {
		before := "no fault came before it"
		for _, f := range r.Faults {
			if f.Done() && f.To < from {
				before = fmt.Sprintf("#%d (%s) had ended %s before", f.Number, f.Name(), short(from-f.To))
			}
		}
		return Fact{Label: "fault", Text: "None was in force; " + before + "."}
	}
	var words []string
	for _, f := range faults {
		where := strings.Join(f.Nodes, " ")
		if f.Leader != "" && slices.Contains(f.Nodes, f.Leader) {
			where += fmt.Sprintf(" (%s led in term %d)", f.Leader, f.Term)
		}
		words = append(words, fmt.Sprintf("#%d %s at %s, from %s to %s, %s: %s", f.Number, f.Name(), where, clock(f.From), clock(f.To), f.Evidence.Outcome, f.Evidence.Says))
	}
	return Fact{Label: "fault", Text: sentenced(strings.Join(words, "; "))}
}

// led says what each member called itself at that time.
func (r Run) led(at time.Duration) Fact {
	var words []string
	for _, node := range r.members() {
		if !r.heard(node, at) {
			continue
		}
		said := "did not answer"
		if s, ok := r.sampleAt(node, at); ok && s.Status != nil {
			said = fmt.Sprintf("%s of term %d", s.Status.Role, s.Status.Term)
		}
		words = append(words, node+" "+said)
	}
	if len(words) == 0 {
		return Fact{Label: "members then", Text: "Nobody asked the members what they are."}
	}
	return Fact{Label: "members then", Text: strings.Join(words, ", ") + "."}
}

// Failing are the keys whose history fails, in the order of their names.
func (r Run) Failing() []linearizability.KeyReport { return r.Linearizable.Failing() }

func circled(i int) string { return string(rune('①' + i)) }

// sentenced begins with a capital and ends with a full stop.
func sentenced(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, ")") && strings.HasSuffix(s, ".)") {
		return upper(s)
	}
	return upper(s) + "."
}

// upper begins with a capital, unless the first word is a name such as n1.
func upper(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if s == "" || strings.ContainsAny(first, "0123456789") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
