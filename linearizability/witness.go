package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule names what a claimed order must hold to. Each is checked in O(n log n) over all operations.
type Rule string

const (
	UniqueIndexes Rule = "unique-index" // two writes never have one log index, and one write never has two
	OneTerm       Rule = "one-term"     // an index belongs to one term, and terms never go back along the log
	ReplayEqual   Rule = "replay"       // each answer is the newest write at or below its index
	RealTime      Rule = "real-time"    // who begins after another has returned comes behind it, over all keys
	LogsAgree     Rule = "logs-agree"   // members hold the same write at the same index
	LogComplete   Rule = "log-complete" // what was acknowledged is in every log that reaches so far
	LogFounded    Rule = "log-founded"  // what is in a log was asked for, and had not failed
)

// Log is what one member's log holds from one index to another, as the member itself tells it after it was healed: every
// write of that range is in Entries, in any order, and whatever else is in the range wrote no key.
type Log struct {
	Node     string     `json:"node"`
	From, To uint64     `json:"-"` // both included
	Entries  []LogEntry `json:"-"`
}

// LogEntry is a write that took effect.
type LogEntry struct {
	Index, Term uint64 // Term is zero where the log does not tell
	Kind        Kind   // Put (of a cas that swapped too) or Delete
	Key, Value  string
	Operation   int64 // the id of the operation, where the log knows it
}

// Witnessed is the verdict over the order that the servers themselves claim.
type Witnessed struct {
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message"` // one line
	// Unpatched is the verdict without the members' logs: from what clients were told alone.
	Unpatched        Verdict       `json:"unpatched"`
	UnpatchedMessage string        `json:"unpatched_message"`
	Nothing          bool          `json:"nothing,omitempty"` // no reply carries an index: there was nothing to look at
	Seen             Claims        `json:"seen"`
	Broken           int           `json:"broken"`     // claims that are false
	Violations       []Violation   `json:"violations"` // the first of them, by rule
	Took             time.Duration `json:"took_ns"`
}

// Claims counts what a verdict rests on.
type Claims struct {
	Writes int `json:"writes"` // that have an index
	Reads  int `json:"reads"`  // that were replayed: gets, and the side of a cas that reads
	// Filled writes were of unknown outcome, and have an index because a reply or a log shows them.
	Filled int `json:"filled"`
	Open   int `json:"open"` // writes that may have happened, and nobody could tell where
	// Gaps are reads that only an open write could explain. Which one is not guessed: they are not judged.
	Gaps       int    `json:"gaps"`
	Unclaimed  int    `json:"unclaimed"`   // answers without an index
	Logs       int    `json:"logs"`        // members that told their log
	LogEntries int    `json:"log_entries"` // that were compared
	Highest    uint64 `json:"highest"`     // index
}

// Violation is a claim that cannot be true.
type Violation struct {
	Rule       Rule    `json:"rule"`
	Sentence   string  `json:"sentence"`
	Key        string  `json:"key,omitempty"`
	Operations []int64 `json:"operations"` // ids; the one that showed it comes first
}

// violationsMax bounds what is kept: one lost write breaks every read after it.
const violationsMax = 20

// Witness checks the order that the servers claim: by the log index that every reply carries (Result.Index), by the
// version that reads show (Result.Version), and by the members' logs where they could be asked. If every write has an
// index and every claim holds, the history is linearizable, because the claimed order itself is the proof; no search is
// needed. A claim that is false convicts the server even where another order could explain what clients saw.
//
// It never guesses which write of unknown outcome filled a gap. Without an index from a reply or a log such a write
// stays open, and a read that only it could explain is counted and not judged.
func Witness(ops []Operation, logs []Log) (r Witnessed) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			r = Witnessed{Verdict: Undecided, Unpatched: Undecided, Message: fmt.Sprintf("the checker panicked: %v", p)}
		}
		r.Took = time.Since(start)
	}()
	if err := wellFormed(ops); err != nil {
		r.Verdict, r.Unpatched = Undecided, Undecided
		r.Message = "not judged, the history is ill-formed: " + err.Error()
		return r
	}
	r = judgeClaims(ops, nil)
	r.Unpatched, r.UnpatchedMessage = r.Verdict, r.Message
	if len(logs) > 0 && !r.Nothing {
		patched := judgeClaims(ops, logs)
		patched.Unpatched, patched.UnpatchedMessage = r.Verdict, r.Message
		r = patched
	}
	return r
}

// judgeClaims is Witness for one choice of what may be asked.
func judgeClaims(ops []Operation, logs []Log) Witnessed {
	w := newWitness(ops)
	w.placeSeen()
	w.placeLogged(logs)
	w.collect()
	w.unique()
	w.terms()
	w.replayAll()
	w.realTime()
	w.agree(logs)
	return w.report()
}

// position is where a write of known or unknown outcome took effect, by somebody's word.
type position struct {
	index uint64
	term  uint64 // zero where nobody told
	op    *Operation
	value string // what the key holds from here on
	here  bool   // false: the key is absent from here on
}

// witness is one check under way.
type witness struct {
	ops     []Operation
	writers map[string]*Operation // by value: each is written once
	byID    map[int64]*Operation
	filled  map[*Operation]position // writes of unknown outcome that a reply or a log shows
	nobody  []positionOn            // deletes in a log that no single operation can be named for
	keys    map[string]*claimed
	all     []positionOn // every write with an index, by index
	covers  []Log        // ranges in which the writes are known to be complete

	seen       Claims
	broken     int
	violations map[Rule][]Violation
}

type positionOn struct {
	key string
	position
}

