package linearizability

import (
	"fmt"
	"hash/maphash"
	"time"

	"github.com/anishathalye/porcupine"
)

// content is what a key can hold. There is one per value, so the search compares pointers and allocates none.
type content struct {
	text string
	here bool // false for the one content that means: the key is absent
	hash uint64
}

func (c *content) String() string {
	if !c.here {
		return "nothing"
	}
	return c.text
}

// step is an operation as the model sees it: its call and its result together.
type step struct {
	kind    Kind
	unknown bool
	value   *content // put, cas: what it writes
	expect  *content // cas
	got     *content // get
	swapped bool     // cas
	op      *Operation
}

// register is the sequential specification of one key: may a step happen while the key holds c, and what does
// the key hold afterwards?
type register func(c *content, s *step) (bool, *content)

// newRegister is the specification that we promise. An unknown operation is a step that never refuses. It
// returns at infinity, so an order may put it at the very end, where nobody sees it: that is how it "never
// happened" (porcupine #8).
func newRegister(absent *content) register {
	return func(c *content, s *step) (bool, *content) {
		switch s.kind {
		case Get:
			return c == s.got, c
		case Put:
			return true, s.value
		case Delete:
			return true, absent
		default: // CAS
			switch {
			case s.unknown && c == s.expect:
				return true, s.value
			case s.unknown:
				return true, c
			case s.swapped:
				return c == s.expect, s.value
			default:
				return c != s.expect, c
			}
		}
	}
}

// keyHistory is the operations of one key, ready to be searched.
type keyHistory struct {
	key    string
	absent *content
	all    []Operation           // everything that was recorded, in the order of the calls
	search []porcupine.Operation // what an order must contain
}

// newKeyHistory keeps what can bear witness. An operation that failed certainly did not happen and is dropped:
// if it shows itself, no operation wrote what was read. A read without a known answer says nothing.
func newKeyHistory(key string, ops []Operation) *keyHistory {
	h := &keyHistory{key: key, absent: &content{}, all: ops}
	seed := maphash.MakeSeed()
	contents := map[string]*content{}
	intern := func(text string) *content {
		c := contents[text]
		if c == nil {
			c = &content{text: text, here: true, hash: maphash.String(seed, text)}
			contents[text] = c
		}
		return c
	}
	end := infinity(ops)
	for i := range ops {
		op := &ops[i]
		unknown := isUnknown(*op)
		if op.Outcome == Failed || (unknown && op.Kind == Get) {
			continue
		}
		s := &step{kind: op.Kind, unknown: unknown, swapped: op.Swapped, got: h.absent, op: op}
		if op.Got != nil {
			s.got = intern(*op.Got)
		}
		s.value, s.expect = intern(op.Value), intern(op.Expect)
		returned := op.Return
		if unknown {
			returned = end
		}
		h.search = append(h.search, porcupine.Operation{
			ClientId: op.Process, Input: s, Call: int64(op.Call), Return: int64(returned), Metadata: op,
		})
	}
	return h
}

// isUnknown is also true of an operation that never returned.
func isUnknown(op Operation) bool { return op.Outcome == Unknown || op.Outcome == "" }

// infinity is a time after everything in the history. It is near, so that a drawing stays readable.
func infinity(ops []Operation) time.Duration {
	var last time.Duration
	for _, op := range ops {
		last = max(last, op.Call, op.Return)
	}
	return last + 1
}

// describeStep is the text in a drawing.
func describeStep(s *step) string {
	op := s.op
	text := fmt.Sprintf("#%d %s", op.ID, op.Kind)
	switch {
	case op.Kind == Get:
		text += fmt.Sprintf(" = %v", s.got)
	case op.Kind == Put:
		text += " " + op.Value
	case op.Kind == CAS:
		text += fmt.Sprintf(" %s to %s", op.Expect, op.Value)
		if !s.unknown && !s.swapped {
			text += " refused"
		}
	}
	if s.unknown {
		text += " ?"
	}
	return text
}
