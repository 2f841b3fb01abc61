package raft

// candidate exists while a member asks for votes.
type candidate struct {
	granted  []ID // sorted by arrival; each voter once
	refused  []ID
	transfer bool // at the behest of the leader: voters need not wait for its silence
}

// tickElection: "if a follower receives no communication over a period of time called the election
// time-out, it begins an election" (§5.2).
func (r *Raft) tickElection() {
	r.elapsed++
	if r.elapsed%r.config.HeartbeatTicks == 0 {
		r.resendReads()
	}
	if r.elapsed < r.timeout {
		return
	}
	r.elapsed = 0
	r.resetTimeout()
	if r.mayCampaign() {
		r.preCampaign()
	} else {
		// It does not count as hearing a leader any more: a candidate may need its vote.
		r.becomeFollower(r.hard.Term, 0)
	}
}

// mayCampaign: voters may; learners, strangers and removed members may not. But while its removal is not
// known to be committed a member still campaigns, without counting its own vote: it may be the only one
// whose log is long enough, and then nobody else could win (thesis §4.2.2). So may a learner that was asked for its vote
// and had to refuse it (needed).
func (r *Raft) mayCampaign() bool {
	if r.needed && r.learns() {
		return true
	}
	now := r.configurations[len(r.configurations)-1]
	if now.configuration.IsVoter(r.config.ID) || len(r.configurations) == 1 {
		return now.configuration.IsVoter(r.config.ID)
	}
	before := r.configurations[len(r.configurations)-2]
	return now.index > r.committed && before.configuration.IsVoter(r.config.ID)
}

// hearsLeader reports whether a leader was heard within the least election time-out: then votes are refused,
// so that a member that cannot hear it cannot depose it (§6, thesis §4.2.3).
func (r *Raft) hearsLeader() bool {
	return r.role == Leader || r.leader != 0 && r.elapsed < r.config.ElectionTicks
}

// preCampaign asks "would you vote for me?" before the term is raised (thesis §9.6): a member that cannot
// win, because it is cut off or its log is behind, disturbs nobody.
func (r *Raft) preCampaign() {
	r.giveUpReads()
	r.role, r.leader, r.lead = PreCandidate, 0, nil
	r.candidate = &candidate{granted: []ID{r.config.ID}}
	r.tracef("hear no leader; ask who would vote in term %d (last entry %d of term %d)", r.hard.Term+1, r.log.last(), r.log.lastTerm())
	if r.won() {
		r.campaign(false)
		return
	}
	r.askVotes(Message{Type: MsgPreVote, Term: r.hard.Term + 1})
}

// campaign: "increment currentTerm, vote for self, send RequestVote RPCs to all other servers" (Figure 2).
// The requests are a promise: with a vote that a crash could undo, the member could vote for another in the
// same term.
func (r *Raft) campaign(transfer bool) {
	r.giveUpReads()
	r.hard = HardState{Term: r.hard.Term + 1, Vote: r.config.ID}
	r.role, r.leader, r.lead = Candidate, 0, nil
	r.candidate = &candidate{transfer: transfer}
	r.elapsed = 0
	r.resetTimeout()
	r.tracef("ask for votes (last entry %d of term %d)", r.log.last(), r.log.lastTerm())
	r.askVotes(Message{Type: MsgVote, Transfer: transfer})
}

func (r *Raft) askVotes(m Message) {
	m.Index, m.LogTerm = r.log.last(), r.log.lastTerm()
	for _, member := range r.Configuration().Members {
		if member.ID == r.config.ID || member.Learner {
			continue
		}
		m.To = member.ID
		if m.Type == MsgPreVote {
			r.send(m) // promises nothing
		} else {
			r.promise(m)
		}
	}
}

// countOwnVote counts the member's vote for itself once it is on disk.
func (r *Raft) countOwnVote() {
	if r.saved == r.hard && r.hard.Vote == r.config.ID {
		r.countVote(r.config.ID, true)
	}
}

func (r *Raft) won() bool { return r.Configuration().majority(contains(r.candidate.granted)) }

func contains(ids []ID) func(ID) bool {
	return func(id ID) bool {
		for _, have := range ids {
			if have == id {
				return true
			}
		}
		return false
	}
}

