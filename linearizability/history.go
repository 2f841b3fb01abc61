package linearizability

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Kind is what a client asked for.
type Kind string

const (
	Get    Kind = "get"
	Put    Kind = "put"
	Delete Kind = "delete"
	CAS    Kind = "cas" // write Value if the key holds Expect
)

// Outcome is what the client may conclude. When in doubt it is Unknown.
type Outcome string

const (
	OK      Outcome = "ok"      // certainly happened, between call and return
	Failed  Outcome = "failed"  // certainly did not happen, and never will
	Unknown Outcome = "unknown" // may have happened, or may yet: concurrent with everything after its call
)

// Operation is one attempt on the wire, or several where it says so (Once): its call and, if there was one, its return. Times are from one
// monotonic clock, counted from the start of the history.
type Operation struct {
	ID      int64  `json:"id"`      // order of the calls, from 1
	Process int    `json:"process"` // one at a time; a process that got Unknown never calls again
	Client  int    `json:"client"`  // the worker behind the process
	Node    string `json:"node"`    // the member that was asked
	Phase   string `json:"phase,omitempty"`

	Kind   Kind   `json:"kind"`
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`  // Put, CAS: what to write; unique in its history
	Expect string `json:"expect,omitempty"` // CAS: what must be there
	// Once is the idempotency key of a write that may be sent more than once and must be done once; then the operation is
	// from the first call to the last return.
	Once string `json:"once,omitempty"`

	Call   time.Duration `json:"call_ns"`
	Return time.Duration `json:"return_ns,omitempty"` // zero where it never returned
	Result
}

// Result is what came back from one attempt.
type Result struct {
	Outcome Outcome `json:"outcome,omitempty"`
	Got     *string `json:"got,omitempty"`     // Get, OK: the value; nil where the key was absent
	Swapped bool    `json:"swapped,omitempty"` // CAS, OK: whether Value was written
	// Index is where the server says that this happened in its log, one log for all keys: the entry of a write, the last
	// entry that a read could see. Zero where it does not say. Term is that entry's, not the server's.
	Index uint64 `json:"index,omitempty"`
	Term  uint64 `json:"term,omitempty"`
	// Version is the Index of the write whose value a Get shows, or that a refused CAS met; zero where the server does
	// not say.
	Version uint64 `json:"version,omitempty"`
	// NoEffect: the server says that a Delete found nothing to delete, and that Index is that of a read.
	NoEffect bool   `json:"no_effect,omitempty"`
	ServedBy string `json:"served_by,omitempty"`
	Error    string `json:"error,omitempty"`
	// Bug is set where the member itself called its reply the result of a bug. It changes no outcome; a lab that sees it
	// need not look further.
	Bug bool `json:"bug,omitempty"`
	// Attempts counts those on the wire where there were more than one.
	Attempts int `json:"attempts,omitempty"`
}

// Header is the first line of a history.
type Header struct {
	Started time.Time         `json:"started"` // wall clock at time zero of the history
	Seed    int64             `json:"seed"`
	Meta    map[string]string `json:"meta,omitempty"` // whatever helps to read it later
}

// History is what was recorded: the operations in the order of their calls.
type History struct {
	Header     Header
	Operations []Operation
	// Torn says what was cut off at the end because the writer was killed; empty when nothing was. The
	// verdict is not weakened by it: the operation had not been sent, or its return is Unknown.
	Torn string
}

// Counts counts operations by outcome. Operations is more than the sum of the others while calls are open.
type Counts struct {
	Operations int `json:"operations"`
	OK         int `json:"ok"`
	Failed     int `json:"failed"`
	Unknown    int `json:"unknown"`
}

// Count counts ops. One without an outcome never returned and is Unknown.
func Count(ops []Operation) Counts {
	c := Counts{Operations: len(ops)}
	for _, op := range ops {
		c.add(op.Outcome)
	}
	return c
}

func (c *Counts) add(o Outcome) {
	switch o {
	case OK:
		c.OK++
	case Failed:
		c.Failed++
	default:
		c.Unknown++
	}
}

// Value is a pointer to s, for Result.Got.
func Value(s string) *string { return &s }

// validCall says whether a call can be recorded, and then judged.
func (op Operation) validCall() error {
	switch op.Kind {
	case Get, Delete:
		if op.Value != "" || op.Expect != "" {
			return fmt.Errorf("a %s has no value and nothing to expect", op.Kind)
		}
	case Put:
		if op.Expect != "" {
			return errors.New("a put expects nothing; use cas")
		}
	case CAS:
		if op.Expect == op.Value {
			return errors.New("a cas must write another value than it expects, or nobody sees whether it swapped")
		}
	default:
		return fmt.Errorf("kind %q is none of get, put, delete and cas", op.Kind)
	}
	if op.Once != "" && op.Kind == Get {
		return errors.New("a get changes nothing, so it needs no idempotency key")
	}
	if op.ID <= 0 {
		return fmt.Errorf("id %d is not positive", op.ID)
	}
	if op.Key == "" {
		return errors.New("the key is empty")
	}
	for _, s := range []string{op.Key, op.Value, op.Expect, op.Node, op.Phase} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8, which JSON would change", s)
		}
	}
	return nil
}

// valid says whether a result can belong to an operation of this kind.
func (r Result) valid(kind Kind) error {
	switch r.Outcome {
	case OK, Failed, Unknown:
	default:
		return fmt.Errorf("outcome %q is none of ok, failed and unknown", r.Outcome)
	}
	if r.Swapped && (kind != CAS || r.Outcome != OK) {
		return fmt.Errorf("a %s that is %s cannot have swapped", kind, r.Outcome)
	}
	if r.NoEffect && (kind != Delete || r.Outcome != OK) {
		return fmt.Errorf("a %s that is %s cannot have found nothing to delete", kind, r.Outcome)
	}
	if r.Got != nil && (kind != Get || r.Outcome != OK) {
		return fmt.Errorf("a %s that is %s cannot have got a value", kind, r.Outcome)
	}
	return nil
}
