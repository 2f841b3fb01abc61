package harness

import (
	"maps"
	"slices"
	"time"
)

// noteTerm looks how far a majority of the members that have ever answered are.
func (m *Monitor) noteTerm(now time.Duration, node string, term uint64) {
	m.view.terms[node] = max(m.view.terms[node], term)
	all := slices.Sorted(maps.Values(m.view.terms))
	reached := all[(len(all)-1)/2]
	if n := len(m.seen.Terms); n == 0 || reached > m.seen.Terms[n-1].Term {
		m.seen.Terms = append(m.seen.Terms, Term{At: now, Term: reached})
	}
}

// distinguish counts what answers differ in.
func (m *Monitor) distinguish(status Status) {
	m.view.applied[status.Applied] = true
	if status.Hash != "" {
		m.view.states[status.Hash] = true
	}
	m.seen.Applied, m.seen.Hashes = len(m.view.applied), len(m.view.states)
	m.seen.Commit = max(m.seen.Commit, status.Commit)
}

func (m *Monitor) judgeLeader(now time.Duration, node string, status Status) {
	if status.Role != "leader" {
		delete(m.view.claims, node)
		return
	}
	m.view.claims[node] = status.Term
	other, known := m.view.leaders[status.Term]
	switch {
	case !known:
		m.view.leaders[status.Term] = node
		m.seen.Elections = append(m.seen.Elections, Election{At: now, Term: status.Term, Node: node})
	case other != node:
		m.find(now, OneLeaderPerTerm, "%s and %s both lead in term %d", other, node, status.Term)
	}
}

func (m *Monitor) judgeHash(now time.Duration, node string, status Status) {
	if status.Hash == "" {
		return
	}
	first, known := m.view.hashes[status.Applied]
	if !known {
		m.view.hashes[status.Applied] = hashAt{hash: status.Hash, node: node}
		m.seen.Hashed = len(m.view.hashes)
		return
	}
	if first.node != node {
		m.seen.Compared++
	}
	if first.hash != status.Hash {
		m.find(now, EqualStateHash, "at applied index %d %s has hash %s and %s has %s",
			status.Applied, first.node, first.hash, node, status.Hash)
	}
}

// judgeCommit compares only numbers of the same process: a commit index is not kept on disk (Figure 2). The
// first number of a process is not kept, for it may still be one of the process before.
func (m *Monitor) judgeCommit(now time.Duration, node string, started time.Time, status Status) {
	before := m.view.lives[node]
	switch {
	case started.IsZero() || !started.Equal(before.started):
		m.view.lives[node] = life{started: started}
		return
	case status.Commit < before.commit:
		m.find(now, CommitMonotonic, "%s went from commit index %d to %d without a restart", node, before.commit, status.Commit)
	}
	m.view.lives[node] = life{started: started, commit: status.Commit}
}
