package linearizability

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteEDN writes a history as Jepsen keeps it (history.edn): one map a line, in the order of time, so that Knossos or
// jepsen.checker can judge the same history. It has the semantics of Jepsen's register workload:
//
//	{:index 0, :time 1000000, :process 0, :type :invoke, :f :write, :value ["k1" "v1"]}
//
// A value is the tuple of key and value that jepsen.independent takes apart. A delete is a write of nil, which is also what
// an absent key reads as. A cas that was refused is :fail with the error :refused, for Jepsen has no other word for it:
// like every :fail it did not happen, so less is claimed than was seen. Unknown is :info, and its process never calls again;
// what never returned has no completion at all, which Jepsen takes for the same. Windows are operations of the process
// :nemesis.
//
// With key not empty only that key is written, and values are no tuples: what Knossos' cas-register takes.
func WriteEDN(w io.Writer, ops []Operation, key string, windows []Window) error {
	var events []ednEvent
	for i := range ops {
		op := &ops[i]
		if key != "" && op.Key != key {
			continue
		}
		events = append(events, ednEvent{op.Call, op.edn("invoke", key == "")})
		if op.Return != 0 {
			events = append(events, ednEvent{op.Return, op.edn(ednType(op), key == "")})
		}
	}
	for _, window := range windows {
		for at, f := range map[time.Duration]string{window.From: "start", window.To: "stop"} {
			if at > 0 {
				events = append(events, ednEvent{at, fmt.Sprintf(":process :nemesis, :type :info, :f :%s, :value %s", f, ednString(window.Name))})
			}
		}
	}
	// Two events at one time are a call and a return of different operations: the call goes first, as they overlap.
	slices.SortStableFunc(events, func(a, b ednEvent) int { return cmp.Compare(a.at, b.at) })
	out := bufio.NewWriter(w)
	for i, e := range events {
		fmt.Fprintf(out, "{:index %d, :time %d, %s}\n", i, e.at.Nanoseconds(), e.text)
	}
	return out.Flush()
}

type ednEvent struct {
	at   time.Duration
	text string
}

func ednType(op *Operation) string {
	switch {
	case op.Outcome == OK && op.Kind == CAS && !op.Swapped, op.Outcome == Failed:
		return "fail"
	case op.Outcome == OK:
		return "ok"
	default:
		return "info"
	}
}

func (op *Operation) edn(kind string, tuple bool) string {
	f, value := "write", ednString(op.Value)
	switch op.Kind {
	case Get:
		f, value = "read", "nil"
		if kind == "ok" && op.Got != nil {
			value = ednString(*op.Got)
		}
	case Delete:
		value = "nil"
	case CAS:
		f, value = "cas", "["+ednString(op.Expect)+" "+ednString(op.Value)+"]"
	}
	if tuple {
		value = "[" + ednString(op.Key) + " " + value + "]"
	}
	text := fmt.Sprintf(":process %d, :type :%s, :f :%s, :value %s", op.Process, kind, f, value)
	switch {
	case kind == "fail" && op.Outcome == OK:
		text += ", :error :refused"
	case kind != "invoke" && kind != "ok" && op.Error != "":
		text += ", :error " + ednString(op.Error)
	}
	if op.Node != "" {
		text += ", :node " + ednString(op.Node)
	}
	return text
}

// ednString escapes what the reader of EDN takes for something else. Clojure's reader knows \uXXXX for the rest.
func ednString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || c == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
