package raft

import (
	"fmt"
	"slices"
)

// lead exists while a member leads.
type lead struct {
	progress    map[ID]*progress // of every member but itself
	firstOwn    Index            // the no-op of this term
	uncommitted int              // bytes of commands after committed
	stalled     int              // ticks since the disk finished anything, while it has something to do
	reads       readRounds
	transferTo  ID  // zero unless leadership is being handed over
	transferred int // ticks since it began
}

// trackMembers makes the leader follow the configuration in force.
func (r *Raft) trackMembers() {
	c := r.Configuration()
	for id := range r.lead.progress {
		if _, ok := c.Find(id); !ok {
			delete(r.lead.progress, id)
		}
	}
	for _, m := range c.Members {
		if m.ID != r.config.ID && r.lead.progress[m.ID] == nil {
			r.lead.progress[m.ID] = &progress{next: r.log.last() + 1, active: true}
		}
	}
}

// tickLeader sends heartbeats "to prevent election time-outs" (§5.2), and steps down when no majority has
// answered for an election time-out (thesis §6.2): clients then ask elsewhere.
func (r *Raft) tickLeader() {
	r.elapsed++
	r.tickTransfer()
	if r.diskStalled() {
		r.tracef("have a disk that finishes nothing")
		r.becomeFollower(r.hard.Term, 0)
		return
	}
	if r.elapsed%r.config.HeartbeatTicks == 0 {
		r.broadcast(true)
	}
	if r.elapsed < r.config.ElectionTicks {
		return
	}
	r.elapsed = 0
	heard := func(id ID) bool { return id == r.config.ID || r.lead.progress[id].active }
	if !r.Configuration().majority(heard) {
		r.tracef("hear no majority")
		r.becomeFollower(r.hard.Term, 0)
		return
	}
	for _, p := range r.lead.progress {
		p.active = false
	}
}

// diskStalled reports that the disk has not finished anything for an election time-out. Such a leader would go on
// with heartbeats and never commit an entry by itself; another member leads better (hashicorp/raft #503).
func (r *Raft) diskStalled() bool {
	if r.log.stable == r.log.handed && r.saved == r.handed {
		r.lead.stalled = 0
		return false
	}
	r.lead.stalled++
	return r.lead.stalled > r.config.ElectionTicks
}

func (in Propose) step(r *Raft) error {
	switch {
	case r.role != Leader:
		return ErrNotLeader
	case r.lead.transferTo != 0:
		return ErrTransferring
	}
	size := 0
	for _, c := range in.Commands {
		size += len(c)
	}
	// One batch always fits an idle leader, however large it is; then the bound holds.
	if r.lead.uncommitted > 0 && r.lead.uncommitted+size > r.config.MaxUncommittedBytes {
		return ErrOverloaded
	}
	for _, c := range in.Commands {
		r.appendOwn(Entry{Type: EntryCommand, Data: c})
	}
	r.broadcast(false)
	return nil
}

// Room is how many bytes of commands a leader takes before Propose is ErrOverloaded; zero on others. An idle leader
// takes one batch that is larger, too.
func (r *Raft) Room() int {
	if r.role != Leader {
		return 0
	}
	return max(0, r.config.MaxUncommittedBytes-r.lead.uncommitted)
}

// appendOwn adds an entry of the leader's term to its own log: a leader never overwrites or deletes
// (Figure 3, Leader Append-Only).
func (r *Raft) appendOwn(e Entry) {
	e.Term, e.Index = r.hard.Term, r.log.last()+1
	r.log.append(e)
	r.lead.uncommitted += len(e.Data)
	if r.config.TraceDetail {
		r.detailf("append %d (%v)", e.Index, e.Type)
	}
}

// broadcast sends each member what it lacks; a heartbeat goes out even where nothing does.
func (r *Raft) broadcast(heartbeat bool) {
	for _, m := range r.Configuration().Members {
		if m.ID != r.config.ID {
			r.replicate(m.ID, heartbeat)
		}
	}
}

