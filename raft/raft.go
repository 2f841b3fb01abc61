package raft

import (
	"fmt"
	"slices"
)

// Raft is one member's part in the protocol: a state machine without clocks, threads, disks or sockets.
// Everything that happens comes in by Step, everything it wants done goes out by Ready, and the same
// inputs give the same outputs. It belongs to one goroutine.
type Raft struct {
	config Config

	// Durable (Figure 2, "persistent state"): in a Save before any message speaks of it.
	hard     HardState
	log      log
	snapshot Snapshot // the latest; log.base <= snapshot.Index unless there is none

	// Volatile on every member.
	role           Role
	leader         ID // of this term; zero while unknown
	committed      Index
	applied        Index
	applying       Index             // entries up to here were given out in Ready.Committed
	configurations []configurationAt // those in the log and the one before; the last is in force
	elapsed        int               // ticks since the leader was heard or a vote was granted; on a leader, since the last check-quorum
	timeout        int               // election time-out in ticks, drawn anew for each wait
	random         uint64
	needed         bool            // a learner without which nobody may win, until a leader is heard
	forwarded      []forwardedRead // reads that were sent to the leader
	saved          HardState       // on disk
	handed         HardState       // given out in a Save

	candidate *candidate // non-nil exactly while role is PreCandidate or Candidate
	lead      *lead      // non-nil exactly while role is Leader

	// What the next Ready will carry.
	messages []Message
	then     []Message // promises: to be sent when all that is not yet saved is saved
	reads    []ReadResult
	install  *Snapshot
	restart  *Snapshot
}

// Stored is what a member's disk holds. All zero, it is that of a new member. Base is the entry before Entries[0]; with
// a snapshot it is not after Snapshot.Index, and the log reaches at least to the snapshot.
type Stored struct {
	HardState HardState
	Snapshot  Snapshot
	Base      Index
	BaseTerm  Term
	Entries   []Entry
}

// New makes a member from what its disk holds.
func New(config Config, stored Stored) (*Raft, error) {
	hard, entries, base := stored.HardState, stored.Entries, stored.Base
	if err := config.Validate(); err != nil {
		return nil, err
	}
	r := &Raft{config: config.withDefaults(), hard: hard, saved: hard, handed: hard, random: config.Seed}
	r.config.Trace = nil // what the log tells again is not news
	s := stored.Snapshot
	if s.Index < base || s.Index > base+Index(len(entries)) {
		return nil, fmt.Errorf("raft: the log holds entries %d to %d, the snapshot covers those up to %d", base+1, base+Index(len(entries)), s.Index)
	}
	r.snapshot, r.committed, r.applied, r.applying = s, s.Index, s.Index, s.Index
	r.configurations = []configurationAt{{s.ConfigurationIndex, s.Configuration}}
	r.log = log{base: base, baseTerm: stored.BaseTerm, handed: base, stable: base}
	for i, e := range entries {
		if e.Index != base+Index(i)+1 {
			return nil, fmt.Errorf("raft: entry %d of the log has index %d", base+Index(i)+1, e.Index)
		}
		if e.Term > hard.Term || i > 0 && e.Term < entries[i-1].Term {
			return nil, fmt.Errorf("raft: entry %d has term %d, after term %d and in term %d", e.Index, e.Term, r.log.lastTerm(), hard.Term)
		}
		if e.Index <= s.Index {
			continue // its configuration, if it has one, is in the snapshot or older
		}
		if err := r.adopt(e); err != nil {
			return nil, err
		}
	}
	r.log.append(entries...)
	if !r.log.matches(s.Index, s.Term) {
		return nil, fmt.Errorf("raft: the snapshot covers entry %d of term %d, the log has another", s.Index, s.Term)
	}
	r.log.handed, r.log.stable = r.log.last(), r.log.last()
	r.resetTimeout()
	if tail := Index(r.config.TailEntries); s.Index > base+tail {
		r.compact(s.Index - tail) // the disk lets go of whole files only
	}
	r.config.Trace = config.Trace
	if r.log.last() > 0 {
		r.tracef("start with entries up to %d; members are %v", r.log.last(), r.Configuration())
	}
	return r, nil
}

// Step is the one way in. An error means that the input had no effect.
func (r *Raft) Step(in Input) error {
	before := r.mark()
	err := in.step(r)
	r.checkState()
	r.checkDelta(before)
	return err
}

