// Package driver makes a raft.Raft do something: it carries out what each Ready asks, in its order, and
// answers who waits. You may rely on this: nothing is promised to a peer or a client before the disk has it.
//
// Driver is the part without goroutines, locks and clocks; the simulator can own it. Node runs one Driver in
// production.
package driver

import (
	"slices"
	"time"

	"raftlab/raft"
)

// Disk is where Saves go. It takes them in order and without waiting; when one is durable, whoever owns the
// Driver calls Saved with it, in the same order.
type Disk interface {
	// SetCluster keeps the cluster's id. It is durable when the next Save is.
	SetCluster(raft.ClusterID)
	Save(raft.Save)
}

// Transport carries messages to other members. It may lose, repeat and reorder them, and does not wait.
type Transport interface {
	Send([]raft.Message)
	SetMembers([]raft.Member)
}

// Config says what a Driver drives. HardState and Entries are what the disk holds.
type Config struct {
	Raft      raft.Config
	HardState raft.HardState
	Entries   []raft.Entry

	Address   string // that the member advertises
	TickEvery time.Duration
	Machine   StateMachine
	Disk      Disk
	Transport Transport
}

// Proposal is a command and who waits for its fate. Answer is called once.
type Proposal struct {
	Command []byte
	Answer  func(Applied, error)
}

// Driver is owned by one goroutine (Node.run in production, the event loop in simulation), so it has no
// locks. Every input ends in pump, the only place that performs I/O for Raft.
type Driver struct {
	config  Config
	raft    *raft.Raft
	cluster raft.ClusterID

	proposed map[raft.Index]waitingProposal
	orphaned int // ticks since proposals lost their leader; see Tick
	reads    map[uint64][]func(raft.Index, error)
	readNext uint64
	applied  []appliedWaiter // sorted by index

	configuration raft.Index // the one that the transport and the status follow
	members       raft.Configuration
	seen          struct {
		term   raft.Term
		leader raft.ID
		role   raft.Role
	}
	contactTicks  int // since the leader was heard; -1: never
	leaderChanges uint64
	elections     uint64
}

type waitingProposal struct {
	term   raft.Term
	answer func(Applied, error)
}

type appliedWaiter struct {
	index  raft.Index
	answer func(raft.Index, error)
}

// New makes a Driver from what the disk holds.
func New(config Config) (*Driver, error) {
	r, err := raft.New(config.Raft, config.HardState, config.Entries)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		config: config, raft: r, cluster: r.Cluster(),
		proposed: map[raft.Index]waitingProposal{}, reads: map[uint64][]func(raft.Index, error){},
		contactTicks: -1,
	}
	d.pump()
	return d, nil
}

// Tick says that one unit of time has passed.
func (d *Driver) Tick() {
	if d.contactTicks >= 0 {
		d.contactTicks++
	}
	d.step(raft.Tick{})
	d.promoteLearners()
	d.abandonOrphans()
	d.pump()
}

// Deliver takes messages from other members.
func (d *Driver) Deliver(messages []raft.Message) {
	for i := range messages {
		m := &messages[i]
		d.step(*m)
		if m.Type == raft.MsgAppend && m.From == d.raft.Leader() {
			d.contactTicks = 0
		}
	}
	d.pump()
}

// Propose asks for commands to be committed, all in one batch.
func (d *Driver) Propose(proposals []Proposal) {
	commands := make([][]byte, len(proposals))
	for i, p := range proposals {
		commands[i] = p.Command
	}
	if err := d.raft.Step(raft.Propose{Commands: commands}); err != nil {
		for _, p := range proposals {
			p.Answer(Applied{}, err)
		}
	} else {
		first := d.raft.LastIndex() - raft.Index(len(commands)) + 1
		for i, p := range proposals {
			d.wait(first+raft.Index(i), p.Answer)
		}
	}
	d.pump()
}

