package raft

import (
	"fmt"
	"strings"
)

// tracef tells one event in one sentence, in the form "n1@3 leader: vote for n2". Logs, scripts and the
// simulator print the same words.
func (r *Raft) tracef(format string, args ...any) {
	if r.config.Trace == nil {
		return
	}
	for i, arg := range args {
		switch a := arg.(type) {
		case ID:
			args[i] = r.name(a)
		case Configuration:
			args[i] = a.describe(r.name)
		}
	}
	r.config.Trace(fmt.Sprintf("%s@%d %v: ", r.name(r.config.ID), r.hard.Term, r.role) + fmt.Sprintf(format, args...))
}

// name is how a person knows a member: by its address, where its id is a drawn one.
func (r *Raft) name(id ID) string {
	if id >= 1<<16 {
		if m, ok := r.Configuration().Find(id); ok {
			return m.Address
		}
	}
	return id.String()
}

// detailf is tracef for what happens all the time.
func (r *Raft) detailf(format string, args ...any) {
	if r.config.TraceDetail {
		r.tracef(format, args...)
	}
}

func (r *Raft) names(ids []ID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = r.name(id)
	}
	return strings.Join(words, " ")
}

// String tells a message as the scripts print it: n1@3 -> n2 append after 4 (term 2), 2 entries, commit 3.
func (m Message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v@%d -> %v %v", m.From, m.Term, m.To, m.Type)
	switch m.Type {
	case MsgPreVote, MsgVote:
		fmt.Fprintf(&b, ", last entry %d (term %d)", m.Index, m.LogTerm)
	case MsgPreVoteReply, MsgVoteReply:
		b.WriteString(map[bool]string{true: ": no", false: ": yes"}[m.Reject])
	case MsgAppend:
		fmt.Fprintf(&b, " after %d (term %d), %d entries, commit %d", m.Index, m.LogTerm, len(m.Entries), m.Commit)
	case MsgAppendReply:
		if m.Reject {
			fmt.Fprintf(&b, ": not after %d; perhaps after %d (term %d)", m.Index, m.Hint, m.HintTerm)
		} else {
			fmt.Fprintf(&b, ": same up to %d", m.Index)
		}
	case MsgReadIndexReply:
		if m.Reject {
			b.WriteString(": ask again")
		} else {
			fmt.Fprintf(&b, ": %d", m.Index)
		}
	}
	return b.String()
}