// Ready takes what the member owes since the last Ready.
func (r *Raft) Ready() Ready {
	ready := Ready{Messages: r.messages, Reads: r.reads, Install: r.install}
	r.messages, r.reads, r.install = nil, nil, nil
	if r.restart != nil || r.hard != r.handed || r.log.handed < r.log.last() || len(r.then) > 0 && !r.isSaved() {
		ready.Save = &Save{
			HardState: r.hard,
			Restart:   r.restart,
			Entries:   r.log.slice(r.log.handed+1, r.log.last(), 1<<62),
			Then:      r.then,
			Done:      Persisted{HardState: r.hard, Term: r.log.lastTerm(), Index: r.log.last()},
		}
		r.handed, r.log.handed, r.restart = r.hard, r.log.last(), nil
	} else {
		ready.Messages = append(ready.Messages, r.then...)
	}
	r.then = nil
	if r.applying < r.committed {
		ready.Committed = r.log.slice(r.applying+1, r.committed, 1<<62)
		r.applying = r.committed
	}
	return ready
}

// HasReady reports whether Ready would return anything.
func (r *Raft) HasReady() bool {
	return len(r.messages) > 0 || len(r.then) > 0 || len(r.reads) > 0 || r.hard != r.handed || r.restart != nil ||
		r.log.handed < r.log.last() || r.applying < r.committed
}

func (r *Raft) isSaved() bool { return r.saved == r.hard && r.log.stable == r.log.last() }

func (Tick) step(r *Raft) error {
	if r.role == Leader {
		r.tickLeader()
	} else {
		r.tickElection()
	}
	return nil
}

func (in Persisted) step(r *Raft) error {
	r.saved = in.HardState
	if in.Index > r.log.stable && r.log.matches(in.Index, in.Term) {
		r.log.stable = in.Index
	}
	switch r.role {
	case Candidate:
		r.countOwnVote()
	case Leader:
		r.lead.stalled = 0
		r.advanceCommit()
	}
	return nil
}

func (in Applied) step(r *Raft) error {
	if in.Index > r.applying {
		panic(fmt.Sprintf("raft: %v applied entry %d, but was given entries up to %d", r.config.ID, in.Index, r.applying))
	}
	r.applied = max(r.applied, in.Index)
	return nil
}

// termMax is far above any term that elections can reach. Above it terms could wrap round. Nor does an honest term lie
// termLeapMax above ours: that is some decades of elections. A member that leapt to termMax could never campaign again,
// so without the second bound one forged message would end all elections for ever.
const (
	termMax     Term = 1 << 62
	termLeapMax Term = 1 << 32
)

// gate is passed by every message before any handler sees it: one handler that forgot one of these checks
// is a whole family of bugs.
func (r *Raft) gate(m *Message) error {
	switch {
	case !m.Type.Valid(), m.From == 0, m.From == r.config.ID, m.Term > termMax, m.Term > r.hard.Term+termLeapMax:
		return ErrDropped
	case m.To != r.config.ID:
		// Meant for the member that had this address, or this disk, before: another incarnation.
		return ErrDropped
	case r.config.Cluster == 0 && (m.Type == MsgAppend || m.Type == MsgSnapshot) && m.Cluster != 0:
		// A member that is joining learns which cluster it is in from its first leader.
	case m.Cluster != r.config.Cluster:
		return ErrDropped
	}
	switch m.Type {
	case MsgPreVote, MsgVote, MsgAppend, MsgSnapshot, MsgTimeoutNow:
		// Taken from senders outside our configuration too: the sender may have a newer one (thesis §4.1).
		return nil
	}
	if _, member := r.Configuration().Find(m.From); !member {
		return ErrDropped
	}
	return nil
}

func (m Message) step(r *Raft) error {
	if err := r.gate(&m); err != nil {
		r.detailf("drop %s from %v", m.Type, m.From)
		return err
	}
	if why := m.wrong(); why != "" {
		return r.refuse(&m, why)
	}
	if m.Term > r.hard.Term && !r.raiseTerm(&m) {
		return ErrDropped
	}
	if m.Term < r.hard.Term {
		r.refuseOldTerm(&m)
		return nil
	}
	if why := r.contradicts(&m); why != "" {
		return r.refuse(&m, why)
	}
	switch m.Type {
	case MsgPreVote:
		r.handlePreVote(&m)
	case MsgPreVoteReply:
		r.handlePreVoteReply(&m)
	case MsgVote:
		r.handleVote(&m)
	case MsgVoteReply:
		r.handleVoteReply(&m)
	case MsgAppend:
		r.handleAppend(&m)
	case MsgSnapshot:
		r.handleSnapshot(&m)
	case MsgAppendReply:
		r.handleAppendReply(&m)
	case MsgReadIndex:
		r.handleReadIndex(&m)
	case MsgReadIndexReply:
		r.handleReadIndexReply(&m)
	case MsgTimeoutNow:
		r.handleTimeoutNow(&m)
	default:
		return ErrDropped
	}
	return nil
}