// Change asks for one membership change.
func (d *Driver) Change(c raft.Change, answer func(Applied, error)) {
	if err := d.raft.Step(raft.ChangeMembership{Change: c}); err != nil {
		answer(Applied{}, err)
	} else {
		d.wait(d.raft.LastIndex(), answer)
	}
	d.pump()
}

// Read answers with an index that is applied here, so that a local read is linearizable. All the answers
// share one request.
func (d *Driver) Read(answers []func(raft.Index, error)) {
	d.readNext++
	if err := d.raft.Step(raft.Read{Context: d.readNext}); err != nil {
		for _, answer := range answers {
			answer(0, err)
		}
	} else {
		d.reads[d.readNext] = answers
	}
	d.pump()
}

// WaitApplied answers when the state machine has applied the index.
func (d *Driver) WaitApplied(index raft.Index, answer func(raft.Index, error)) {
	if index <= d.config.Machine.Applied() {
		answer(index, nil)
		return
	}
	at, _ := slices.BinarySearchFunc(d.applied, index, func(w appliedWaiter, i raft.Index) int {
		if w.index <= i {
			return -1
		}
		return 1
	})
	d.applied = slices.Insert(d.applied, at, appliedWaiter{index, answer})
}

// Saved says that Saves are durable, in the order in which the Disk got them.
func (d *Driver) Saved(saves []raft.Save) {
	for i := range saves {
		d.config.Transport.Send(saves[i].Then)
		d.step(saves[i].Done)
	}
	d.pump()
}

// Stop answers everyone who waits: what was proposed may be committed yet.
func (d *Driver) Stop() {
	for index, w := range d.proposed {
		w.answer(Applied{Index: index, Term: w.term}, ErrUnknown)
	}
	for _, answers := range d.reads {
		for _, answer := range answers {
			answer(0, ErrStopped)
		}
	}
	for _, w := range d.applied {
		w.answer(0, ErrStopped)
	}
	clear(d.proposed)
	clear(d.reads)
	d.applied = nil
}

// step is for inputs whose refusal needs no answer: ErrDropped is the gate's and shows in the trace.
func (d *Driver) step(in raft.Input) { _ = d.raft.Step(in) }

func (d *Driver) wait(index raft.Index, answer func(Applied, error)) {
	if w, ok := d.proposed[index]; ok {
		// We led before, lost that entry, and lead again: the index now holds another entry.
		w.answer(Applied{}, ErrNotLeader)
	}
	d.proposed[index] = waitingProposal{d.raft.Term(), answer}
}

// pump carries out every Ready.
func (d *Driver) pump() {
	for d.raft.HasReady() {
		ready := d.raft.Ready()
		if id := d.raft.Cluster(); id != d.cluster {
			d.cluster = id
			d.config.Disk.SetCluster(id)
		}
		d.followMembers()
		if ready.Save != nil {
			d.config.Disk.Save(*ready.Save)
		}
		if len(ready.Messages) > 0 {
			d.config.Transport.Send(ready.Messages)
		}
		d.apply(ready.Committed)
		d.answerReads(ready.Reads)
	}
	d.notice()
}

// apply gives committed entries to the state machine, and their proposers the result. Another entry where
// a proposal was expected is a certain answer: the proposal was overwritten and can never be committed.
func (d *Driver) apply(entries []raft.Entry) {
	if len(entries) == 0 {
		return
	}
	for _, e := range entries {
		result := d.config.Machine.Apply(e)
		w, ok := d.proposed[e.Index]
		if !ok {
			continue
		}
		delete(d.proposed, e.Index)
		if w.term == e.Term {
			w.answer(Applied{Index: e.Index, Term: e.Term, Result: result}, nil)
		} else {
			w.answer(Applied{}, ErrNotLeader)
		}
	}
	applied := entries[len(entries)-1].Index
	d.step(raft.Applied{Index: applied})
	n := 0
	for n < len(d.applied) && d.applied[n].index <= applied {
		d.applied[n].answer(d.applied[n].index, nil)
		n++
	}
	d.applied = d.applied[n:]
}