// claimed is what is said of one key.
type claimed struct {
	writes []position   // by index
	open   []*Operation // may have happened, at an index that nobody told
	reads  []*Operation // whoever saw what the key held
}

func newWitness(ops []Operation) *witness {
	w := &witness{
		ops: ops, writers: make(map[string]*Operation, len(ops)/2), byID: map[int64]*Operation{},
		filled: map[*Operation]position{}, keys: map[string]*claimed{}, violations: map[Rule][]Violation{},
	}
	for i := range ops {
		if op := &ops[i]; op.Kind == Put || op.Kind == CAS {
			w.writers[op.Value] = op
		}
	}
	return w
}

// idle: the server says that the delete found nothing to delete. Its index is then that of a read.
func idle(op *Operation) bool { return op.Kind == Delete && op.Outcome == OK && op.NoEffect }

// wrote: the operation certainly has an index of its own in the log.
func wrote(op *Operation) bool { return did(op) && !idle(op) }

// looked: the answer says what the key held.
func looked(op *Operation) bool { return reads(*op) || idle(op) }

func (w *witness) on(key string) *claimed {
	c := w.keys[key]
	if c == nil {
		c = &claimed{}
		w.keys[key] = c
	}
	return c
}

// collect sorts every write to its place in its key, and sets aside what has none.
func (w *witness) collect() {
	for i := range w.ops {
		op := &w.ops[i]
		c := w.on(op.Key)
		if looked(op) {
			if op.Index == 0 {
				w.seen.Unclaimed++
			} else {
				c.reads = append(c.reads, op)
			}
		}
		at, filled := w.filled[op]
		switch {
		case filled:
			w.seen.Filled++
			w.add(op.Key, at)
		case wrote(op) && op.Index > 0:
			w.add(op.Key, position{op.Index, op.Term, op, op.Value, op.Kind != Delete})
		case wrote(op):
			w.seen.Unclaimed++
			c.open = append(c.open, op)
		case mayWrite(op) && !idle(op):
			c.open = append(c.open, op)
		}
		if op.Outcome == OK {
			w.seen.Highest = max(w.seen.Highest, op.Index)
		}
	}
	for _, p := range w.nobody {
		w.add(p.key, p.position)
	}
	for _, c := range w.keys {
		slices.SortStableFunc(c.writes, func(a, b position) int { return cmp.Compare(a.index, b.index) })
		w.seen.Open += len(c.open)
	}
	slices.SortStableFunc(w.all, func(a, b positionOn) int { return cmp.Compare(a.index, b.index) })
	w.seen.Writes = len(w.all)
}

func (w *witness) add(key string, p position) {
	w.on(key).writes = append(w.on(key).writes, p)
	if w.all == nil {
		w.all = make([]positionOn, 0, len(w.writers))
	}
	w.all = append(w.all, positionOn{key, p})
}

func (w *witness) find(rule Rule, key string, ops []*Operation, format string, args ...any) {
	w.broken++
	if len(w.violations[rule]) >= violationsMax {
		return
	}
	v := Violation{Rule: rule, Key: key, Sentence: fmt.Sprintf(format, args...)}
	for _, op := range ops {
		if op != nil && !slices.Contains(v.Operations, op.ID) {
			v.Operations = append(v.Operations, op.ID)
		}
	}
	w.violations[rule] = append(w.violations[rule], v)
}

// gapsMax is the share of reads, one in so many, that may go unjudged in a PASS: in what is not judged violations hide.
const gapsMax = 10

func (w *witness) report() Witnessed {
	r := Witnessed{Verdict: Pass, Seen: w.seen, Broken: w.broken}
	for _, rule := range []Rule{ReplayEqual, RealTime, UniqueIndexes, LogComplete, LogFounded, LogsAgree, OneTerm} {
		r.Violations = append(r.Violations, w.violations[rule]...)
	}
	r.Violations = r.Violations[:min(len(r.Violations), violationsMax)]
	judged := w.seen.Reads
	r.Message = w.seen.String()
	switch {
	case w.broken > 0:
		r.Verdict = Fail
		r.Message = "the claimed order is false: " + r.Violations[0].Sentence
		if w.broken > 1 {
			r.Message += fmt.Sprintf(" (and %d more)", w.broken-1)
		}
	case w.seen.Highest == 0:
		r.Verdict, r.Nothing, r.Message = Undecided, true, "nothing to look at: no reply carries a log index"
	case judged == 0:
		r.Verdict = Undecided
		r.Message += "; but no read could be judged, so nothing could have been found"
	case w.seen.Gaps*gapsMax > judged+w.seen.Gaps:
		r.Verdict = Undecided
		r.Message += fmt.Sprintf("; more than one read in %d went unjudged", gapsMax)
	}
	return r
}

func (c Claims) String() string {
	parts := []string{fmt.Sprintf("%s and %s up to index %d", plural(c.Writes, "write"), plural(c.Reads, "read"), c.Highest)}
	if c.Filled > 0 {
		parts = append(parts, fmt.Sprintf("%d of unknown outcome have their place", c.Filled))
	}
	if c.Open > 0 {
		parts = append(parts, fmt.Sprintf("%d more may have happened", c.Open))
	}
	if c.Gaps > 0 {
		parts = append(parts, plural(c.Gaps, "read")+" that only those explain went unjudged")
	}
	if c.Unclaimed > 0 {
		parts = append(parts, plural(c.Unclaimed, "answer")+" had no index")
	}
	if c.Logs > 0 {
		parts = append(parts, fmt.Sprintf("%s with %s", plural(c.Logs, "log"), entries(c.LogEntries)))
	}
	return strings.Join(parts, ", ")
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
