// Package driver makes a raft.Raft do something: it carries out what each Ready asks, in its order, and
// answers who waits. You may rely on this: nothing is promised to a peer or a client before the disk has it.
//
// Driver is the part without goroutines, locks and clocks; the simulator can own it. Node runs one Driver in
// production.
package driver

import (
	"maps"
	"slices"
	"time"

	"raftlab/node/internal/clock"
	"raftlab/raft"
)

// Disk is where Saves go. It takes them in order and without waiting; when one is durable, whoever owns the
// Driver calls Saved with it, in the same order.
type Disk interface {
	// SetCluster keeps the cluster's id. It is durable when the next Save is.
	SetCluster(raft.ClusterID)
	Save(raft.Save)
	// DropPrefix lets go of entries up to an index, which a durable snapshot covers, behind all Saves before it.
	DropPrefix(raft.Index)
}

// Transport carries messages to other members. It may lose, repeat and reorder them, and does not wait.
type Transport interface {
	Send([]raft.Message)
	SetMembers([]raft.Member)
}

// Config says what a Driver drives. Stored is what the disk holds, after Mend.
type Config struct {
	Raft   raft.Config
	Stored raft.Stored

	Address   string // that the member advertises
	TickEvery time.Duration
	Clock     *clock.Clock // that a Node ticks by; nil: the system's
	Machine   StateMachine
	Disk      Disk
	Transport Transport

	// Snapshots may be nil: then none are taken, and a member that needs one stays behind.
	Snapshots       Snapshots
	SnapshotEntries int // applied since the last one, until the next is taken; zero: not by their number
	SnapshotBytes   int // of commands applied since the last one; zero: not by their size
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

	proposed map[raft.Index][]waitingProposal // by index; more than one if we led, lost the entry, and lead again
	waiting  int                              // how many there are
	held     []Proposal                       // until this leader's disk has what it was given; see Propose
	orphaned int                              // ticks since proposals lost their leader; see Tick
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
	news          news
	leaderChanges uint64
	elections     uint64
	installs      uint64

	transfers     []func(raft.ID, error)
	taking        bool // a snapshot is being written
	takers        []func(raft.Index, error)
	sinceSnapshot int        // bytes of commands applied
	takenBytes    int        // of those, what the snapshot under way is to cover
	takeRests     int        // ticks until one that is due is tried again, after one that failed
	received      raft.Index // of the latest snapshot here that Raft may not know of; zero if there is none
	failure       error      // why the member cannot go on
}

type waitingProposal struct {
	term   raft.Term
	answer func(Applied, error)
}

type appliedWaiter struct {
	index  raft.Index
	gone   func() bool // nobody waits any more; may be nil
	answer func(raft.Index, error)
}

// New makes a Driver from what the disk holds.
func New(config Config) (*Driver, error) {
	r, err := raft.New(config.Raft, config.Stored)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		config: config, raft: r, cluster: r.Cluster(),
		proposed: map[raft.Index][]waitingProposal{}, reads: map[uint64][]func(raft.Index, error){},
		contactTicks: -1,
	}
	if s := config.Stored.Snapshot; s.Index > 0 {
		if err := d.install(s); err != nil {
			return nil, err
		}
	}
	d.followMembers()
	d.pump()
	return d, d.failure
}

// Failure is why the member cannot keep its promises any more, or nil. Its process must end.
func (d *Driver) Failure() error { return d.failure }

// Raft is the algorithm's part, for who checks it. Only the Driver may Step it.
func (d *Driver) Raft() *raft.Raft { return d.raft }

// Tick says that one unit of time has passed.
func (d *Driver) Tick() {
	if d.contactTicks >= 0 {
		d.contactTicks++
	}
	d.step(raft.Tick{})
	d.promoteLearners()
	d.abandonOrphans()
	d.forgetTheGone()
	d.takeRests = max(0, d.takeRests-1)
	d.proposeHeld()
	d.pump()
}

// Deliver takes messages from other members.
func (d *Driver) Deliver(messages []raft.Message) {
	d.deliver(messages)
	d.pump()
}

func (d *Driver) deliver(messages []raft.Message) {
	for i := range messages {
		m := &messages[i]
		d.step(m) // by pointer: a copy in an interface would be an allocation
		if m.Type == raft.MsgAppend && m.From == d.raft.Leader() {
			d.contactTicks = 0
			d.news.hear(m.Commit)
		}
	}
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
	d.read(answers)
	d.pump()
}

func (d *Driver) read(answers []func(raft.Index, error)) {
	d.readNext++
	if err := d.raft.Step(raft.Read{Context: d.readNext}); err != nil {
		for _, answer := range answers {
			answer(0, err)
		}
	} else {
		d.reads[d.readNext] = answers
	}
}

// WaitApplied answers when the state machine has applied the index. An answer that is not wanted any more, as gone
// says, is forgotten at a tick; gone may be nil.
func (d *Driver) WaitApplied(index raft.Index, gone func() bool, answer func(raft.Index, error)) {
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
	d.applied = slices.Insert(d.applied, at, appliedWaiter{index, gone, answer})
}

