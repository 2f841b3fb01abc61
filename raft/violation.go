package raft

import "fmt"

// What no correct member sends. Raft trusts its members (crash failures, not Byzantine ones), but a message may come
// from somebody else, or from a member with a bug or damaged memory. To drop it is always safe: to the protocol it is a
// message that was lost (§5: "messages may be lost, delayed, reordered"). To end the process would not be: one sender
// could end them all.

// indexMax is, like termMax, far above what any log can reach, and keeps sums from wrapping round.
const indexMax Index = 1 << 62

// wrong says what no member could have meant, whatever the state of the receiver; "" if nothing.
func (m *Message) wrong() string {
	switch {
	case max(m.Index, m.Commit, m.Hint) > indexMax:
		return "an endless index"
	case m.LogTerm > m.Term:
		return "an entry from the future"
	case m.Type == MsgAppend:
		return m.wrongEntries()
	case m.Type == MsgSnapshot:
		return m.wrongSnapshot()
	case len(m.Entries) > 0:
		return "entries where none belong"
	}
	return ""
}

// wrongEntries: those of an append follow the one before them, index by index, their terms do not fall and are not
// above the leader's, and each configuration has somebody who votes.
func (m *Message) wrongEntries() string {
	index, term := m.Index, m.LogTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		switch {
		case e.Index != index+1:
			return fmt.Sprintf("entry %d after entry %d", e.Index, index)
		case e.Term < term || e.Term > m.Term:
			return fmt.Sprintf("entry %d of term %d, after term %d", e.Index, e.Term, term)
		case e.Type == EntryConfiguration && !votes(e.Data):
			return fmt.Sprintf("no configuration in entry %d", e.Index)
		}
		index, term = e.Index, e.Term
	}
	return ""
}

// wrongSnapshot: it covers something, and its one entry is the configuration that was in force there.
func (m *Message) wrongSnapshot() string {
	if len(m.Entries) != 1 || m.Index == 0 || m.Entries[0].Index > m.Index || !votes(m.Entries[0].Data) {
		return "a snapshot without its configuration"
	}
	return ""
}

// votes reports that the bytes are a configuration with a voter. One without could elect nobody, for ever.
func votes(data []byte) bool {
	var c Configuration
	return c.UnmarshalBinary(data) == nil && c.Voters() > 0
}

// contradicts says what a message of this term claims that this member knows to be untrue; "" if nothing.
func (r *Raft) contradicts(m *Message) string {
	switch m.Type {
	case MsgAppend, MsgSnapshot:
		if r.role == Leader || r.leader != 0 && r.leader != m.From {
			return fmt.Sprintf("election safety: the leader of this term is %v", r.leader)
		}
	case MsgAppendReply:
		switch {
		case r.role != Leader:
		case !m.Reject && m.Index > r.log.last():
			return fmt.Sprintf("it acknowledges entry %d, the last is %d", m.Index, r.log.last())
		case m.Round > r.lead.reads.round:
			return fmt.Sprintf("it confirms round %d of reads, the last is %d", m.Round, r.lead.reads.round)
		}
	}
	return ""
}

// refuse drops what no correct member sends.
func (r *Raft) refuse(m *Message, why string) error {
	sentence := fmt.Sprintf("raft: %v@%d %v: no correct member sends %v: %s", r.config.ID, r.hard.Term, r.role, m, why)
	if r.config.Violation == nil {
		panic(sentence)
	}
	r.config.Violation(sentence)
	return ErrDropped
}
