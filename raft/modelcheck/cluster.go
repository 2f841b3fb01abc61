package modelcheck

import (
	"fmt"
	"slices"

	"raftlab/raft"
	"raftlab/raft/safety"
)

// state is one state of the cluster, as numbers of what is in the tables.
type state struct {
	members [membersMax]uint32
	net     uint32       // what was sent
	spent   [kinds]uint8 // of each bound
	history uint32
	floors  [readsMax]uint8 // what was committed anywhere when each read was asked for: its answer must not be older
}

// world is what all states of one search share.
type world struct {
	bounds    Bounds
	renamings []renaming
	members   *table[*member]
	messages  *table[raft.Message]
	nets      *table[[]uint32] // sets of messages, sorted
	histories *table[*safety.History]
	views     []view // of each member

	outcomes map[outcomeKey]*numbered
	judged   map[[3]uint32]judgement
	complete map[[2]uint32]error
	matching map[[2]uint32]error
	useless  map[[2]uint32]bool
	logs     map[uint64]uint32
	shown    map[view]uint32
	scratch  []uint32
	plain    bool     // no reduction, for the test that compares
	changes  []uint32 // the args of every change of membership that may be asked for
}

// view is what the properties over several members see of one; log is a number for its entries.
type view struct {
	id        raft.ID
	term      raft.Term
	committed raft.Index
	leads     bool
	log       uint32
	number    uint32
}

type outcomeKey struct {
	member uint32
	kind   kind
	torn   int8
	arg    uint32
}

// numbered is an outcome in numbers.
type numbered struct {
	possible bool
	happened bool // and it changes the member, within the bounds; see settle
	after    uint32
	sent     []uint32
	reads    []raft.ReadResult
	broken   error
}

type judgement struct {
	history uint32
	broken  error
}

func newWorld(b Bounds) *world {
	r := renamings(b.Members)
	w := &world{bounds: b, renamings: r, members: newTable[*member](len(r)), messages: newTable[raft.Message](len(r)), histories: newTable[*safety.History](len(r)), nets: newTable[[]uint32](len(r)),
		outcomes: map[outcomeKey]*numbered{}, judged: map[[3]uint32]judgement{}, complete: map[[2]uint32]error{}, matching: map[[2]uint32]error{},
		useless: map[[2]uint32]bool{}, logs: map[uint64]uint32{}, shown: map[view]uint32{}}
	for id := 1; id <= b.size(); id++ {
		if id > b.Members {
			w.changes = append(w.changes, changeArg(raft.AddLearner, raft.ID(id)), changeArg(raft.Promote, raft.ID(id)))
		}
		w.changes = append(w.changes, changeArg(raft.Remove, raft.ID(id)))
	}
	return w
}

func (b *Bounds) size() int { return b.Members + b.Spares }

// root is a new cluster: every voter has one entry, with the members, and nobody knows it to be committed.
func (w *world) root() (state, error) {
	var c raft.Configuration
	for i := range w.bounds.Members {
		id := raft.ID(i + 1)
		c.Members = append(c.Members, raft.Member{ID: id, Address: address(id)})
	}
	data, err := c.AppendBinary(nil)
	if err != nil {
		return state{}, err
	}
	founding := raft.Entry{Index: 1, Term: 1, Type: raft.EntryConfiguration, Data: data}
	var s state
	for i := range w.bounds.size() {
		var disk raft.Stored
		if i < w.bounds.Members {
			disk = raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{founding}}
		}
		m, err := w.bounds.start(raft.ID(i+1), disk)
		if err != nil {
			return state{}, err
		}
		s.members[i] = w.addMember(m)
	}
	s.history, s.net = w.histories.add(safety.NewHistory(), w.hashHistory), w.nets.add(nil, w.hashNet)
	return s, nil
}

func (w *world) addMember(m *member) uint32 {
	n := w.members.add(m, w.hashMember)
	if int(n) < len(w.views) {
		return n
	}
	r := m.raft
	entries := raft.Message{Entries: r.Entries(), Index: r.FirstIndex()}.Hash()
	if _, ok := w.logs[entries]; !ok {
		w.logs[entries] = uint32(len(w.logs))
	}
	v := view{id: r.ID(), term: r.Term(), committed: r.Committed(), leads: r.Role() == raft.Leader, log: w.logs[entries]}
	if _, ok := w.shown[v]; !ok {
		w.shown[v] = uint32(len(w.shown))
	}
	v.number = w.shown[v]
	w.views = append(w.views, v)
	return n
}

