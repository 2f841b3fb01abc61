package raft

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// Clone returns a member in the same state that shares nothing which either could change.
func (r *Raft) Clone() *Raft {
	c := *r
	c.log.entries = slices.Clip(r.log.entries)
	r.log.entries = slices.Clip(r.log.entries) // else both would append into the same spare room
	c.configurations = slices.Clone(r.configurations)
	c.forwarded = slices.Clone(r.forwarded)
	c.messages, c.then, c.reads = slices.Clone(r.messages), slices.Clone(r.then), slices.Clone(r.reads)
	if r.candidate != nil {
		candidate := *r.candidate
		candidate.granted, candidate.refused = slices.Clone(candidate.granted), slices.Clone(candidate.refused)
		c.candidate = &candidate
	}
	if r.lead != nil {
		lead := *r.lead
		lead.reads.asked, lead.reads.waiting = slices.Clone(lead.reads.asked), slices.Clone(lead.reads.waiting)
		lead.progress = make(map[ID]*progress, len(r.lead.progress))
		for id, p := range r.lead.progress {
			copied := *p
			copied.inflight = slices.Clone(p.inflight)
			lead.progress[id] = &copied
		}
		c.lead = &lead
	}
	return &c
}

// Normalize forgets what only time and chance decide, for a search in which every time-out may come at any moment: two
// states that differ in nothing else are equal afterwards, and have equal hashes. A follower is one tick before its time-out,
// and so hears no leader; a leader has just begun a check-quorum, and nobody has answered. What that takes away is only
// messages that would have been ignored, which is how lost ones look. Bounds on what is in flight start anew. random is the
// state of the random source, from which only the keys of forwarded reads come then.
func (r *Raft) Normalize(random uint64) {
	r.random, r.timeout, r.elapsed = random, r.config.ElectionTicks+1, r.config.ElectionTicks
	if r.lead == nil {
		return
	}
	r.elapsed, r.lead.stalled, r.lead.transferred = 0, 0, 0
	for _, p := range r.lead.progress {
		p.active, p.window, p.inflight, p.inflightLen = false, 0, nil, 0
	}
}

// Hash is equal for two members in the same state, whatever way led there, and differs with overwhelming
// probability otherwise. The Config is not part of it, but for the identity; addresses, which are only labels, are not.
func (r *Raft) Hash() uint64 { return r.HashAs(func(id ID) ID { return id }) }

// HashAs is the Hash that the member would have if every member had the name that as gives it. Members are alike but for
// their ids, so a search may take states for equal that some renaming makes equal.
func (r *Raft) HashAs(as func(ID) ID) uint64 {
	h := hasher{fnvOffset, as}
	h.ids(r.config.ID, r.leader)
	h.words(uint64(r.config.Cluster), uint64(r.role),
		uint64(r.committed), uint64(r.applied), uint64(r.applying), uint64(r.elapsed), uint64(r.timeout), r.random)
	for _, s := range []HardState{r.hard, r.saved, r.handed} {
		h.hardState(s)
	}
	h.words(uint64(r.log.base), uint64(r.log.baseTerm), uint64(r.log.handed), uint64(r.log.stable))
	h.entries(r.log.entries)
	h.words(uint64(r.snapshot.Index), uint64(r.snapshot.Term), uint64(len(r.configurations)))
	for _, c := range r.configurations {
		h.words(uint64(c.index))
		h.configuration(c.configuration)
	}
	h.flags(r.needed, r.install != nil, r.restart != nil)
	for _, f := range r.forwarded {
		h.words(f.key, f.context)
	}
	if c := r.candidate; c != nil {
		// Sets: the order of arrival makes no difference to what follows.
		h.set(c.granted)
		h.set(c.refused)
		h.flags(c.transfer)
	}
	if r.lead != nil {
		h.lead(r.lead)
	}
	for _, list := range [][]Message{r.messages, r.then} {
		h.words(uint64(len(list)))
		for i := range list {
			h.message(&list[i])
		}
	}
	for _, read := range r.reads {
		h.words(read.Context, uint64(read.Index))
		h.flags(read.Err != nil)
	}
	return h.sum
}

// Hash is equal for equal messages.
func (m Message) Hash() uint64 { return m.HashAs(func(id ID) ID { return id }) }

