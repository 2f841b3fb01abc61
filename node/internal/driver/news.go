package driver

import "raftlab/raft"

// news is what this process has learnt of the log since its start. Not more than that is known: a commit index is not
// kept on the disk (Figure 2), so a member that restarts takes what it has for all that there is.
type news struct {
	heard       bool       // from a leader
	commit      raft.Index // the highest that a leader named, of entries that may not be here yet
	appliedTerm raft.Term  // of the entry applied last
	caughtUp    bool       // once and for all; what is missing later shows in commit
}

func (n *news) hear(commit raft.Index) { n.heard, n.commit = true, max(n.commit, commit) }

// judge says that the member has caught up when it has applied all that a leader has named, an entry of the present term
// among it. The term matters: a new leader knows no better than others what is committed until the entry with which its
// term begins is (§8), and after a restart of all members it begins by naming nothing.
func (n *news) judge(r *raft.Raft, applied raft.Index) {
	if n.caughtUp || n.appliedTerm != r.Term() {
		return
	}
	if r.Role() == raft.Leader {
		n.caughtUp = applied == r.Committed()
	} else {
		n.caughtUp = n.heard && r.Leader() != 0 && applied >= n.commit
	}
}
