package sim

import (
	"context"
	"fmt"
	"time"

	"raftlab/linearizability"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// history is what the clients saw.
type history struct {
	calls        []*call
	returned     int
	acknowledged raft.Index // the greatest index in any answer
}

// told is what a member says of its log: the entries that it has applied in this life, and with which result. Before
// them it was given a snapshot, or nothing.
type told struct {
	before  raft.Index // the entries up to here are not told
	entries []toldEntry
}

type toldEntry struct {
	raft.Entry
	result kv.Result
}

func (t *told) applied(e raft.Entry, result kv.Result) {
	t.entries = append(t.entries, toldEntry{e, result})
}

// log is what was told in the words of the witness check: the writes that took effect. A delete of nothing has none, and
// neither has what a session knew.
func (t *told) log(node string) (linearizability.Log, error) {
	from := uint64(t.before) + 1
	log := linearizability.Log{Node: node, From: from, To: from + uint64(len(t.entries)) - 1}
	for _, e := range t.entries {
		if e.Type != raft.EntryCommand || !e.result.Done || e.result.Repeat {
			continue
		}
		c, err := kv.Decode(e.Data)
		if err != nil {
			return log, fmt.Errorf("entry %d is no command: %w", e.Index, err)
		}
		write := linearizability.LogEntry{Index: uint64(e.Index), Term: uint64(e.Term), Kind: linearizability.Put, Key: c.Key, Value: string(c.Value)}
		if c.Op == kv.Delete {
			if !e.result.Existed {
				continue
			}
			write.Kind = linearizability.Delete
		}
		log.Entries = append(log.Entries, write)
	}
	return log, nil
}

// searchBytes bound the search of one history. A key that needs more is no verdict.
const searchBytes = 64 << 20

// judge gives the history to both checkers: to the one that believes no index, for which an order of the operations of
// each key must exist; and to the witness, for which the order that members claim must be one.
func (w *world) judge() {
	ops := make([]linearizability.Operation, 0, len(w.history.calls))
	for _, c := range w.history.calls {
		if c.judged {
			ops = append(ops, c.operation())
		}
		w.markOutcome(c)
	}
	if len(ops) == 0 {
		return
	}
	report := linearizability.Check(context.Background(), ops, linearizability.Options{
		Parallel: 1, MemoryBytes: searchBytes, KeyTimeout: time.Hour, Timeout: time.Hour}) // no clock decides what is found
	switch {
	case report.Verdict == linearizability.Fail:
		w.fail("linearizability", "%s: %s", report.Failing()[0].Key, report.Failing()[0].Message)
	case report.Verdict == linearizability.Pass:
		w.mark(checkedLinearizable)
	case len(report.Keys) == 0:
		w.fail("simulator", "the history could not be judged: %s", report.Message) // a key that took too long is no verdict
	}
	w.judgeClaims(ops)
}

// judgeClaims holds every index, term and version in an answer against all others, over all keys, and against the logs of
// all members that live.
func (w *world) judgeClaims(ops []linearizability.Operation) {
	var logs []linearizability.Log
	for _, m := range w.members {
		if !m.up {
			continue
		}
		log, err := m.told.log(fmt.Sprint(m.id))
		if err != nil {
			w.fail("witness", "%v has applied what nobody can read: %v", m.id, err)
			return
		}
		logs = append(logs, log)
	}
	claims := linearizability.Witness(ops, logs)
	switch {
	case claims.Verdict == linearizability.Fail:
		w.fail("witness", "%s: %s", claims.Violations[0].Rule, claims.Message)
	case claims.Verdict == linearizability.Pass:
		w.mark(witnessPassed)
	case claims.Seen == linearizability.Claims{} && !claims.Nothing:
		w.fail("simulator", "the claimed order could not be judged: %s", claims.Message)
	}
}

// markOutcome says what became of writes whose clients were not told.
func (w *world) markOutcome(c *call) {
	if c.kind != linearizability.Put || c.value == "" {
		return
	}
	switch c.outcome {
	case linearizability.Unknown:
		done := false
		for _, v := range w.ledger.versions[c.key] {
			done = done || v.value == c.value
		}
		if done {
			w.mark(writeUnknownDone)
		} else {
			w.mark(writeUnknownNot)
		}
	case linearizability.Failed:
		w.mark(writeFailedSure)
	}
}

// operation is the call in the words of a history.
func (x *call) operation() linearizability.Operation {
	op := linearizability.Operation{
		ID: x.id, Process: x.process, Client: x.client.number, Node: "sim", Kind: x.kind, Key: x.key, Value: x.value, Expect: x.expect,
		Call: x.began + 1, Return: x.ended + 1,
	}
	op.Outcome = x.outcome
	switch {
	case x.outcome == "" || x.outcome == linearizability.Unknown:
		op.Outcome = linearizability.Unknown
		if x.ended == 0 {
			op.Return = 0
		}
	case x.outcome == linearizability.OK:
		x.claim(&op)
	}
	return op
}

// claim is what the answer says of the place in the log.
func (x *call) claim(op *linearizability.Operation) {
	a := &x.answer
	op.Index, op.Term = uint64(a.index), uint64(a.term)
	switch x.kind {
	case linearizability.Get:
		if a.here {
			op.Got, op.Version = linearizability.Value(a.value), uint64(a.etag)
		}
	case linearizability.CAS:
		if op.Swapped = a.done; !a.done {
			op.Version = uint64(a.etag)
		}
	case linearizability.Delete:
		op.NoEffect = !a.here
	}
}
