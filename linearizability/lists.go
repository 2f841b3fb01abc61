package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A list is a value of elements with a blank between them. Elements are appended by a cas from the list to the list with
// one more, and no element is ever tried twice, so values stay unique and the same history is one of registers too.

// ListOf takes a value apart.
func ListOf(value string) []string { return strings.Fields(value) }

// ListReport is the verdict over a history of lists.
type ListReport struct {
	Verdict  Verdict `json:"verdict"`
	Message  string  `json:"message"`
	Lists    int     `json:"lists"` // that were read
	Elements int     `json:"elements"`
	Broken   int     `json:"broken"`
	// First is what was found first, by the time of the read that shows it.
	First []string      `json:"first,omitempty"`
	Took  time.Duration `json:"took_ns"`
}

// brokenMax bounds what is told: one lost element breaks every read after it.
const brokenMax = 5

// CheckLists looks at each list that was read, and at nothing that a search would need: no element is in it twice, none
// that nobody appended or whose append failed, none is missing that was acknowledged before the read began or that an
// earlier read had seen, and of two lists one begins with the other. It proves less than Check over the same history, and
// shares nothing with it: it would find what Check forgives.
func CheckLists(ops []Operation) (r ListReport) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			r = ListReport{Verdict: Undecided, Message: fmt.Sprintf("the checker panicked: %v", p)}
		}
		r.Took = time.Since(start)
	}()
	if err := wellFormed(ops); err != nil {
		return ListReport{Verdict: Undecided, Message: "not judged, the history is ill-formed: " + err.Error()}
	}
	found := []finding{}
	for _, key := range byKey(ops) {
		l := newLists(key)
		r.Lists, r.Elements = r.Lists+len(l.reads), r.Elements+len(l.added)
		found = append(found, l.check()...)
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.at, b.at) })
	r.Broken = len(found)
	for _, f := range found[:min(len(found), brokenMax)] {
		r.First = append(r.First, f.text)
	}
	r.Verdict, r.Message = Pass, fmt.Sprintf("%s with %s appended", plural(r.Lists, "list"), plural(r.Elements, "element"))
	switch {
	case r.Broken > 0:
		r.Verdict, r.Message = Fail, r.First[0]
		if r.Broken > 1 {
			r.Message += fmt.Sprintf(" (and %d more)", r.Broken-1)
		}
	case r.Lists == 0 || r.Elements == 0:
		r.Verdict, r.Message = Undecided, "no list was read, so nothing could have been found"
	}
	return r
}

type finding struct {
	at   time.Duration
	text string
}

// lists is what is known of one key.
type lists struct {
	added map[string]*Operation // who appended an element
	acked []*Operation          // appends that were acknowledged, by their returns
	reads []*Operation          // gets that found a list, by their returns
	empty []*Operation          // gets that found nothing
}

func newLists(ops []Operation) *lists {
	l := &lists{added: map[string]*Operation{}}
	for i := range ops {
		op := &ops[i]
		switch {
		case op.Kind == Put || op.Kind == CAS:
			l.added[element(op)] = op
			if did(op) {
				l.acked = append(l.acked, op)
			}
		case op.Kind == Get && op.Outcome == OK && op.Got != nil:
			l.reads = append(l.reads, op)
		case op.Kind == Get && op.Outcome == OK:
			l.empty = append(l.empty, op)
		}
	}
	sortByReturn(l.acked)
	sortByReturn(l.reads)
	return l
}

// element is what an append adds: the last of its list.
func element(op *Operation) string {
	all := ListOf(op.Value)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func (l *lists) check() []finding {
	var found []finding
	tell := func(op *Operation, format string, args ...any) {
		found = append(found, finding{op.Return, fmt.Sprintf("get (#%d at %s) of %s ", op.ID, op.Node, op.Key) + fmt.Sprintf(format, args...)})
	}
	var longest []string // that any read has shown so far, and who
	var by *Operation
	for _, op := range l.reads {
		list := ListOf(*op.Got)
		has := map[string]bool{}
		for _, e := range list {
			w := l.added[e]
			switch {
			case has[e]:
				tell(op, "shows %s twice", show(e))
			case w == nil:
				tell(op, "shows %s, which nobody appended", show(e))
			case !mayWrite(w):
				tell(op, "shows %s, though %s did not happen: %s", show(e), appendOf(w), notDone(w))
			case before(op, w):
				tell(op, "shows %s before it was appended", show(e))
			}
			has[e] = true
		}
		for _, w := range l.acked {
			if before(w, op) && !has[element(w)] {
				tell(op, "does not show %s, though %s was acknowledged %s before it began", show(element(w)), appendOf(w), gap(w, op))
			}
		}
		if n := min(len(list), len(longest)); !slices.Equal(list[:n], longest[:n]) {
			tell(op, "shows another order than get (#%d at %s) did", by.ID, by.Node)
		}
		if by != nil && len(list) < len(longest) && before(by, op) {
			tell(op, "shows %s, and get (#%d at %s) had seen %d %s before it began", plural(len(list), "element"), by.ID, by.Node, len(longest), gap(by, op))
		}
		if len(list) > len(longest) {
			longest, by = list, op
		}
	}
	for _, op := range l.empty {
		if len(l.acked) > 0 && before(l.acked[0], op) {
			tell(op, "found nothing, though %s was acknowledged %s before it began", appendOf(l.acked[0]), gap(l.acked[0], op))
		}
	}
	return found
}

func appendOf(op *Operation) string {
	return fmt.Sprintf("the append of %s (#%d at %s)", show(element(op)), op.ID, cmp.Or(op.Node, "no node"))
}
