package raft

// Reads without a log entry (thesis §6.4). The leader notes its commit index, makes sure by one round of
// heartbeats that nobody has replaced it, and lets the asker read once its state machine has reached the
// index. Confirmations are counted by rounds: the number grows with every round of a term and is never used
// again, so that a late reply confirms what it was asked and nothing after it.
type readRounds struct {
	round   uint64        // of the heartbeats that are being answered
	index   Index         // commit index when the round began
	asked   []waitingRead // by the round in flight
	waiting []waitingRead // for the next one
}

// waitingRead is one read: of this member if from is itself.
type waitingRead struct {
	from    ID
	context uint64
}

// forwardedRead is a read that was sent to the leader. Its key is never used again, by later lives of this
// member either, so that no old reply can answer a new read.
type forwardedRead struct {
	key     uint64
	context uint64
}

func (in Read) step(r *Raft) error {
	switch {
	case r.role == Leader:
		r.lead.reads.waiting = append(r.lead.reads.waiting, waitingRead{r.config.ID, in.Context})
		r.startReads()
	case r.leader == 0:
		return ErrNoLeader
	default:
		f := forwardedRead{key: r.nextRandom(), context: in.Context}
		r.forwarded = append(r.forwarded, f)
		r.send(Message{Type: MsgReadIndex, To: r.leader, Context: f.key})
	}
	return nil
}

// startReads begins a round for the reads that wait, unless one is under way: later reads share the next.
// Before a commit in its own term the leader's commit index may be behind what an earlier leader has
// answered (etcd #7331, TiKV #6340, RedisRaft #18), so reads wait for it.
func (r *Raft) startReads() {
	q := &r.lead.reads
	if len(q.asked) > 0 || len(q.waiting) == 0 || !r.committedOwnTerm() {
		return
	}
	q.round++
	q.index = r.committed
	q.asked, q.waiting = q.waiting, nil
	r.broadcast(true)
	r.confirmReads() // a majority of one needs nobody's answer
}

// confirmReads answers the round in flight when a majority has confirmed it.
func (r *Raft) confirmReads() {
	q := &r.lead.reads
	if len(q.asked) == 0 {
		return
	}
	confirmed := func(id ID) bool { return id == r.config.ID || r.lead.progress[id].round >= q.round }
	if !r.Configuration().majority(confirmed) {
		return
	}
	asked, index := q.asked, q.index
	q.asked = nil
	for _, read := range asked {
		if read.from == r.config.ID {
			r.reads = append(r.reads, ReadResult{Context: read.context, Index: index})
		} else {
			r.send(Message{Type: MsgReadIndexReply, To: read.from, Index: index, Context: read.context})
		}
	}
	r.detailf("confirm round %d of reads at %d", q.round, index)
	r.startReads()
}

func (r *Raft) handleReadIndex(m *Message) {
	if r.role != Leader {
		r.send(Message{Type: MsgReadIndexReply, To: m.From, Context: m.Context, Reject: true})
		return
	}
	read := waitingRead{m.From, m.Context}
	for _, w := range r.lead.reads.waiting {
		if w == read {
			return // sent again; the answer is on its way
		}
	}
	r.lead.reads.waiting = append(r.lead.reads.waiting, read)
	r.startReads()
}

func (r *Raft) handleReadIndexReply(m *Message) {
	for i, f := range r.forwarded {
		if f.key != m.Context {
			continue
		}
		result := ReadResult{Context: f.context, Index: m.Index}
		if m.Reject {
			result.Err = ErrNotLeader
		}
		r.reads = append(r.reads, result)
		r.forwarded = append(r.forwarded[:i:i], r.forwarded[i+1:]...)
		return
	}
}

// resendReads repeats requests that may have been lost: a read moves nothing, so twice is as good as once.
func (r *Raft) resendReads() {
	for _, f := range r.forwarded {
		if r.leader != 0 {
			r.send(Message{Type: MsgReadIndex, To: r.leader, Context: f.key})
		}
	}
}

// giveUpReads ends every read that depended on the role or the leader that is going: the asker may try again.
func (r *Raft) giveUpReads() {
	for _, f := range r.forwarded {
		r.reads = append(r.reads, ReadResult{Context: f.context, Err: ErrNoLeader})
	}
	r.forwarded = nil
	if r.lead == nil {
		return
	}
	for _, list := range [][]waitingRead{r.lead.reads.asked, r.lead.reads.waiting} {
		for _, read := range list {
			if read.from == r.config.ID {
				r.reads = append(r.reads, ReadResult{Context: read.context, Err: ErrNotLeader})
			} else {
				r.send(Message{Type: MsgReadIndexReply, To: read.from, Context: read.context, Reject: true})
			}
		}
	}
}
