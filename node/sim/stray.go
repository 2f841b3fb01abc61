package sim

import (
	"fmt"
	"time"

	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// straying sends a member some messages of another cluster, as happens where two clusters got each other's addresses. A member
// that does not know yet which cluster it is in believes the first leader that it hears, so it gets none.
func (w *world) straying(f Fault, m *member) bool {
	if m.raft().Cluster() == 0 {
		return false
	}
	for range f.N {
		w.laterFor(m, time.Duration(w.chance.faults.Int64N(int64(f.For)+1)), func() {
			w.mark(messageStrayed)
			m.inbox.Messages = append(m.inbox.Messages, w.stray(m))
			w.rouse(m)
		})
	}
	return true
}

// stray draws a message of another cluster's member that would matter if it were of this one's.
func (w *world) stray(m *member) raft.Message {
	rng, r := w.chance.faults, m.raft()
	s := raft.Message{
		Type:    pick(draw{rng}, raft.MsgVote, raft.MsgPreVote, raft.MsgAppend, raft.MsgAppend, raft.MsgAppendReply, raft.MsgVoteReply),
		Cluster: cluster + 1, From: w.members[rng.IntN(len(w.members))].id, To: m.id, Term: r.Term() + raft.Term(rng.IntN(3)), Index: r.LastIndex(),
	}
	s.LogTerm, _ = r.TermAt(s.Index)
	if s.Type == raft.MsgAppend {
		w.load.values++
		data := encoded(kv.Command{Op: kv.Put, Key: "stray", Value: fmt.Appendf(nil, "stray %d", w.load.values)})
		s.Entries, s.Commit = []raft.Entry{{Term: s.Term, Index: s.Index + 1, Data: data}}, s.Index+1
	}
	return s
}
