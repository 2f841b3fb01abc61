package sim

import (
	"errors"
	"slices"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// operator adds and removes members, as a person or a script would: one request at a time, asked again until it is
// done. It never takes so many disks away that what was acknowledged could be lost, and never leaves so few that no
// majority could be healed: what fails in a run is then a bug, and not the operator's doing.
type operator struct {
	jobs    []job
	waiting bool // for the answer to a request
	removed map[raft.ID]bool
	until   time.Duration // of the request
	asked   []*removal

	committed   raft.Configuration // the last that anybody was seen to commit
	committedAt raft.Index

	told []configured // every configuration that a member ever had in its log
}

// configured is a configuration by its place in a log.
type configured struct {
	index raft.Index
	term  raft.Term
	of    raft.Configuration
}

// shows reports whether the change is in force in the configuration.
func shows(c raft.Configuration, change raft.Change) bool {
	m, found := c.Find(change.Member.ID)
	switch change.Type {
	case raft.Remove:
		return !found
	case raft.Promote:
		return found && !m.Learner
	}
	return found
}

// removal is one that was asked for and not answered: the leader may append it at any moment, and what it appends counts
// at once. Until then no member's configuration shows it. It is forgotten with the life of the leader that has it.
type removal struct {
	of   raft.ID
	by   *member
	life uint32
}

// job is one change that is to be made.
type job struct {
	change raft.Change
	tries  int
	rejoin bool // of a member that was wiped
}

const (
	operatorEvery   = 40 * time.Millisecond
	operatorPatient = time.Second
	jobTriesMax     = 400
)

// operate asks whoever seems to lead for the next change.
func (w *world) operate() {
	if w.healing {
		return
	}
	w.later(operatorEvery, w.operate)
	o := &w.operator
	if o.waiting && w.now < o.until || len(o.jobs) == 0 {
		return
	}
	j := &o.jobs[0]
	if j.tries++; j.tries > jobTriesMax {
		o.jobs = o.jobs[1:]
		return
	}
	leader := w.leader()
	if leader == nil || leader.paused {
		return
	}
	if j.change.Type == raft.Remove && !w.mayRemove(j.change.Member.ID) {
		o.jobs = append(o.jobs[1:], *j) // later, perhaps
		return
	}
	o.waiting, o.until = true, w.now+operatorPatient
	asked := *j
	w.ask(leader, asked.change, func(err error) { w.changed(asked, err) })
}

// ask gives a leader a change to make, and counts a removal from now on.
func (w *world) ask(leader *member, change raft.Change, done func(error)) {
	o := &w.operator
	r := &removal{change.Member.ID, leader, leader.life}
	if change.Type == raft.Remove {
		o.asked = append(o.asked, r)
	}
	leader.inbox.Other = append(leader.inbox.Other, func(d *driver.Driver) {
		d.Change(change, func(applied driver.Applied, err error) {
			o.asked = slices.DeleteFunc(o.asked, func(other *removal) bool { return other == r })
			if err == nil {
				w.later(0, func() { w.changeAnswered(leader, change, applied.Index) }) // when what the step did has been seen
			}
			done(err)
		})
	})
	w.rouse(leader)
}

// changed takes the answer to a request. It may be late.
func (w *world) changed(j job, err error) {
	o := &w.operator
	o.waiting = false
	done := err == nil
	switch {
	case errors.Is(err, raft.ErrLearnerNotCaught):
		w.mark(promotionRefused)
	case errors.Is(err, raft.ErrChangePending):
		w.mark(changePending)
	case errors.Is(err, raft.ErrRemoved):
		w.mark(removedRefused)
		done = true
	case errors.Is(err, raft.ErrUnknownMember) && j.change.Type != raft.AddLearner, errors.Is(err, raft.ErrLastVoter):
		done = true
	case errors.Is(err, raft.ErrMemberExists):
		// Ours, or the one that had the address before and is not removed yet.
		if leader := w.leader(); leader != nil {
			_, done = leader.members.Find(j.change.Member.ID)
		}
	}
	w.tell("operator: %v %v: %v", j.change.Type, j.change.Member.ID, err)
	if !done {
		if j.change.Type == raft.Promote { // others need not wait until it has caught up
			o.jobs = append(slices.DeleteFunc(o.jobs, func(other job) bool { return other.change == j.change }), j)
		}
		return
	}
	if err == nil && j.change.Type == raft.Remove {
		w.mark(voterRemoved)
		if o.removed == nil {
			o.removed = map[raft.ID]bool{}
		}
		o.removed[j.change.Member.ID] = true
		if w.chance.faults.IntN(4) == 0 { // somebody has not heard of it
			w.wish(raft.AddLearner, raft.Member{ID: j.change.Member.ID, Address: "again"}, false)
		}
	}
	if err == nil && j.change.Type == raft.AddLearner && j.rejoin {
		w.mark(wipedRejoined)
	}
	o.jobs = slices.DeleteFunc(o.jobs, func(other job) bool { return other.change == j.change })
}

func (w *world) wish(t raft.ChangeType, m raft.Member, rejoin bool) {
	for _, j := range w.operator.jobs {
		if j.change.Type == t && j.change.Member.ID == m.ID {
			return
		}
	}
	w.operator.jobs = append(w.operator.jobs, job{change: raft.Change{Type: t, Member: m}, rejoin: rejoin})
	if t == raft.AddLearner && w.chance.faults.IntN(2) == 0 { // and have it promoted, whether it has caught up or not
		w.wish(raft.Promote, raft.Member{ID: m.ID}, false)
	}
}

// leader is the member that leads in the greatest term, as far as members know.
func (w *world) leader() (leader *member) {
	for _, m := range w.members {
		if m.up && m.role == raft.Leader && (leader == nil || m.term > leader.term) {
			leader = m
		}
	}
	return leader
}

// configurations are those that may decide the next election: the last one that is committed, any in force anywhere
// or on its way that may follow it, and what the removals that were asked for make of them. An older one decides nothing any more: a
// majority of the last one knows better.
func (w *world) configurations() []raft.Configuration {
	var all []raft.Configuration
	if w.operator.committedAt > 0 {
		all = append(all, w.operator.committed)
	}
	for _, m := range w.members {
		if m.since <= w.operator.committedAt || m.lost || len(m.members.Members) == 0 {
			continue
		}
		all = withConfiguration(all, m.members)
	}
	for _, t := range w.operator.told { // one that nobody has any more may be on its way yet, until another entry is committed there
		if t.index > w.operator.committedAt && t.index > w.watch.Committed() {
			all = withConfiguration(all, t.of)
		}
	}
	for _, r := range w.operator.asked {
		if !r.by.up || r.by.life != r.life {
			continue
		}
		for _, c := range all {
			c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m raft.Member) bool { return m.ID == r.of })
			if c.Voters() > 0 { // Raft refuses to remove the last one
				all = withConfiguration(all, c)
			}
		}
	}
	return all
}

