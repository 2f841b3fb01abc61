package raft

import "fmt"

// Snapshot says what a snapshot of the state machine covers (§7): everything up to Index. The configuration at
// that point and the last term are part of it, because the log that told them is gone.
type Snapshot struct {
	Index              Index
	Term               Term
	Configuration      Configuration
	ConfigurationIndex Index // the entry that brought it
}

// SnapshotTaken says that a snapshot is durable: the log before it may go, but for a tail that lets slow followers
// catch up without it. Step it only with a snapshot of an applied index.
type SnapshotTaken struct{ Snapshot Snapshot }

// SnapshotFailed says that the state did not reach the member: the leader tries again.
type SnapshotFailed struct{ To ID }

// SnapshotAt describes a snapshot of the state machine at an index that is applied and still in the log.
func (r *Raft) SnapshotAt(i Index) (Snapshot, bool) {
	term, ok := r.log.term(i)
	if !ok || i > r.applied {
		return Snapshot{}, false
	}
	for n := len(r.configurations) - 1; n >= 0; n-- {
		if c := r.configurations[n]; c.index <= i {
			return Snapshot{Index: i, Term: term, Configuration: c.configuration, ConfigurationIndex: c.index}, true
		}
	}
	return Snapshot{}, false
}

// Snapshot is the latest one that is durable here.
func (r *Raft) Snapshot() Snapshot { return r.snapshot }

func (in SnapshotTaken) step(r *Raft) error {
	s := in.Snapshot
	if s.Index <= r.snapshot.Index {
		return nil // a newer one was installed meanwhile
	}
	if s.Index > r.applied || !r.log.matches(s.Index, s.Term) {
		panic(fmt.Sprintf("raft: %v@%d: snapshot of entry %d of term %d, applied is %d", r.config.ID, r.hard.Term, s.Index, s.Term, r.applied))
	}
	r.snapshot = s
	r.tracef("have a snapshot of entries up to %d", s.Index)
	if tail := Index(r.config.TailEntries); s.Index > r.log.base+tail {
		r.compact(s.Index - tail)
	}
	return nil
}

// compact forgets entries up to and including i. Those not yet on disk stay: a crash must find a log that meets
// the snapshot.
func (r *Raft) compact(i Index) {
	i = min(i, r.log.stable)
	if i <= r.log.base {
		return
	}
	r.log.compact(i)
	keep := 0
	for keep+1 < len(r.configurations) && r.configurations[keep+1].index <= r.snapshot.Index {
		keep++
	}
	r.configurations = append([]configurationAt(nil), r.configurations[keep:]...)
	r.detailf("forget entries up to %d", i)
}

// sendSnapshot: "the leader must occasionally send snapshots to followers that lag behind", because it "has already
// discarded the next log entry that it needs to send" (§7). One at a time: what follows waits for the answer, or
// for the word that it failed.
func (r *Raft) sendSnapshot(to ID) {
	s := r.snapshot
	data, err := s.Configuration.AppendBinary(nil)
	if err != nil {
		panic(fmt.Sprintf("raft: configuration %d cannot be encoded: %v", s.ConfigurationIndex, err))
	}
	r.lead.progress[to].sendingSnapshot(s.Index)
	r.tracef("send %v a snapshot of entries up to %d", to, s.Index)
	r.send(Message{
		Type: MsgSnapshot, To: to, Index: s.Index, LogTerm: s.Term, Commit: r.committed, Round: r.lead.reads.round,
		Entries: []Entry{{Type: EntryConfiguration, Index: s.ConfigurationIndex, Data: data}},
	})
}

func (in SnapshotFailed) step(r *Raft) error {
	if r.role != Leader {
		return nil
	}
	if p := r.lead.progress[in.To]; p != nil && p.snapshot != 0 {
		r.tracef("send the snapshot to %v again: it did not arrive", in.To)
		p.probe(p.match + 1)
		r.replicate(in.To, false)
	}
	return nil
}

// Wants says why a snapshot that is offered is of no use here, or nil. Ask it before anything of the state is kept: what
// is on the disk counts at the next start, whether Raft took its message or not.
func (r *Raft) Wants(m Message) error {
	why := m.wrong()
	switch err := r.gate(&m); {
	case err != nil:
		why = "it is not for this member"
	case why != "":
	case m.Type != MsgSnapshot:
		why = "it is no snapshot"
	case m.Term < r.hard.Term:
		why = fmt.Sprintf("it is of term %d, and this is term %d", m.Term, r.hard.Term)
	case m.Index <= r.committed:
		why = fmt.Sprintf("%d entries are committed here", r.committed)
	case m.Term == r.hard.Term:
		why = r.contradicts(&m)
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("raft: a snapshot of entries up to %d from %v is of no use: %s", m.Index, m.From, why)
}

// handleSnapshot is the receiver of InstallSnapshot (Figure 13), called when all of the state is on disk.
func (r *Raft) handleSnapshot(m *Message) {
	s := Snapshot{Index: m.Index, Term: m.LogTerm, ConfigurationIndex: m.Entries[0].Index}
	if err := s.Configuration.UnmarshalBinary(m.Entries[0].Data); err != nil {
		panic(fmt.Sprintf("raft: %v@%d: snapshot from %v: %v", r.config.ID, r.hard.Term, m.From, err)) // wrong has read it
	}
	r.acceptLeader(m)
	switch {
	case s.Index <= r.committed:
		// Late: we have more, and its configuration may be older than ours (RedisRaft #44).
		r.promise(Message{Type: MsgAppendReply, To: m.From, Index: r.committed, Round: m.Round})
		return
	case r.log.matches(s.Index, s.Term):
		// 6. "If existing log entry has same index and term as snapshot's last included entry, retain log entries
		// following it and reply": the entries are here, so they are applied one by one.
		r.commitTo(s.Index)
	default:
		// 7. "Discard the entire log", 8. "Reset state machine using snapshot contents (and load snapshot's
		// cluster configuration)".
		r.tracef("restart the log after entry %d of term %d; members are %v", s.Index, s.Term, s.Configuration)
		r.log = log{base: s.Index, baseTerm: s.Term, handed: s.Index, stable: s.Index}
		r.configurations = []configurationAt{{s.ConfigurationIndex, s.Configuration}}
		r.snapshot, r.committed, r.applying = s, s.Index, s.Index
		r.install, r.restart = &s, &s
	}
	r.promise(Message{Type: MsgAppendReply, To: m.From, Index: s.Index, Round: m.Round})
}