func (d *Driver) answerReads(results []raft.ReadResult) {
	for _, result := range results {
		answers := d.reads[result.Context]
		delete(d.reads, result.Context)
		for _, answer := range answers {
			if result.Err != nil {
				answer(0, result.Err)
			} else {
				d.WaitApplied(result.Index, answer)
			}
		}
	}
}

// abandonOrphans answers proposals of a leadership that is over. Their fate often shows within an election
// time-out: the new leader commits them, or others in their place. After two there is only Unknown.
func (d *Driver) abandonOrphans() {
	if len(d.proposed) == 0 {
		d.orphaned = 0
		return
	}
	oldest := false
	for _, w := range d.proposed {
		oldest = oldest || w.term != d.raft.Term() || d.raft.Role() != raft.Leader
	}
	if !oldest {
		d.orphaned = 0
		return
	}
	d.orphaned++
	if d.orphaned < 2*max(d.config.Raft.ElectionTicks, 10) {
		return
	}
	for index, w := range d.proposed {
		if w.term != d.raft.Term() || d.raft.Role() != raft.Leader {
			w.answer(Applied{Index: index, Term: w.term}, ErrUnknown)
			delete(d.proposed, index)
		}
	}
}

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
		if ok && p.State == "replicate" && p.Match >= d.raft.Committed() {
			d.step(raft.ChangeMembership{Change: raft.Change{Type: raft.Promote, Member: m}})
			return
		}
	}
}

func (d *Driver) followMembers() {
	if d.raft.ConfigurationIndex() == d.configuration {
		return
	}
	d.configuration, d.members = d.raft.ConfigurationIndex(), d.raft.Configuration()
	others := slices.DeleteFunc(slices.Clone(d.members.Members), func(m raft.Member) bool { return m.ID == d.raft.ID() })
	d.config.Transport.SetMembers(others)
}

// notice counts what an operator wants to know.
func (d *Driver) notice() {
	if leader := d.raft.Leader(); leader != d.seen.leader {
		if leader != 0 {
			d.leaderChanges++
		}
		d.seen.leader = leader
	}
	role, term := d.raft.Role(), d.raft.Term()
	if role == raft.Candidate && (d.seen.role != raft.Candidate || d.seen.term != term) {
		d.elections++
	}
	d.seen.role, d.seen.term = role, term
}

// Status describes the member as it is now.
func (d *Driver) Status() Status {
	r := d.raft
	self, _ := d.members.Find(r.ID())
	s := Status{
		ID: r.ID(), Cluster: r.Cluster(), Address: d.config.Address, Role: r.Role(), Learner: self.Learner,
		Term: r.Term(), Leader: r.Leader(),
		First: r.FirstIndex(), Last: r.LastIndex(), Commit: r.Committed(), Applied: d.config.Machine.Applied(),
		Snapshot: r.FirstIndex() - 1, Stable: r.StableIndex(),
		Configuration: d.members, ConfigurationIndex: d.configuration,
		StateHash: d.config.Machine.Hash(), Pending: len(d.proposed),
		LeaderChanges: d.leaderChanges, Elections: d.elections,
	}
	if leader, ok := d.members.Find(s.Leader); ok {
		s.LeaderAddress = leader.Address
	}
	switch {
	case s.Role == raft.Leader:
	case d.contactTicks < 0:
		s.LeaderContact = -1
	default:
		s.LeaderContact = time.Duration(d.contactTicks) * d.config.TickEvery
	}
	return s
}

// Peers describes the other members as the leader sees them; nothing on others.
func (d *Driver) Peers() []PeerStatus {
	var peers []PeerStatus
	for _, m := range d.members.Members {
		if p, ok := d.raft.Progress(m.ID); ok {
			peers = append(peers, PeerStatus{
				ID: m.ID, Address: m.Address, Learner: m.Learner,
				Match: p.Match, Next: p.Next, State: p.State, Active: p.Active,
			})
		}
	}
	return peers
}