// withConfiguration adds one that is not there yet.
func withConfiguration(all []raft.Configuration, c raft.Configuration) []raft.Configuration {
	if slices.ContainsFunc(all, func(other raft.Configuration) bool { return slices.Equal(other.Members, c.Members) }) {
		return all
	}
	return append(all, c)
}

// whole reports whether the member with the id has all its data: it is the one that lives at its address now, and its
// disk is not damaged.
func (w *world) whole(id raft.ID) bool {
	m := w.byID[id]
	return m.id == id && !m.lost
}

// quorumOf reports whether the voters that is says yes to are a majority of every configuration in force.
func (w *world) quorumOf(is func(raft.ID) bool) bool {
	for _, c := range w.configurations() {
		n := 0
		for _, m := range c.Members {
			if !m.Learner && is(m.ID) {
				n++
			}
		}
		if n < c.Quorum() {
			return false
		}
	}
	return true
}

// mayLose reports whether a disk may be taken away: without it, a majority of every configuration in force must have
// all that anybody has committed on disks that are whole. Then what was acknowledged survives like any loss of a
// minority.
func (w *world) mayLose(m *member) bool {
	committed := w.watch.Committed()
	is := func(id raft.ID) bool {
		other := w.byID[id]
		return id != m.id && w.whole(id) && other.up && other.raft().StableIndex() >= committed
	}
	without := func(id raft.ID) bool { return id == m.id || !w.whole(id) }
	return w.quorumAndMore(is, without)
}

// quorumAndMore is quorumOf that also holds after a leader, cut off or not, promotes a learner that is out: what it appends
// counts at once, and what it knows of the learner may be of a moment ago.
func (w *world) quorumAndMore(is, out func(raft.ID) bool) bool {
	for _, c := range w.configurations() {
		for _, m := range c.Members {
			if m.Learner && out(m.ID) && !w.quorumWhenPromoted(m.ID, is) {
				return false
			}
		}
	}
	return w.quorumOf(is)
}

// quorumWhenPromoted is quorumOf where the leader promotes this learner yet, who had all that it needs a moment ago, and is
// no help any more.
func (w *world) quorumWhenPromoted(learner raft.ID, is func(raft.ID) bool) bool {
	for _, c := range w.configurations() {
		if m, found := c.Find(learner); !found || !m.Learner {
			continue
		}
		voters, n := 1, 0
		for _, m := range c.Members {
			if !m.Learner {
				voters++
				if is(m.ID) {
					n++
				}
			}
		}
		if n < voters/2+1 {
			return false
		}
	}
	return true
}

// mayRemove reports whether a majority could be healed without the member.
func (w *world) mayRemove(id raft.ID) bool {
	for _, c := range w.configurations() {
		voters, whole := 0, 0
		for _, m := range c.Members {
			if m.Learner || m.ID == id {
				continue
			}
			voters++
			if w.whole(m.ID) {
				whole++
			}
		}
		if voters > 0 && whole < voters/2+1 {
			return false
		}
	}
	return true
}

// replace gives a member an empty disk under a new id, has the old id removed, and asks for the new one to be added.
func (w *world) replace(m *member) {
	old := m.id
	_, member := m.members.Find(old)
	known := member || w.inForce(old)
	w.newDisk(m)
	m.sameAgain = m.sameAgain || m.id == old
	w.tell("%v is wiped, and is %v from now on", old, m.id)
	w.act(m, func() { w.start(m) })
	if known && old != m.id {
		w.wish(raft.Remove, raft.Member{ID: old}, false)
	}
	w.wish(raft.AddLearner, raft.Member{ID: m.id, Address: m.address}, true)
}

func (w *world) inForce(id raft.ID) bool {
	return slices.ContainsFunc(w.configurations(), func(c raft.Configuration) bool { _, ok := c.Find(id); return ok })
}