// HashAs is the Hash that the message would have if every member had the name that as gives it.
func (m Message) HashAs(as func(ID) ID) uint64 {
	h := hasher{fnvOffset, as}
	h.message(&m)
	return h.sum
}

// HashAs is equal for equal contents of a disk, if every member had the name that as gives it.
func (s Stored) HashAs(as func(ID) ID) uint64 {
	h := hasher{fnvOffset, as}
	h.hardState(s.HardState)
	h.words(uint64(s.Snapshot.Index), uint64(s.Snapshot.Term), uint64(s.Snapshot.ConfigurationIndex), uint64(s.Base), uint64(s.BaseTerm))
	h.configuration(s.Snapshot.Configuration)
	h.entries(s.Entries)
	return h.sum
}

// hasher is FNV-1a over words, and over ids as they are to be called.
type hasher struct {
	sum uint64
	as  func(ID) ID
}

const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

func (h *hasher) bytes(b []byte) {
	for _, c := range b {
		h.sum = (h.sum ^ uint64(c)) * fnvPrime
	}
}

func (h *hasher) words(words ...uint64) {
	var b [8]byte
	for _, w := range words {
		binary.BigEndian.PutUint64(b[:], w)
		h.bytes(b[:])
	}
}

func (h *hasher) flags(flags ...bool) {
	for _, f := range flags {
		if f {
			h.bytes([]byte{1})
		} else {
			h.bytes([]byte{0})
		}
	}
}

func (h *hasher) ids(ids ...ID) {
	for _, id := range ids {
		if id != 0 {
			id = h.as(id)
		}
		h.words(uint64(id))
	}
}

func (h *hasher) set(ids []ID) {
	named := make([]ID, len(ids))
	for i, id := range ids {
		named[i] = h.as(id)
	}
	slices.Sort(named)
	h.words(uint64(len(named)))
	for _, id := range named {
		h.words(uint64(id))
	}
}

func (h *hasher) hardState(s HardState) {
	h.words(uint64(s.Term))
	h.ids(s.Vote)
}

func (h *hasher) configuration(c Configuration) {
	var voters, learners []ID
	for _, m := range c.Members {
		if m.Learner {
			learners = append(learners, m.ID)
		} else {
			voters = append(voters, m.ID)
		}
	}
	h.set(voters)
	h.set(learners)
	h.words(uint64(len(c.Removed)))
	h.ids(c.Removed...)
}

func (h *hasher) entries(entries []Entry) {
	h.words(uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		h.words(uint64(e.Term), uint64(e.Index), uint64(e.Type), uint64(len(e.Data)))
		var c Configuration
		if e.Type == EntryConfiguration && c.UnmarshalBinary(e.Data) == nil {
			h.configuration(c)
		} else {
			h.bytes(e.Data)
		}
	}
}

func (h *hasher) message(m *Message) {
	h.words(uint64(m.Type), uint64(m.Cluster))
	h.ids(m.From, m.To)
	h.words(uint64(m.Term), uint64(m.Index),
		uint64(m.LogTerm), uint64(m.Commit), uint64(m.Hint), uint64(m.HintTerm), m.Round, m.Context)
	h.flags(m.Reject, m.Transfer)
	h.entries(m.Entries)
}

func (h *hasher) lead(l *lead) {
	h.words(uint64(l.firstOwn), uint64(l.uncommitted), uint64(l.transferred), uint64(l.stalled), l.reads.round, uint64(l.reads.index))
	h.ids(l.transferTo)
	for _, list := range [][]waitingRead{l.reads.asked, l.reads.waiting} {
		h.words(uint64(len(list)))
		for _, w := range list {
			h.ids(w.from)
			h.words(w.context)
		}
	}
	members := slices.Collect(maps.Keys(l.progress))
	slices.SortFunc(members, func(a, b ID) int { return cmp.Compare(h.as(a), h.as(b)) })
	for _, id := range members {
		p := l.progress[id]
		h.ids(id)
		h.words(uint64(p.match), uint64(p.next), uint64(p.told), uint64(p.snapshot), p.round, uint64(len(p.inflight)), uint64(p.window))
		h.flags(p.replicating, p.probeSent, p.active)
		for _, a := range p.inflight {
			h.words(uint64(a.last), uint64(a.bytes))
		}
	}
}