// hash is the least that any renaming gives.
func (w *world) hash(s *state) uint64 {
	least := ^uint64(0)
	for p := range w.renamings {
		if w.plain && p > 0 {
			break
		}
		sum := w.histories.sum(s.history, p) + w.nets.sum(s.net, p)
		for i := range w.bounds.size() {
			sum += w.members.sum(s.members[i], p)
		}
		least = min(least, sum)
	}
	for _, n := range s.spent {
		least = scramble(least + uint64(n))
	}
	for _, n := range s.floors {
		least = scramble(least + uint64(n))
	}
	return least
}

// one is what an action does to one member, computed once.
func (w *world) one(n uint32, a action) *numbered {
	key := outcomeKey{n, a.kind, a.torn, a.arg}
	if o, ok := w.outcomes[key]; ok {
		return o
	}
	var message raft.Message
	if a.kind == deliver {
		message = w.messages.values[a.arg]
	}
	o := w.bounds.do(w.members.values[n], a, message)
	result := &numbered{broken: o.broken, reads: o.reads}
	if o.after != nil && o.broken == nil {
		result.possible = true
		result.after = w.addMember(o.after)
		for _, m := range o.sent {
			result.sent = append(result.sent, w.messages.add(m, w.hashMessage))
		}
		within := o.after.raft.Term() <= w.bounds.lastTerm() && len(o.after.saves) <= w.bounds.SlowDisk
		result.happened = within && (result.after != n || len(o.reads) > 0 || (w.plain || a.kind != deliver) && len(o.sent) > 0)
	}
	w.outcomes[key] = result
	return result
}

// next is the state after an action. It is not ok if the action cannot happen, changes nothing, or leads beyond the bounds.
func (w *world) next(s *state, a action) (next state, ok bool, broken error) {
	before := s.members[a.member]
	o := w.one(before, a)
	if o.broken != nil || !o.happened {
		return next, false, o.broken
	}
	next = *s
	next.members[a.member] = o.after
	if bounded(a.kind) {
		next.spent[a.kind]++
	}
	if a.torn != whole && a.kind != crash {
		next.spent[crash]++
	}
	if a.kind == read {
		next.floors[a.arg] = uint8(w.histories.values[s.history].Last())
	}
	if broken = w.check(s, &next, int(a.member)); broken != nil {
		return next, false, broken
	}
	for _, answer := range o.reads {
		if floor := next.floors[answer.Context]; answer.Err == nil && answer.Index < raft.Index(floor) {
			return next, false, fmt.Errorf("linearizability: %v may answer a read at %d; when it was asked, %d was committed", w.views[before].id, answer.Index, floor)
		}
	}
	next.net = w.sent(&next, a, o.sent)
	return next, true, nil
}

// sent is the set of messages after one member has changed. Nothing that was sent ever goes: it may arrive at any later
// moment, again and again, or never, which is loss, delay, reordering and duplication without bounds. Only what can never
// again change its receiver is left out, and a request to read, taken: each begins a round of its own, without end.
func (w *world) sent(s *state, a action, more []uint32) uint32 {
	w.scratch = w.scratch[:0]
	different, changed := false, int(a.member)
	for _, n := range w.nets.values[s.net] {
		m := &w.messages.values[n]
		taken := m.Type == raft.MsgReadIndex && a.kind == deliver && a.arg == n
		if taken || int(m.To) == changed+1 && w.isUseless(n, s.members[changed]) {
			different = true
			continue
		}
		w.scratch = append(w.scratch, n)
	}
	if w.add(s, more) || different {
		return w.intern(w.scratch)
	}
	return s.net
}

// add puts useful messages into scratch, and reports whether any is new there.
func (w *world) add(s *state, more []uint32) bool {
	added := false
	for _, n := range more {
		to := int(w.messages.values[n].To)
		if to == 0 || to > w.bounds.size() || slices.Contains(w.scratch, n) || w.isUseless(n, s.members[to-1]) {
			continue
		}
		w.scratch, added = append(w.scratch, n), true
	}
	return added
}