// replicate sends what the member lacks, entries and the commit index, as far as its progress allows. must
// sends an append in any case.
func (r *Raft) replicate(to ID, must bool) {
	p := r.lead.progress[to]
	if p.snapshot != 0 {
		if must {
			r.sendAppend(to, r.log.base, nil) // so that it hears a leader; it will refuse
		}
		return
	}
	if p.next <= r.log.base {
		r.sendSnapshot(to)
		return
	}
	for p.replicating && p.next <= r.log.last() && !p.full(&r.config) {
		entries := r.log.slice(p.next, r.log.last(), r.config.MaxAppendBytes)
		prev := p.next - 1
		p.sent(entries)
		r.sendAppend(to, prev, entries)
		must = false
	}
	if !p.replicating && !p.probeSent {
		// A probe carries entries: where the logs meet, that saves a round trip.
		p.probeSent = true
		r.sendAppend(to, p.next-1, r.log.slice(p.next, r.log.last(), r.config.MaxAppendBytes))
		return
	}
	// What an append says of the commit index reaches no further than its entries. To say the same again at every answer
	// would go on for ever, and, where messages are duplicated, grow without bound (the simulator's storm check found it).
	if must || p.replicating && p.told < min(r.committed, p.next-1) {
		// With the entry before next the member notices what was lost on the way, and refuses.
		r.sendAppend(to, p.next-1, nil)
	}
}

func (r *Raft) sendAppend(to ID, prev Index, entries []Entry) {
	term, ok := r.log.term(prev)
	if !ok {
		panic(fmt.Sprintf("raft: %v@%d has no term for entry %d, before the next of %v", r.config.ID, r.hard.Term, prev, to))
	}
	r.lead.progress[to].told = min(r.committed, prev+Index(len(entries)))
	r.withdrawEmptyAppend(to, prev)
	r.send(Message{Type: MsgAppend, To: to, Index: prev, LogTerm: term, Entries: entries, Commit: r.committed, Round: r.lead.reads.round})
}

// withdrawEmptyAppend takes back the last message to a member if it still waits to be sent and only says what the append
// that follows it says too: the commit index and the round of reads, after the same entry. To the member it is a message that
// was lost.
func (r *Raft) withdrawEmptyAppend(to ID, prev Index) {
	for i := len(r.messages) - 1; i >= 0; i-- {
		if m := &r.messages[i]; m.To == to {
			if m.Type == MsgAppend && m.Term == r.hard.Term && m.Index == prev && len(m.Entries) == 0 {
				r.messages = slices.Delete(r.messages, i, i+1)
			}
			return
		}
	}
}

// handleAppend is the receiver of AppendEntries (Figure 2).
func (r *Raft) handleAppend(m *Message) {
	r.acceptLeader(m)
	if m.Index < r.committed {
		// Late. What is committed is known to match.
		r.acknowledge(m, r.committed)
		return
	}
	// 2. "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm."
	if !r.log.matches(m.Index, m.LogTerm) {
		hint, hintTerm := r.log.lastNotAfter(min(m.Index, r.log.last()), m.LogTerm)
		r.detailf("refuse entries after %d of term %d from %v; the logs may meet at %d", m.Index, m.LogTerm, m.From, hint)
		r.promise(Message{Type: MsgAppendReply, To: m.From, Index: m.Index, Reject: true, Hint: hint, HintTerm: hintTerm, Round: m.Round})
		return
	}
	last := m.Index + Index(len(m.Entries))
	r.appendFromLeader(m)
	// 5. "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)":
	// what comes after the last new entry may be another leader's.
	r.commitTo(min(m.Commit, last))
	r.acknowledge(m, last)
}

// acceptLeader: whoever sends AppendEntries in our term leads it (§5.2).
func (r *Raft) acceptLeader(m *Message) {
	if r.config.Cluster == 0 {
		r.config.Cluster = m.Cluster
	}
	if r.role != Follower || r.leader == 0 {
		r.becomeFollower(r.hard.Term, m.From)
	}
	r.elapsed = 0
}

