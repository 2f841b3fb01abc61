package report

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Verdicts, as run.json has them.
const (
	pass        = "PASS"
	fail        = "FAIL"
	unknown     = "UNKNOWN"
	environment = "ENVIRONMENT"
	nothing     = "NOTHING" // of a check that had nothing to look at, which weighs nothing
)

// fine: the check says nothing against the run.
func (c Check) fine() bool { return c.Verdict == pass || c.Verdict == nothing }

// Run is what a run directory says.
type Run struct {
	Name string // of the directory
	Summary
	Checks       []Check
	Linearizable linearizability.Report
	Observed     harness.Observed
	History      linearizability.History
	Samples      map[string][]harness.Sample // of each member, in the order in which they came
	Files        []File
	// Missing says what is not in the directory or could not be read, a sentence each. The report shows it: a part that
	// is not there must not look like a part that has nothing to say.
	Missing []string
	Damaged string // why a run.json that is there cannot be read
}

// Summary is run.json.
type Summary struct {
	Verdict     string             `json:"verdict"`
	ExitCode    int                `json:"exit_code"`
	Reason      string             `json:"reason"`
	Interrupted bool               `json:"interrupted"`
	Scenario    string             `json:"scenario"`
	Seed        uint64             `json:"seed"`
	Started     time.Time          `json:"started"`
	World       string             `json:"world"`
	System      string             `json:"system"`
	Members     []string           `json:"members"`
	Addresses   map[string]string  `json:"addresses"` // of members, as they know each other
	Claims      map[string]string  `json:"member_versions"`
	Schedule    []string           `json:"schedule"`
	Took        time.Duration      `json:"took_ns"`
	Leaderless  time.Duration      `json:"without_leader_ns"`
	Gaps        []harness.Interval `json:"leaderless"`
	Unit        string             `json:"dropped_unit"`
	Dropped     uint64             `json:"packets_dropped"`
	Elections   int                `json:"elections"`
	Argv        []string           `json:"argv"`
	Again       string             `json:"again"`
	Versions    map[string]string  `json:"versions"`
	Tested      map[string]string  `json:"tested"`
	Options     map[string]any     `json:"options"`
	Faults      []Fault            `json:"faults"`
	Served      Served             `json:"served"`
	Digest      string             `json:"history_sha256"`

	Counts *linearizability.Counts `json:"operations"`
}

// Served is how the clients of the load fared, over the whole run.
type Served struct {
	Median     time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	LongestGap time.Duration `json:"longest_gap_ns"`
	GapFrom    time.Duration `json:"gap_from_ns"`
}

// Check is one checker's finding.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Looked  string `json:"looked_at"`
	Reason  string `json:"reason"`
}

// Fault is one window of run.json: what was broken, from its intent to its undo, and what proves it.
type Fault struct {
	Number    int             `json:"fault"`
	Text      string          `json:"text"` // as a schedule says it
	What      json.RawMessage `json:"what"`
	Nodes     []string        `json:"nodes"`
	Leader    string          `json:"leader"` // who led before
	Term      uint64          `json:"term"`
	HitLeader bool            `json:"hit_leader"`
	From      time.Duration   `json:"from_ns"`
	InForce   time.Duration   `json:"in_force_ns"`
	To        time.Duration   `json:"to_ns"`
	Quorum    bool            `json:"quorum"`
	Evidence  Evidence        `json:"evidence"`
}

// Evidence is what was seen of a fault.
type Evidence struct {
	Outcome string   `json:"outcome"`
	Says    string   `json:"says"`
	Missing []string `json:"missing"`
	Dropped uint64   `json:"dropped"`
}

// File is one of the directory.
type File struct {
	Name  string // below the directory, with slashes
	Bytes int64
}

// Name is what was broken, in words: "partition leader".
func (f Fault) Name() string {
	if f.Text != "" {
		return f.Text
	}
	var fields struct{ Kind, Target string }
	if json.Unmarshal(f.What, &fields) == nil && fields.Kind != "" {
		return strings.TrimSpace(fields.Kind + " " + fields.Target)
	}
	return strings.Trim(string(f.What), `"`)
}

// Kind is the first word of the name.
func (f Fault) Kind() string {
	kind, _, _ := strings.Cut(f.Name(), " ")
	return kind
}

// Done is false for a fault that was skipped before anything was done: it has no window.
func (f Fault) Done() bool { return f.To > f.From }

// covers says whether the fault was being done, in force or being undone at that time.
func (f Fault) covers(at time.Duration) bool { return f.Done() && f.From <= at && at <= f.To }

// during lists the faults that overlap the stretch of time.
func (r Run) during(from, to time.Duration) []Fault {
	return slices.DeleteFunc(slices.Clone(r.Faults), func(f Fault) bool { return !f.Done() || f.To < from || f.From > to })
}

// node is the name of the member with that address, or the address.
func (r Run) node(address string) string {
	for name, of := range r.Addresses {
		if of == address {
			return name
		}
	}
	return address
}

// operation finds one by its id.
func (r Run) operation(id int64) (linearizability.Operation, bool) {
	ops := r.History.Operations
	if i := int(id) - 1; i >= 0 && i < len(ops) && ops[i].ID == id {
		return ops[i], true
	}
	i := slices.IndexFunc(ops, func(op linearizability.Operation) bool { return op.ID == id })
	if i < 0 {
		return linearizability.Operation{}, false
	}
	return ops[i], true
}

// members are the names of all who were members at any time of the run, in their order.
func (r Run) members() []string {
	names := slices.Clone(r.Members)
	for node := range r.Samples {
		if !slices.Contains(names, node) {
			names = append(names, node)
		}
	}
	slices.SortFunc(names, natural)
	return names
}

// natural orders n2 before n10.
func natural(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// end is when the last thing happened that the report draws.
func (r Run) end() time.Duration {
	var last time.Duration
	for _, op := range r.History.Operations {
		last = max(last, op.Call, op.Return)
	}
	for _, f := range r.Faults {
		last = max(last, f.To)
	}
	return max(last, r.lastSample())
}

// loadEnd is when the clients of the load were last heard of; what comes after are the lab's own reads.
func (r Run) loadEnd() time.Duration {
	var last time.Duration
	for _, op := range r.History.Operations {
		if op.Phase != harness.FinalReads {
			last = max(last, op.Call, op.Return)
		}
	}
	return last
}

// load are the operations of the clients, without the lab's own final reads.
func (r Run) load() []linearizability.Operation {
	return slices.DeleteFunc(slices.Clone(r.History.Operations), func(op linearizability.Operation) bool {
		return op.Phase == harness.FinalReads
	})
}