// raiseTerm: "if RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
// follower" (Figure 2), but for pre-votes, which speak of a term that nobody has entered yet, and for
// votes asked of a member that hears its leader (§6, thesis §4.2.3). It reports whether to go on.
func (r *Raft) raiseTerm(m *Message) bool {
	switch {
	case m.Type == MsgPreVote, m.Type == MsgPreVoteReply && !m.Reject:
		return true
	case m.Type == MsgVote && !m.Transfer && r.hearsLeader():
		r.tracef("ignore %v, who asks for a vote in term %d: %v leads", m.From, m.Term, r.leader)
		return false
	case m.Type == MsgAppend, m.Type == MsgSnapshot:
		r.becomeFollower(m.Term, m.From)
	default:
		r.becomeFollower(m.Term, 0)
	}
	return true
}

// refuseOldTerm answers a request from an older term with ours, so that its sender steps down; an old
// reply says nothing.
func (r *Raft) refuseOldTerm(m *Message) {
	switch m.Type {
	case MsgAppend, MsgSnapshot:
		r.promise(Message{Type: MsgAppendReply, To: m.From, Index: m.Index, Reject: true})
	case MsgPreVote:
		r.promise(Message{Type: MsgPreVoteReply, To: m.From, Reject: true})
	case MsgVote:
		r.promise(Message{Type: MsgVoteReply, To: m.From, Reject: true})
	}
}

func (r *Raft) sign(m Message) Message {
	m.From, m.Cluster = r.config.ID, r.config.Cluster
	if m.Term == 0 {
		m.Term = r.hard.Term
	}
	return m
}

// send lets a message go at once. It must not speak of anything that a crash could undo.
func (r *Raft) send(m Message) { r.messages = append(r.messages, r.sign(m)) }

// promise sends a message when all that the member has done so far is on disk.
func (r *Raft) promise(m Message) { r.then = append(r.then, r.sign(m)) }

// becomeFollower enters a term, or steps down within one. Within a term the vote stays: forgetting it
// would allow a second one (eliben/raft 2026, CCF).
func (r *Raft) becomeFollower(term Term, leader ID) {
	if term > r.hard.Term {
		r.hard = HardState{Term: term}
	}
	was := r.role
	r.giveUpReads()
	r.role, r.candidate, r.lead, r.leader = Follower, nil, nil, leader
	r.elapsed = 0
	r.resetTimeout()
	switch {
	case leader != 0:
		r.needed = false
		r.tracef("follow %v", leader)
	case was != Follower:
		r.tracef("step down from %v", was)
	}
}

// resetTimeout draws the next election time-out: "chosen randomly from a fixed interval" (§5.2).
func (r *Raft) resetTimeout() {
	r.timeout = r.config.ElectionTicks + int(r.nextRandom()%uint64(r.config.ElectionTicks))
}

// nextRandom is SplitMix64 (Steele, Lea and Flood 2014): one word of state, so that Clone and Hash are plain.
func (r *Raft) nextRandom() uint64 {
	r.random += 0x9e3779b97f4a7c15
	z := r.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// ID, Cluster, Term, Vote, Role, Leader, Committed, Applied, FirstIndex, LastIndex, StableIndex and
// Configuration say what the member knows now.
func (r *Raft) ID() ID                      { return r.config.ID }
func (r *Raft) Cluster() ClusterID          { return r.config.Cluster }
func (r *Raft) Term() Term                  { return r.hard.Term }
func (r *Raft) Vote() ID                    { return r.hard.Vote }
func (r *Raft) Role() Role                  { return r.role }
func (r *Raft) Leader() ID                  { return r.leader }
func (r *Raft) Committed() Index            { return r.committed }
func (r *Raft) Applied() Index              { return r.applied }
func (r *Raft) FirstIndex() Index           { return r.log.base + 1 }
func (r *Raft) LastIndex() Index            { return r.log.last() }
func (r *Raft) StableIndex() Index          { return r.log.stable }
func (r *Raft) TermAt(i Index) (Term, bool) { return r.log.term(i) }

// Entries returns a copy of the log.
func (r *Raft) Entries() []Entry { return slices.Clone(r.log.entries) }

// EntryAt returns the entry at an index, and whether the log holds it.
func (r *Raft) EntryAt(i Index) (Entry, bool) {
	if i < r.FirstIndex() || i > r.log.last() {
		return Entry{}, false
	}
	return r.log.entries[i-r.log.base-1], true
}

// Progress tells, on the leader, how far another member is.
type Progress struct {
	Match, Next Index
	State       string
	Active      bool
}

// Progress returns what a leader knows of a member; false for itself, strangers, and on other roles.
func (r *Raft) Progress(id ID) (Progress, bool) {
	if r.role != Leader || r.lead.progress[id] == nil {
		return Progress{}, false
	}
	p := r.lead.progress[id]
	return Progress{Match: p.match, Next: p.next, State: p.state(), Active: p.active}, true
}
