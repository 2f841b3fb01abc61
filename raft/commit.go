package raft

import "fmt"

// advanceCommit: "if there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
// log[N].term == currentTerm: set commitIndex = N" (Figure 2).
//
// Only entries of the current term are committed by counting (§5.4.2). An older entry on a majority can
// still be overwritten, as Figure 8 shows: S1 replicates its entry of term 2 to a majority in term 4 and
// crashes; S5, whose last entry is of term 3, can win and replace it. Once an entry of term 4 is on a
// majority S5 cannot win, and all before it is committed too.
//
// The leader counts itself by what its own disk has (etcd #14370 counted what it had only in memory).
func (r *Raft) advanceCommit() {
	n := r.Configuration().agreed(func(id ID) Index {
		if id == r.config.ID {
			return r.log.stable
		}
		return r.lead.progress[id].match
	})
	if term, ok := r.log.term(n); n <= r.committed || !ok || term != r.hard.Term {
		return
	}
	for _, e := range r.log.slice(r.committed+1, n, 1<<62) {
		r.lead.uncommitted -= len(e.Data)
	}
	r.commitTo(n)
	r.startReads() // what waited for the first commit of this term
	if r.stepDownIfRemoved() {
		return
	}
	r.broadcast(false) // followers answer reads as soon as they know
}

// commitTo moves commitIndex forward; it never falls.
func (r *Raft) commitTo(n Index) {
	if n <= r.committed {
		return
	}
	if n > r.log.last() {
		panic(fmt.Sprintf("raft: %v@%d commits entry %d, the last is %d", r.config.ID, r.hard.Term, n, r.log.last()))
	}
	r.committed = n
	r.detailf("commit %d", n)
}

// committedOwnTerm reports whether the leader knows what is committed (§8, thesis §6.4 step 1).
func (r *Raft) committedOwnTerm() bool { return r.committed >= r.lead.firstOwn }
