package linearizability

import (
	"cmp"
	"slices"
)

// told is an entry and the member that told it first.
type told struct {
	LogEntry
	node string
}

// placeLogged gives writes of unknown outcome the index at which a member's log has them.
func (w *witness) placeLogged(logs []Log) {
	if len(logs) == 0 {
		return
	}
	w.covers = ranges(logs)
	w.seen.Logs = len(logs)
	for i := range w.ops {
		w.on(w.ops[i].Key) // entries on other keys are no business of this history
		w.byID[w.ops[i].ID] = &w.ops[i]
	}
	deletes := map[string][]told{}
	for _, e := range w.merged(logs) {
		switch {
		case w.keys[e.Key] == nil:
		case e.Kind == Delete:
			deletes[e.Key] = append(deletes[e.Key], e)
		default:
			w.placePut(e)
		}
	}
	w.placeDeletes(deletes)
}

// merged are the entries of all logs, by index, each index once: agree compares them.
func (w *witness) merged(logs []Log) []told {
	var all []told
	have := map[uint64]bool{}
	for _, l := range logs {
		w.seen.LogEntries += len(l.Entries)
		for _, e := range l.Entries {
			if !have[e.Index] {
				have[e.Index] = true
				all = append(all, told{e, l.Node})
			}
		}
	}
	slices.SortFunc(all, func(a, b told) int { return cmp.Compare(a.Index, b.Index) })
	return all
}

func (w *witness) placePut(e told) {
	writer := w.writers[e.Value]
	switch {
	case writer == nil || writer.Key != e.Key:
		w.find(LogFounded, e.Key, nil, "the log of %s has %s on %s at index %d, but no operation wrote that", e.node, show(e.Value), e.Key, e.Index)
		return
	case !mayWrite(writer):
		w.find(LogFounded, e.Key, []*Operation{writer}, "the log of %s has %s at index %d although it did not happen: %s", e.node, name(writer), e.Index, notDone(writer))
		return
	}
	at, known := w.placeOf(writer)
	if known && at.index != e.Index {
		w.find(UniqueIndexes, e.Key, []*Operation{writer}, "%s has index %d, but the log of %s has it at index %d", name(writer), at.index, e.node, e.Index)
		return
	}
	if !known {
		w.filled[writer] = position{e.Index, e.Term, writer, writer.Value, true}
	}
}

// notDone is why an operation certainly wrote nothing.
func notDone(op *Operation) string {
	if op.Outcome == Failed {
		return "it had failed" + reason(op)
	}
	return "it was refused"
}

// placeDeletes: a delete has no value by which a log would tell it from others. Where one delete only can be meant it is
// that one; where several can, the log says that the key was deleted there and nothing more.
func (w *witness) placeDeletes(deletes map[string][]told) {
	acknowledged := map[uint64]*Operation{}
	candidates := map[string][]*Operation{}
	for i := range w.ops {
		op := &w.ops[i]
		switch {
		case op.Kind != Delete || !mayWrite(op) || idle(op):
		case wrote(op) && op.Index > 0:
			acknowledged[op.Index] = op
		default:
			candidates[op.Key] = append(candidates[op.Key], op)
		}
	}
	keys := make([]string, 0, len(deletes))
	for key := range deletes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		var strangers []told
		for _, e := range deletes[key] {
			if op := acknowledged[e.Index]; op != nil && op.Key == key {
				continue
			}
			if op := w.byID[e.Operation]; op != nil && slices.Contains(candidates[key], op) {
				w.filled[op] = position{index: e.Index, term: e.Term, op: op}
				candidates[key] = slices.DeleteFunc(candidates[key], func(o *Operation) bool { return o == op })
				continue
			}
			strangers = append(strangers, e)
		}
		w.placeStrangers(key, strangers, candidates[key])
	}
}

func (w *witness) placeStrangers(key string, strangers []told, candidates []*Operation) {
	switch {
	case len(strangers) == 0:
	case len(strangers) > len(candidates):
		e := strangers[len(candidates)]
		w.find(LogFounded, key, candidates, "the log of %s deletes %s at index %d, but at most %s can have done that", e.node, key, e.Index,
			plural(len(candidates), "operation")+" of unknown outcome")
	case len(candidates) == 1:
		e := strangers[0]
		w.filled[candidates[0]] = position{index: e.Index, term: e.Term, op: candidates[0]}
	default:
		for _, e := range strangers {
			w.nobody = append(w.nobody, positionOn{key, position{index: e.Index, term: e.Term}})
		}
	}
}

