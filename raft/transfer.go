package raft

// Leadership transfer (thesis §3.10): the leader stops taking proposals, brings the target up to date, and
// tells it to campaign at once. If that has not worked within an election time-out it goes on as before.
func (in Transfer) step(r *Raft) error {
	switch {
	case r.role != Leader:
		return ErrNotLeader
	case in.To == r.config.ID:
		return nil
	case !r.Configuration().IsVoter(in.To):
		return ErrUnknownMember
	case r.lead.transferTo != 0 && r.lead.transferTo != in.To:
		return ErrTransferring
	}
	r.lead.transferTo, r.lead.transferred = in.To, 0
	r.tracef("hand leadership to %v", in.To)
	r.continueTransfer(in.To)
	return nil
}

// TransferTo is whom a leader is handing its leadership to; zero if to nobody.
func (r *Raft) TransferTo() ID {
	if r.lead == nil {
		return 0
	}
	return r.lead.transferTo
}

// continueTransfer sends the word as soon as the target has every entry.
func (r *Raft) continueTransfer(from ID) {
	if r.lead.transferTo == from && from != 0 && r.lead.progress[from].match == r.log.last() {
		r.send(Message{Type: MsgTimeoutNow, To: from})
	}
}

func (r *Raft) tickTransfer() {
	if r.lead.transferTo == 0 {
		return
	}
	r.lead.transferred++
	if r.lead.transferred >= r.config.ElectionTicks {
		r.tracef("keep leadership: %v did not take it", r.lead.transferTo)
		r.lead.transferTo = 0
	}
}

// handleTimeoutNow campaigns without a pre-vote, which those who hear the leader would refuse.
func (r *Raft) handleTimeoutNow(m *Message) {
	if r.role == Follower && r.leader == m.From && r.Configuration().IsVoter(r.config.ID) {
		r.campaign(true)
	}
}