// countVote counts each voter once, however often its reply arrives.
func (r *Raft) countVote(from ID, granted bool) {
	c := r.candidate
	if contains(c.granted)(from) || contains(c.refused)(from) {
		return
	}
	if granted {
		c.granted = append(c.granted, from)
	} else {
		c.refused = append(c.refused, from)
	}
	switch {
	case r.won() && r.role == PreCandidate:
		r.campaign(false)
	case r.won():
		r.becomeLeader()
	case r.Configuration().majority(contains(c.refused)):
		r.becomeFollower(r.hard.Term, 0)
	}
}

// handlePreVote: yes to who could win an election now: the term is new, its log is not behind (§5.4.1), and
// no leader is heard. It promises nothing, and changes nothing but what behind does.
func (r *Raft) handlePreVote(m *Message) {
	why := ""
	switch {
	case m.Term <= r.hard.Term:
		why = "the term is not new"
	case r.hearsLeader():
		why = "a leader is heard"
	case !r.log.upToDate(m.Index, m.LogTerm):
		why = r.behind()
	}
	if why != "" {
		r.tracef("would not vote for %v in term %d: %s", m.From, m.Term, why)
		r.promise(Message{Type: MsgPreVoteReply, To: m.From, Reject: true})
		return
	}
	r.tracef("would vote for %v in term %d", m.From, m.Term)
	r.send(Message{Type: MsgPreVoteReply, To: m.From, Term: m.Term})
}

// behind is why a vote is refused to a log that ends before ours (§5.4.1). Who asks a learner counts it as a voter, by a
// promotion that it does not have, and may not win without it. So from now on it waits for a leader as a voter does, and then
// asks for votes itself. It is elected by the voters that it knows, and leads until what it has is committed. To ask at once, while
// who asked it goes on asking others, would be to lose to it each time, and it may lose each time too (the simulator).
func (r *Raft) behind() string {
	r.needed = r.learns()
	return "its log is behind"
}

func (r *Raft) handlePreVoteReply(m *Message) {
	if r.role != PreCandidate || !m.Reject && m.Term != r.hard.Term+1 {
		return
	}
	r.countVote(m.From, !m.Reject)
}

// handleVote: "if votedFor is null or candidateId, and candidate's log is at least as up-to-date as
// receiver's log, grant vote" (Figure 2). Both halves are asked every time: a repeated request too must
// pass the comparison of logs (hashicorp/raft #661). Whether we believe that we are a voter is not asked:
// a learner may have been promoted by an entry that it does not have yet (etcd #10998).
func (r *Raft) handleVote(m *Message) {
	why := ""
	switch {
	case r.hard.Vote != 0 && r.hard.Vote != m.From:
		why = "already voted for " + r.name(r.hard.Vote)
	case !r.log.upToDate(m.Index, m.LogTerm):
		why = r.behind()
	}
	if why != "" {
		r.tracef("refuse %v a vote: %s", m.From, why)
		r.promise(Message{Type: MsgVoteReply, To: m.From, Reject: true})
		return
	}
	r.hard.Vote = m.From
	r.elapsed = 0
	r.tracef("vote for %v", m.From)
	r.promise(Message{Type: MsgVoteReply, To: m.From})
}

func (r *Raft) handleVoteReply(m *Message) {
	if r.role == Candidate {
		r.countVote(m.From, !m.Reject)
	}
}

// becomeLeader: nextIndex is "leader last log index + 1", matchIndex zero (Figure 2). The no-op comes first:
// until an entry of its own term is committed a leader does not know what is (§8).
func (r *Raft) becomeLeader() {
	r.tracef("win the election with %s of %d", r.names(r.candidate.granted), r.Configuration().Voters())
	r.role, r.candidate, r.leader, r.elapsed, r.needed = Leader, nil, r.config.ID, 0, false
	r.lead = &lead{progress: map[ID]*progress{}, firstOwn: r.log.last() + 1}
	for _, e := range r.log.slice(r.committed+1, r.log.last(), 1<<62) {
		r.lead.uncommitted += len(e.Data) // inherited, and to be committed with ours
	}
	r.trackMembers()
	r.appendOwn(Entry{Type: EntryNoop})
	r.broadcast(false)
}
