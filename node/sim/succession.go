package sim

import (
	"slices"

	"raftlab/raft"
)

// reconfigured checks a configuration that comes into force at a member: it is the last in its log, what is committed stays, no
// id comes back that was removed, and a leader gives a vote only to a learner that has what is committed.
func (w *world) reconfigured(m *member) {
	w.mark(checkedReconfigured)
	r := m.raft()
	now := r.Configuration()
	if term, ok := r.TermAt(m.since); r.ConfigurationIndex() < m.since && (m.since <= m.committed || ok && term == m.sinceTerm) {
		w.fail("members", "%v goes back to the members as of entry %d; those as of entry %d are in its log", m.id, r.ConfigurationIndex(), m.since)
	}
	if r.Role() == raft.Leader && m.role == raft.Leader && m.term == r.Term() && r.ConfigurationIndex() > m.since {
		w.changes(m)
	}
	for _, member := range now.Members {
		if slices.Contains(now.Removed, member.ID) {
			w.fail("members", "%v has %v among the members as of entry %d, an id that was removed", m.id, member.ID, r.ConfigurationIndex())
		}
		before, known := m.members.Find(member.ID)
		if other := w.byID[member.ID]; r.Role() == raft.Leader && known && before.Learner && !member.Learner &&
			other.id == member.ID && other.up && !other.lost && other.raft().StableIndex() < m.committed {
			w.fail("members", "%v promotes %v, which has entries up to %d; %d are committed", m.id, other.id, other.raft().StableIndex(), m.committed)
		}
	}
}

// changes checks when a leader changes the members: one change at a time, and none before it has committed an entry of its own
// term (Ongaro, raft-dev 2015); else two majorities may have no member in common.
func (w *world) changes(m *member) {
	w.mark(checkedChanges)
	r := m.raft()
	if m.since > r.Committed() {
		w.fail("members", "%v changes the members at entry %d; the change at entry %d is not committed", m.id, r.ConfigurationIndex(), m.since)
	}
	if term, _ := r.TermAt(r.Committed()); term != r.Term() {
		w.fail("members", "%v changes the members at entry %d and has committed nothing of its term %d", m.id, r.ConfigurationIndex(), r.Term())
	}
}

// removedStays checks the configuration that was committed last: an id whose removal was answered with success is in none that follows.
// Unlike reconfigured it does not ask the configuration itself who was removed.
func (w *world) removedStays() {
	w.mark(checkedRemoved)
	for _, member := range w.operator.committed.Members {
		if w.operator.removed[member.ID] {
			w.fail("members", "%v is a member as of entry %d, which is committed; its removal was answered with success", member.ID, w.operator.committedAt)
		}
	}
}

// changeAnswered checks a change that was answered with success: it is what stands at that entry, and the entry is committed.
func (w *world) changeAnswered(m *member, change raft.Change, at raft.Index) {
	w.mark(checkedChangeAnswered)
	if at > w.watch.Committed() || !slices.ContainsFunc(w.operator.told, func(t configured) bool { return t.index == at && shows(t.of, change) }) {
		w.fail("members", "%v says that it is done to %v %v, at entry %d; entries up to %d are committed, and no such change stands there", m.id, change.Type, change.Member.ID, at, w.watch.Committed())
	}
}

// campaigns checks who asks for votes: a member that was removed may, as long as it does not know that.
func (w *world) campaigns(m *member) {
	w.mark(checkedCampaigns)
	r := m.raft()
	if w.operator.removed[m.id] {
		w.mark(removedCampaigns)
	}
	if _, member := r.Configuration().Find(m.id); !member && r.ConfigurationIndex() <= r.Committed() {
		w.fail("members", "%v asks for votes and is no member as of entry %d, which it knows to be committed", m.id, r.ConfigurationIndex())
	}
}

// leads checks that a leader goes when its removal is committed.
func (w *world) leads(m *member) {
	w.mark(checkedLeads)
	r := m.raft()
	if _, member := r.Configuration().Find(m.id); !member && r.Role() == raft.Leader && r.ConfigurationIndex() <= r.Committed() {
		w.fail("members", "%v leads, and is no member as of entry %d, which is committed", m.id, r.ConfigurationIndex())
	}
}

// handedOver checks the word to campaign at once: who cannot win only deposes the leader. One that is none any more, by a message
// that it has read since, may have been given entries that it did not speak of.
func (w *world) handedOver(from, to *member, message *raft.Message) {
	w.mark(checkedHandedOver)
	if from.raft().Term() != message.Term {
		return
	}
	if to.id == message.To && to.up && !to.lost && to.driver != nil && to.raft().LastIndex() < from.raft().LastIndex() {
		w.fail("transfer", "%v hands its leadership to %v, which has entries up to %d of %d", from.id, to.id, to.raft().LastIndex(), from.raft().LastIndex())
	}
}
