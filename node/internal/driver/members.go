package driver

import (
	"slices"

	"raftlab/raft"
)

// promoteLearners gives a vote to a learner that has everything that is committed (thesis §4.2.1). What
// refuses is temporary, and the next tick asks again.
func (d *Driver) promoteLearners() {
	if d.raft.Role() != raft.Leader || d.raft.ConfigurationIndex() > d.raft.Committed() {
		return
	}
	for _, m := range d.raft.Configuration().Members {
		if !m.Learner {
			continue
		}
		p, ok := d.raft.Progress(m.ID)
		if ok && p.Active && p.State == "replicate" && p.Match >= d.raft.Committed() {
			d.step(raft.ChangeMembership{Change: raft.Change{Type: raft.Promote, Member: m}})
			return
		}
	}
}

func (d *Driver) followMembers() {
	index, now := d.raft.ConfigurationIndex(), d.raft.Configuration()
	// An index alone would not do: a truncation can put another configuration where one was.
	if index == d.configuration && slices.Equal(now.Members, d.members.Members) && slices.Equal(now.Removed, d.members.Removed) {
		return
	}
	d.configuration, d.members = index, now
	others := slices.DeleteFunc(slices.Clone(d.members.Members), func(m raft.Member) bool { return m.ID == d.raft.ID() })
	d.config.Transport.SetMembers(others)
}
