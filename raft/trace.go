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
	r.config.Trace(fmt.Sprintf("%v@%d %v: ", r.config.ID, r.hard.Term, r.role) + fmt.Sprintf(format, args...))
}

// detailf is tracef for what happens all the time.
func (r *Raft) detailf(format string, args ...any) {
	if r.config.TraceDetail {
		r.tracef(format, args...)
	}
}

func names(ids []ID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = id.String()
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
