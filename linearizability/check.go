package linearizability

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verdict is PASS, FAIL or UNKNOWN.
type Verdict string

const (
	Pass      Verdict = "PASS"    // there is an order of the operations, and it was found
	Fail      Verdict = "FAIL"    // there is certainly none
	Undecided Verdict = "UNKNOWN" // we do not know, and Message says why
)

// Worse returns the worse of the two: FAIL before UNKNOWN before PASS. Anything that is none of the three
// counts as UNKNOWN.
func (v Verdict) Worse(other Verdict) Verdict {
	switch {
	case v == Fail || other == Fail:
		return Fail
	case v == Pass && other == Pass:
		return Pass
	default:
		return Undecided
	}
}

// Options bounds a check. Zero values mean the defaults.
type Options struct {
	KeyTimeout  time.Duration // for one key, 10 s
	Timeout     time.Duration // for the whole check, 60 s
	MemoryBytes int64         // for all searches at once, with what the collector has not freed yet; 1 GiB
	Parallel    int           // keys searched at once; the number of CPUs
}

// Validate names every bad field with its rule.
func (o Options) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"KeyTimeout", int64(o.KeyTimeout)},
		{"Timeout", int64(o.Timeout)},
		{"MemoryBytes", o.MemoryBytes},
		{"Parallel", int64(o.Parallel)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("linearizability: %s %d must not be negative", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.KeyTimeout == 0 {
		o.KeyTimeout = 10 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 1 << 30
	}
	if o.Parallel == 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	return o
}

// shareBytes is what one search may keep. Half is left to the collector, which by default lets the heap grow
// to twice what was alive.
func (o Options) shareBytes() int64 { return o.MemoryBytes / 2 / int64(o.Parallel) }

// Report is the verdict over a history, and what it rests on.
type Report struct {
	Verdict Verdict       `json:"verdict"`
	Message string        `json:"message"` // one line
	Counts  Counts        `json:"counts"`
	Took    time.Duration `json:"took_ns"`
	Keys    []KeyReport   `json:"keys"` // in the order of their names
}

// Failing returns the keys that failed.
func (r Report) Failing() []KeyReport {
	return slices.DeleteFunc(slices.Clone(r.Keys), func(k KeyReport) bool { return k.Verdict != Fail })
}

// KeyReport is the verdict over one key.
type KeyReport struct {
	Key     string  `json:"key"`
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message,omitempty"` // the sentence where it failed, the reason where it is unknown
	Counts  Counts  `json:"counts"`
	// Judged is how many operations an order had to contain: all but the failed ones and the reads without
	// an answer.
	Judged int `json:"judged"`
	// InFlight is how many of them were open at once at most, those without a known end included.
	InFlight    int           `json:"in_flight"`
	Steps       int64         `json:"steps"` // of the search
	Took        time.Duration `json:"took_ns"`
	Explanation *Explanation  `json:"explanation,omitempty"`
}

// Check decides whether each key is linearizable: whether its operations can be put into one order that
// respects real time and in which every answer is right. It returns when ctx ends, with UNKNOWN for the keys
// that it had not decided.
func Check(ctx context.Context, ops []Operation, options Options) Report {
	return checker{newRegister: newRegister}.check(ctx, ops, options)
}

// checker carries the model, so that a test can break it.
type checker struct {
	newRegister func(absent *content) register
}

func (c checker) check(ctx context.Context, ops []Operation, options Options) Report {
	start := time.Now()
	report := Report{Verdict: Undecided, Counts: Count(ops)}
	defer func() { report.Took = time.Since(start) }()
	if err := options.Validate(); err != nil {
		report.Message = err.Error()
		return report
	}
	if err := wellFormed(ops); err != nil {
		report.Message = "not judged, the history is ill-formed: " + err.Error()
		return report
	}
	options = options.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, options.Timeout,
		fmt.Errorf("the check reached its time limit of %v", options.Timeout))
	defer cancel()

	keys := byKey(ops)
	report.Keys = make([]KeyReport, len(keys))
	var workers sync.WaitGroup
	next := make(chan int)
	for range min(options.Parallel, len(keys)) {
		workers.Go(func() {
			for i := range next {
				report.Keys[i] = c.checkKey(ctx, keys[i], options)
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	workers.Wait()
	report.Verdict, report.Message = summarise(report.Keys, ops)
	report.Took = time.Since(start)
	return report
}

// checkKey judges one key by two ways that share no code: the direct search for a contradiction, which proves
// FAIL and nothing else, and porcupine. Where porcupine gives up, a contradiction still counts; where they
// disagree one of them is wrong, and nothing is known.
func (c checker) checkKey(ctx context.Context, ops []Operation, options Options) (k KeyReport) {
	start := time.Now()
	k = KeyReport{Key: ops[0].Key, Verdict: Undecided, Counts: Count(ops)}
	defer func() {
		if p := recover(); p != nil {
			k.Verdict, k.Message = Undecided, fmt.Sprintf("the checker panicked: %v", p)
		}
		k.Took = time.Since(start)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, options.KeyTimeout,
		fmt.Errorf("the key reached its time limit of %v", options.KeyTimeout))
	defer cancel()

	h := newKeyHistory(k.Key, ops)
	k.Judged, k.InFlight = len(h.search), inFlight(h)
	found := contradiction(ctx, ops)
	verdict, steps, why := c.decide(ctx, h, options)
	k.Steps = steps
	switch {
	case verdict == Fail && found == nil:
		e := c.explainUnordered(ctx, h, options)
		k.Verdict, k.Explanation, k.Message = Fail, &e, e.Sentence
	case verdict == Fail:
		k.Verdict, k.Explanation, k.Message = Fail, found, found.Sentence
	case verdict == Undecided && found != nil:
		k.Verdict, k.Explanation = Fail, found
		k.Message = fmt.Sprintf("%s (the search itself did not end: %v)", found.Sentence, why)
	case verdict == Undecided:
		k.Message = fmt.Sprintf("not decided: %v, at %d operations with up to %d in flight",
			why, k.Judged, k.InFlight)
	case found != nil:
		k.Explanation = found
		k.Message = "the two checkers disagree, so one has a bug: porcupine found an order, but " + found.Sentence
	default:
		k.Verdict = Pass
	}
	return k
}

// decide asks porcupine.
func (c checker) decide(ctx context.Context, h *keyHistory, options Options) (Verdict, int64, error) {
	s := search{
		register:   c.newRegister(h.absent),
		entriesMax: entryBudget(options.shareBytes(), len(h.search)),
	}
	verdict, _, err := s.run(ctx, h, h.search, false)
	return verdict, s.steps, err
}

// summarise takes the worst of all keys, and refuses to pass a history in which nothing was read.
func summarise(keys []KeyReport, ops []Operation) (Verdict, string) {
	if len(keys) == 0 {
		return Undecided, "the history is empty: there was nothing to check"
	}
	verdict := Pass
	names := map[Verdict][]string{}
	for _, k := range keys {
		verdict = verdict.Worse(k.Verdict)
		names[k.Verdict] = append(names[k.Verdict], k.Key)
	}
	message := fmt.Sprintf("%s on %s: %d linearizable", plural(len(ops), "operation"), plural(len(keys), "key"), len(names[Pass]))
	for _, v := range []struct {
		verdict Verdict
		word    string
	}{{Fail, "not linearizable"}, {Undecided, "not decided"}} {
		if n := names[v.verdict]; len(n) > 0 {
			message += fmt.Sprintf(", %d %s (%s)", len(n), v.word, list(n, 5))
		}
	}
	if verdict == Pass && !slices.ContainsFunc(ops, reads) {
		return Undecided, message + "; but no operation read a value, so nothing could have been found"
	}
	return verdict, message
}

// reads says whether the operation saw what the key held.
func reads(op Operation) bool {
	return op.Outcome == OK && (op.Kind == Get || op.Kind == CAS)
}

func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, " ")
	}
	return strings.Join(names[:most], " ") + fmt.Sprintf(" and %d more", len(names)-most)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
