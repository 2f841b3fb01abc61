package raft

import "fmt"

// The invariants hold after every Step of every member, in production too: they cost a few comparisons,
// and a member that has broken one must not go on. Properties of several members together are in
// raft/safety.

// mark is what checkDelta compares with.
type mark struct {
	hard      HardState
	role      Role
	committed Index
	applied   Index
	last      Index
}

func (r *Raft) mark() mark {
	return mark{r.hard, r.role, r.committed, r.applied, r.log.last()}
}

func (r *Raft) broken(format string, args ...any) {
	panic(fmt.Sprintf("raft: invariant broken at %v@%d %v: ", r.config.ID, r.hard.Term, r.role) + fmt.Sprintf(format, args...))
}

// checkState: what must be true of one state.
func (r *Raft) checkState() {
	if r.applied > r.applying || r.applying > r.committed || r.committed > r.log.last() {
		r.broken("applied %d <= given out %d <= committed %d <= last %d", r.applied, r.applying, r.committed, r.log.last())
	}
	if r.log.base > r.log.stable || r.log.stable > r.log.handed || r.log.handed > r.log.last() {
		r.broken("begins after %d <= stable %d <= handed out %d <= last %d", r.log.base, r.log.stable, r.log.handed, r.log.last())
	}
	if r.log.lastTerm() > r.hard.Term {
		r.broken("last entry is of term %d", r.log.lastTerm())
	}
	if (r.candidate != nil) != (r.role == PreCandidate || r.role == Candidate) || (r.lead != nil) != (r.role == Leader) {
		r.broken("state of another role")
	}
	if r.role == Leader && r.leader != r.config.ID || r.role != Leader && r.leader == r.config.ID {
		r.broken("leader is %v", r.leader)
	}
	if (r.role == Leader || r.role == Candidate) && r.hard.Vote != r.config.ID {
		r.broken("voted for %v", r.hard.Vote)
	}
	if r.ConfigurationIndex() > r.log.last() {
		r.broken("members as of entry %d, the last is %d", r.ConfigurationIndex(), r.log.last())
	}
	if r.role == Leader {
		for id, p := range r.lead.progress {
			if p.match >= p.next || p.match > r.log.last() {
				r.broken("%v: match %d < next %d, match <= last %d", id, p.match, p.next, r.log.last())
			}
		}
	}
}

// checkDelta: what must be true of one state after another.
func (r *Raft) checkDelta(old mark) {
	if r.hard.Term < old.hard.Term {
		r.broken("term was %d", old.hard.Term)
	}
	if r.hard.Term == old.hard.Term && old.hard.Vote != 0 && r.hard.Vote != old.hard.Vote {
		r.broken("vote for %v became one for %v", old.hard.Vote, r.hard.Vote)
	}
	if r.committed < old.committed || r.applied < old.applied {
		r.broken("committed %d and applied %d were %d and %d", r.committed, r.applied, old.committed, old.applied)
	}
	if old.role == Leader && r.hard.Term == old.hard.Term && r.log.last() < old.last {
		r.broken("leader's last entry was %d, is %d", old.last, r.log.last())
	}
}