func (w *world) intern(set []uint32) uint32 {
	slices.Sort(set)
	n := uint32(len(w.nets.values))
	if at := w.nets.add(set, w.hashNet); at != n {
		return at
	}
	w.nets.values[n] = slices.Clone(set)
	return n
}

// settle does all that changes no member and only sends: answers to what was answered before, refusals. As what
// was sent may always be ignored, the state afterwards can do all that the state before could, so that one is enough.
// each, if not nil, is told of what was done.
func (w *world) settle(s *state, each func(action)) {
	if w.plain {
		return
	}
	w.scratch = append(w.scratch[:0], w.nets.values[s.net]...)
	added := false
	quiet := func(a action) {
		member := s.members[a.member]
		o := w.one(member, a)
		if o.possible && o.after == member && len(o.reads) == 0 && w.add(s, o.sent) {
			added = true
			if each != nil {
				each(a)
			}
		}
	}
	for i := 0; i < len(w.scratch); i++ {
		n := w.scratch[i]
		quiet(action{kind: deliver, member: uint8(w.messages.values[n].To - 1), torn: whole, arg: n})
	}
	if added {
		s.net = w.intern(w.scratch)
	}
}

func (w *world) hashNet(set []uint32, renaming int) uint64 {
	sum := uint64(0)
	for _, n := range set {
		sum += w.messages.sum(n, renaming)
	}
	return sum
}

// isUseless reports that a message will never change its receiver: an answer for a term that the receiver has left for
// good, or for a role in it that it cannot have again. Terms on disk never fall.
func (w *world) isUseless(n, to uint32) bool {
	key := [2]uint32{n, to}
	useless, ok := w.useless[key]
	if !ok {
		useless = w.judgeUseless(n, to)
		w.useless[key] = useless
	}
	return useless
}

func (w *world) judgeUseless(n, to uint32) bool {
	if w.plain {
		return false
	}
	m := &w.messages.values[n]
	r, durable := w.members.values[to].raft, w.members.values[to].disk.HardState.Term
	switch m.Type {
	case raft.MsgVoteReply:
		o := w.one(to, action{kind: deliver, member: uint8(m.To - 1), torn: whole, arg: n})
		return m.Term <= durable && !o.happened && o.broken == nil
	case raft.MsgAppendReply:
		return m.Term <= durable && !(r.Role() == raft.Leader && r.Term() == m.Term)
	case raft.MsgPreVoteReply:
		return m.Term < durable || !m.Reject && m.Term <= durable
	case raft.MsgReadIndex, raft.MsgReadIndexReply, raft.MsgTimeoutNow:
		return m.Term < durable
	}
	return false
}

// check judges a state after one member has changed.
func (w *world) check(before, after *state, changed int) error {
	old, now := w.views[before.members[changed]], w.views[after.members[changed]]
	if old.number != now.number {
		key := [3]uint32{before.history, old.number, now.number}
		j, ok := w.judged[key]
		if !ok {
			j = w.judge(before.history, old, now, w.members.values[after.members[changed]].raft)
			w.judged[key] = j
		}
		if j.broken != nil {
			return j.broken
		}
		after.history = j.history
	}
	for i := range w.bounds.size() {
		n := after.members[i]
		v := w.views[n]
		if v.leads && (i == changed || after.history != before.history) {
			if err := once(w.complete, [2]uint32{after.history, v.number}, func() error {
				return w.histories.values[after.history].LeaderCompleteness(w.members.values[n].raft)
			}); err != nil {
				return err
			}
		}
		if i != changed && old.log != now.log {
			if err := once(w.matching, [2]uint32{v.log, now.log}, func() error {
				return safety.LogMatching(w.members.values[n].raft, w.members.values[after.members[changed]].raft)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func once(known map[[2]uint32]error, key [2]uint32, check func() error) error {
	err, ok := known[key]
	if !ok {
		err = check()
		known[key] = err
	}
	return err
}

// judge adds one member's step to a history.
func (w *world) judge(history uint32, old, now view, r *raft.Raft) judgement {
	h := w.histories.values[history].Clone()
	if old.leads && (!now.leads || now.term != old.term) {
		h.End(old.term)
	}
	if err := h.Member(r); err != nil {
		return judgement{broken: err}
	}
	return judgement{history: w.histories.add(h, w.hashHistory)}
}
