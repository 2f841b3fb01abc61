package raft

import (
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

// Hash is equal for two members in the same state, whatever way led there, and differs with overwhelming
// probability otherwise. The Config is not part of it, but for the identity.
func (r *Raft) Hash() uint64 {
	h := fnvOffset
	h.words(uint64(r.config.ID), uint64(r.config.Cluster), uint64(r.role), uint64(r.leader),
		uint64(r.committed), uint64(r.applied), uint64(r.applying), uint64(r.elapsed), uint64(r.timeout), r.random)
	for _, s := range []HardState{r.hard, r.saved, r.handed} {
		h.words(uint64(s.Term), uint64(s.Vote))
	}
	h.words(uint64(r.log.base), uint64(r.log.baseTerm), uint64(r.log.handed), uint64(r.log.stable))
	h.entries(r.log.entries)
	h.words(uint64(r.snapshot.Index), uint64(r.snapshot.Term), uint64(r.ConfigurationIndex()), uint64(len(r.configurations)))
	h.flags(r.install != nil, r.restart != nil)
	for _, f := range r.forwarded {
		h.words(f.key, f.context)
	}
	if c := r.candidate; c != nil {
		// A set: the order of arrival makes no difference to what follows.
		for _, ids := range [][]ID{slices.Sorted(slices.Values(c.granted)), slices.Sorted(slices.Values(c.refused))} {
			h.words(uint64(len(ids)))
			for _, id := range ids {
				h.words(uint64(id))
			}
		}
		h.flags(c.transfer)
	}
	if l := r.lead; l != nil {
		h.words(uint64(l.firstOwn), uint64(l.uncommitted), uint64(l.transferTo), uint64(l.transferred), uint64(l.stalled), l.reads.round, uint64(l.reads.index))
		for _, list := range [][]waitingRead{l.reads.asked, l.reads.waiting} {
			h.words(uint64(len(list)))
			for _, w := range list {
				h.words(uint64(w.from), w.context)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(l.progress)) {
			p := l.progress[id]
			h.words(uint64(id), uint64(p.match), uint64(p.next), uint64(p.told), uint64(p.snapshot), p.round, uint64(len(p.inflight)))
			h.flags(p.replicating, p.probeSent, p.active)
			for _, a := range p.inflight {
				h.words(uint64(a.last), uint64(a.bytes))
			}
		}
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
	return uint64(h)
}

// Hash is equal for equal messages.
func (m Message) Hash() uint64 {
	h := fnvOffset
	h.message(&m)
	return uint64(h)
}

// hasher is FNV-1a over words.
type hasher uint64

const (
	fnvOffset hasher = 14695981039346656037
	fnvPrime  hasher = 1099511628211
)

func (h *hasher) bytes(b []byte) {
	for _, c := range b {
		*h = (*h ^ hasher(c)) * fnvPrime
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

func (h *hasher) entries(entries []Entry) {
	h.words(uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		h.words(uint64(e.Term), uint64(e.Index), uint64(e.Type), uint64(len(e.Data)))
		h.bytes(e.Data)
	}
}

func (h *hasher) message(m *Message) {
	h.words(uint64(m.Type), uint64(m.Cluster), uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Index),
		uint64(m.LogTerm), uint64(m.Commit), uint64(m.Hint), uint64(m.HintTerm), m.Round, m.Context)
	h.flags(m.Reject, m.Transfer)
	h.entries(m.Entries)
}
