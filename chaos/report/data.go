package report

import (
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// data is what the script needs for the values under the pointer and for the filter of operations. Each column of the
// operations is an array; words that come again and again are numbers into a list. That keeps 20,000 operations below
// a megabyte, and needs no network.
type data struct {
	Words      []string           `json:"words"` // what the columns of words point into
	Call       []int64            `json:"call"`  // microseconds after the one before
	Took       []int64            `json:"took"`  // microseconds, -1 where it never was answered
	Kind       []int              `json:"kind"`
	Key        []int              `json:"key"`
	Node       []int              `json:"node"`
	Served     []int              `json:"served"` // who answered, 0 where it was the member that was asked, or nobody knows
	Outcome    []int              `json:"outcome"`
	Phase      []int              `json:"phase"`
	Error      []int              `json:"error"`
	Client     []int              `json:"client"`
	ID         []int64            `json:"id"` // difference to the one before
	Index      []int64            `json:"index"`
	Term       []uint64           `json:"term"`
	Asked      []string           `json:"asked"`  // value to write
	Expect     []any              `json:"expect"` // of cas: a number is the position of the operation that wrote it
	Answer     []any              `json:"answer"` // value that was read, as for Expect; else true or false of a cas; 0 for nothing to say
	Operations int                `json:"operations"`
	Samples    map[string]samples `json:"samples"`
}

// samples of one member: only what changes what is shown.
type samples struct {
	At      []int64  `json:"at"`   // milliseconds
	Role    []int    `json:"role"` // word
	Term    []uint64 `json:"term"`
	Commit  []uint64 `json:"commit"`
	Applied []uint64 `json:"applied"`
}

const (
	// operationsMax bounds the operations in the page; all of them are in history.jsonl, and all are drawn.
	operationsMax = 20_000
	samplesMax    = 600 // of one member
)

// packer numbers words.
type packer struct {
	data
	known map[string]int
}

func (p *packer) word(w string) int {
	n, ok := p.known[w]
	if !ok {
		n = len(p.Words)
		p.known[w], p.Words = n, append(p.Words, w)
	}
	return n
}

func (r Run) data() data {
	p := &packer{known: map[string]int{}}
	p.word("") // is 0
	wrote := map[string]int{}
	ops := r.History.Operations
	p.Operations = len(ops)
	ops = ops[:min(len(ops), operationsMax)]
	for i, op := range ops {
		if op.Value != "" {
			wrote[op.Value] = i
		}
	}
	var call time.Duration
	var id int64
	for _, op := range ops {
		p.operation(r, op, call, id, wrote)
		call, id = op.Call, op.ID
	}
	p.Samples = map[string]samples{}
	for _, node := range r.members() { // in their order, or words would be numbered differently each time
		p.Samples[node] = p.samples(r.Samples[node])
	}
	return p.data
}

func (p *packer) operation(r Run, op linearizability.Operation, call time.Duration, id int64, wrote map[string]int) {
	p.Call = append(p.Call, op.Call.Microseconds()-call.Microseconds())
	took := int64(-1)
	if op.Return > 0 {
		took = (op.Return - op.Call).Microseconds()
	}
	p.Took = append(p.Took, took)
	served := 0
	if by := r.node(op.ServedBy); by != op.Node {
		served = p.word(by)
	}
	p.Kind, p.Key, p.Node, p.Served = append(p.Kind, p.word(string(op.Kind))), append(p.Key, p.word(op.Key)), append(p.Node, p.word(op.Node)), append(p.Served, served)
	p.Outcome, p.Phase, p.Error = append(p.Outcome, p.word(string(op.Outcome))), append(p.Phase, p.word(op.Phase)), append(p.Error, p.word(op.Error))
	p.Client, p.ID = append(p.Client, op.Client), append(p.ID, op.ID-id)
	p.Index, p.Term = append(p.Index, int64(op.Index)), append(p.Term, op.Term)
	p.Asked, p.Expect = append(p.Asked, op.Value), append(p.Expect, reference(op.Expect, wrote))
	answer := any(0)
	switch {
	case op.Outcome != linearizability.OK:
	case op.Kind == linearizability.Get && op.Got != nil && *op.Got == "":
		answer = ""
	case op.Kind == linearizability.Get && op.Got != nil:
		answer = reference(*op.Got, wrote)
	case op.Kind == linearizability.Get:
		answer = false
	case op.Kind == linearizability.CAS:
		answer = op.Swapped
	}
	p.Answer = append(p.Answer, answer)
}

// reference is the position, from 1, of the operation that wrote the value: shorter than the value.
func reference(value string, wrote map[string]int) any {
	if value == "" {
		return 0
	}
	if at, ok := wrote[value]; ok {
		return at + 1
	}
	return value
}

// samples keeps what differs in role or term, and of the rest as many as a screen can show.
func (p *packer) samples(all []harness.Sample) samples {
	var s samples
	if len(all) == 0 {
		return s
	}
	every := (all[len(all)-1].At - all[0].At) / samplesMax
	var last harness.Sample
	for i, sample := range all {
		same := i > 0 && (sample.Status == nil) == (last.Status == nil) &&
			(sample.Status == nil || sample.Status.Role == last.Status.Role && sample.Status.Term == last.Status.Term)
		if same && sample.At-last.At < every && i < len(all)-1 { // the last says until when it was a member
			continue
		}
		last = sample
		role, status := 0, harness.Status{}
		if sample.Status != nil {
			status = *sample.Status
			role = p.word(status.Role)
		}
		s.At, s.Role = append(s.At, sample.At.Milliseconds()), append(s.Role, role)
		s.Term, s.Commit, s.Applied = append(s.Term, status.Term), append(s.Commit, status.Commit), append(s.Applied, status.Applied)
	}
	return s
}