// agree holds the logs against each other, and each against what was acknowledged.
func (w *witness) agree(logs []Log) {
	for i, l := range logs {
		byIndex := make(map[uint64]LogEntry, len(l.Entries))
		for _, e := range l.Entries {
			if first, twice := byIndex[e.Index]; twice && !first.same(e) {
				w.find(LogsAgree, e.Key, nil, "the log of %s has two writes at index %d", l.Node, e.Index)
			}
			byIndex[e.Index] = e
		}
		w.complete(l, byIndex)
		for _, other := range logs[:i] {
			w.compare(l, byIndex, other)
		}
	}
}

// complete: nothing that was acknowledged is missing from a log that reaches over its index.
func (w *witness) complete(l Log, byIndex map[uint64]LogEntry) {
	for i := range w.ops {
		op := &w.ops[i]
		if !wrote(op) || op.Index < max(l.From, 1) || op.Index > l.To {
			continue
		}
		e, there := byIndex[op.Index]
		want := LogEntry{Index: op.Index, Term: op.Term, Kind: Put, Key: op.Key, Value: op.Value}
		if op.Kind == Delete {
			want.Kind, want.Value = Delete, ""
		}
		switch {
		case !there:
			w.find(LogComplete, op.Key, []*Operation{op}, "%s at index %d, but the log of %s, which tells all from %d to %d, does not have it",
				tells(op), op.Index, l.Node, l.From, l.To)
		case !e.same(want):
			w.find(LogComplete, op.Key, []*Operation{op}, "%s at index %d, but there the log of %s has %s", tells(op), op.Index, l.Node, e.tells())
		}
	}
}

// compare looks at the range that both logs tell.
func (w *witness) compare(l Log, byIndex map[uint64]LogEntry, other Log) {
	from, to := max(l.From, other.From), min(l.To, other.To)
	common := 0
	for _, theirs := range other.Entries {
		if theirs.Index < from || theirs.Index > to {
			continue
		}
		ours, there := byIndex[theirs.Index]
		switch {
		case !there:
			w.find(LogsAgree, theirs.Key, nil, "at index %d the log of %s has %s and that of %s has no write", theirs.Index, other.Node, theirs.tells(), l.Node)
		case !ours.same(theirs):
			w.find(LogsAgree, theirs.Key, nil, "at index %d the log of %s has %s and that of %s has %s",
				theirs.Index, other.Node, theirs.tells(), l.Node, ours.tells())
		default:
			common++
		}
	}
	for _, e := range l.Entries {
		if e.Index >= from && e.Index <= to {
			common--
		}
	}
	if common < 0 {
		w.find(LogsAgree, "", nil, "between index %d and %d the log of %s has %s that the log of %s does not have",
			from, to, l.Node, entries(-common), other.Node)
	}
}

// same leaves out what one side does not tell.
func (e LogEntry) same(other LogEntry) bool {
	terms := e.Term == other.Term || e.Term == 0 || other.Term == 0
	return terms && e.Kind == other.Kind && e.Key == other.Key && e.Value == other.Value
}

func (e LogEntry) tells() string {
	text := "put " + show(e.Value) + " on " + e.Key
	if e.Kind == Delete {
		text = "a delete of " + e.Key
	}
	return text
}

// ranges are what the logs cover together, joined where they touch.
func ranges(logs []Log) []Log {
	sorted := slices.Clone(logs)
	slices.SortFunc(sorted, func(a, b Log) int { return cmp.Compare(a.From, b.From) })
	var joined []Log
	for _, l := range sorted {
		if n := len(joined); n > 0 && l.From <= joined[n-1].To+1 {
			joined[n-1].To = max(joined[n-1].To, l.To)
			continue
		}
		joined = append(joined, Log{From: l.From, To: l.To})
	}
	return joined
}

// covered: every write from one index to another is known. Over no index at all that is true of itself.
func (w *witness) covered(from, to uint64) bool {
	if from > to {
		return true
	}
	return slices.ContainsFunc(w.covers, func(l Log) bool { return l.From <= from && to <= l.To })
}