// appendFromLeader does 3. "If an existing entry conflicts with a new one (same index but different terms),
// delete the existing entry and all that follow it" and 4. "Append any new entries not already in the log".
// Entries that agree stay, with all after them: the append may be old and short (CCF #5991).
func (r *Raft) appendFromLeader(m *Message) {
	for i, e := range m.Entries {
		if r.log.matches(e.Index, e.Term) {
			continue
		}
		if e.Index <= r.log.last() {
			if e.Index <= r.committed {
				panic(fmt.Sprintf("raft: leader completeness: %v@%d is told by %v to replace committed entry %d", r.config.ID, r.hard.Term, m.From, e.Index))
			}
			r.tracef("cut entries %d to %d: %v has others", e.Index, r.log.last(), m.From)
			r.log.truncate(e.Index)
			r.revertConfiguration()
		}
		for _, e := range m.Entries[i:] {
			if err := r.adopt(e); err != nil {
				panic(fmt.Sprintf("raft: %v@%d: %v", r.config.ID, r.hard.Term, err))
			}
		}
		r.log.append(m.Entries[i:]...)
		return
	}
}

// acknowledge tells the leader that the logs are the same up to index. The reply waits for the disk; but
// the answer to a heartbeat speaks at once of what is on disk already, so that a slow disk delays entries
// and not reads or the leader's sense of who is alive.
func (r *Raft) acknowledge(m *Message, index Index) {
	reply := Message{Type: MsgAppendReply, To: m.From, Index: index, Round: m.Round}
	if len(m.Entries) == 0 && r.saved == r.hard {
		reply.Index = min(index, r.log.stable)
		r.send(reply)
		return
	}
	r.promise(reply)
}

func (r *Raft) handleAppendReply(m *Message) {
	if r.role != Leader {
		return
	}
	p := r.lead.progress[m.From]
	p.active = true
	if m.Round > p.round {
		p.round = m.Round
		r.confirmReads()
	}
	if m.Reject {
		r.backOff(p, m)
		return
	}
	p.acknowledged(m.Index)
	if p.snapshot != 0 && m.Index < p.snapshot && p.match < r.log.base {
		return // of an append before the snapshot; it still lacks what is gone
	}
	// Only the answer to the probe ends it. An older answer, of appends that were sent ahead before the refusal, would have
	// everything sent ahead again, to be refused again: where messages overtake each other that never ends (the simulator).
	if p.replicating || p.snapshot != 0 || m.Index >= p.next-1 {
		p.replicate()
	}
	r.advanceCommit()
	if r.role != Leader {
		return // the commit was of our own removal
	}
	r.replicate(m.From, false)
	r.continueTransfer(m.From)
}

// backOff: "the leader decrements nextIndex and retries" (§5.3), a term at a time. A refusal that is older
// than what is known must not move anything: match never falls (etcd-raft #149, CCF).
func (r *Raft) backOff(p *progress, m *Message) {
	if p.snapshot != 0 && m.Hint >= p.snapshot {
		p.probe(p.match + 1) // it has arrived, and the answer that said so was lost: nothing more would end the wait
	}
	if p.snapshot != 0 || m.Index <= p.match || !p.replicating && m.Index != p.next-1 {
		return
	}
	if m.Hint < p.match {
		return // older than an acknowledgement: what is known to match is never refused
	}
	if m.Index == r.log.base || m.Hint < r.log.base {
		r.sendSnapshot(m.From) // the logs meet, if at all, in entries that are gone
		return
	}
	next, _ := r.log.lastNotAfter(min(m.Hint, r.log.last()), m.HintTerm)
	if p.replicating {
		p.window = 1
	}
	r.detailf("back off for %v from %d to %d", m.From, m.Index, max(next, p.match))
	p.probe(next + 1)
	r.replicate(m.From, false)
}