// Saved says that Saves are durable, in the order in which the Disk got them.
func (d *Driver) Saved(saves []raft.Save) {
	d.saved(saves)
	d.Propose(nil)
}

func (d *Driver) saved(saves []raft.Save) {
	for i := range saves {
		d.sendOut(saves[i].Then)
		d.step(saves[i].Done)
	}
}

// Stop answers everyone who waits: what was proposed may be committed yet.
func (d *Driver) Stop() {
	for _, p := range d.held {
		p.Answer(Applied{}, ErrStopped)
	}
	d.held = nil
	for _, index := range slices.Sorted(maps.Keys(d.proposed)) {
		for _, w := range d.proposed[index] {
			w.answer(Applied{Index: index, Term: w.term}, ErrUnknown)
		}
	}
	for _, context := range slices.Sorted(maps.Keys(d.reads)) {
		for _, answer := range d.reads[context] {
			answer(0, ErrStopped)
		}
	}
	for _, w := range d.applied {
		w.answer(0, ErrStopped)
	}
	for _, answer := range d.takers {
		answer(0, ErrStopped)
	}
	for _, answer := range d.transfers {
		answer(0, ErrStopped)
	}
	clear(d.proposed)
	d.waiting = 0
	clear(d.reads)
	d.applied, d.takers, d.transfers = nil, nil, nil
}

// step is for inputs whose refusal needs no answer: ErrDropped is the gate's and shows in the trace.
func (d *Driver) step(in raft.Input) { _ = d.raft.Step(in) }

// wait adds a waiter for an entry of this term. One of an earlier term at the same index stays: that we lost its entry
// does not mean that nobody has it, and it may be committed yet.
func (d *Driver) wait(index raft.Index, answer func(Applied, error)) {
	d.proposed[index] = append(d.proposed[index], waitingProposal{d.raft.Term(), answer})
	d.waiting++
}

// resolve takes the waiters of an index out.
func (d *Driver) resolve(index raft.Index) []waitingProposal {
	waiters := d.proposed[index]
	if waiters != nil {
		delete(d.proposed, index)
		d.waiting -= len(waiters)
	}
	return waiters
}

// forgetTheGone drops those who stopped waiting for an index that may never come.
func (d *Driver) forgetTheGone() {
	d.applied = slices.DeleteFunc(d.applied, func(w appliedWaiter) bool { return w.gone != nil && w.gone() })
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
		d.sendOut(ready.Messages)
		if s := ready.Install; s != nil {
			if err := d.install(*s); err != nil {
				d.failure = err
				return
			}
			d.installs++
			d.advance(s.Index)
		}
		d.apply(ready.Committed)
		d.claim()
		d.answerReads(ready.Reads)
	}
	d.takeIfDue()
	d.answerTransfers()
	d.notice()
	d.news.judge(d.raft, d.config.Machine.Applied())
}

// apply gives committed entries to the state machine, and their proposers the result. Another entry where
// a proposal was expected is a certain answer: the proposal was overwritten and can never be committed.
func (d *Driver) apply(entries []raft.Entry) {
	if len(entries) == 0 {
		return
	}
	for _, e := range entries {
		result := d.config.Machine.Apply(e)
		d.sinceSnapshot += len(e.Data)
		for _, w := range d.resolve(e.Index) {
			if w.term == e.Term {
				w.answer(Applied{Index: e.Index, Term: e.Term, Result: result}, nil)
			} else {
				w.answer(Applied{}, ErrNotLeader)
			}
		}
	}
	last := entries[len(entries)-1]
	d.news.appliedTerm = last.Term
	d.advance(last.Index)
}

// advance tells Raft and those who wait what is applied.
func (d *Driver) advance(applied raft.Index) {
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
				d.WaitApplied(result.Index, nil, answer)
			}
		}
	}
}

// abandonOrphans answers proposals of a leadership that is over. Their fate often shows within an election
// time-out: the new leader commits them, or others in their place. After two there is only Unknown.
func (d *Driver) abandonOrphans() {
	orphan := func(w waitingProposal) bool { return w.term != d.raft.Term() || d.raft.Role() != raft.Leader }
	some := false
	for _, waiters := range d.proposed {
		some = some || slices.ContainsFunc(waiters, orphan)
	}
	if !some {
		d.orphaned = 0
		return
	}
	d.orphaned++
	if d.orphaned < 2*max(d.config.Raft.ElectionTicks, 10) {
		return
	}
	for _, index := range slices.Sorted(maps.Keys(d.proposed)) { // in one order, so that a simulation repeats
		for _, w := range d.resolve(index) {
			if orphan(w) {
				w.answer(Applied{Index: index, Term: w.term}, ErrUnknown)
				continue
			}
			d.proposed[index] = append(d.proposed[index], w)
			d.waiting++
		}
	}
}
