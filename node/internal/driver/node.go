package driver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"raftlab/node/internal/clock"
	"raftlab/node/internal/snapshot"
	"raftlab/raft"
)

// inboxMessagesMax bounds the messages that wait for the loop. Beyond it they are dropped, as a network may.
const inboxMessagesMax = 8192

// Node runs a Driver: one goroutine owns it, a second one owns the disk. Its methods are safe for concurrent
// use. What arrives while the loop or the disk is busy is taken together the next time: proposals share an
// append, saves share an fsync, reads share a round.
type Node struct {
	driver  *Driver
	log     Log
	timings Timings
	logger  *slog.Logger
	tick    time.Duration
	clock   *clock.Clock
	self    raft.ID

	status atomic.Pointer[Status]
	peers  []PeerStatus // of the last tick; owned by the loop

	inbox struct {
		sync.Mutex
		Inbox
		stopped bool
	}
	wake chan struct{} // holds one

	disk struct {
		sync.Mutex
		Queue
		stopped bool
	}
	diskWake chan struct{}
	diskErr  atomic.Pointer[error] // why it cannot be written now

	toldRemoved atomic.Bool // see ToldRemoved

	events events
	keeper *keeper // nil: no snapshots
	// machine is the Driver's; only its Check is for others than the loop.
	machine StateMachine

	stop   chan struct{}
	failed chan error // holds one: why the node cannot go on
	done   sync.WaitGroup
	once   sync.Once
}

// Storage is what a Node writes to. Without Snapshots the log grows for ever.
type Storage struct {
	Log       Log
	Snapshots *snapshot.Store
	Send      SendSnapshot
	Timings   Timings
}

// Start recovers the member from its Config and runs it until Stop. config.Disk and config.Snapshots are the node's own.
func Start(config Config, storage Storage, logger *slog.Logger) (*Node, error) {
	n := &Node{
		log: storage.Log, timings: storage.Timings, logger: logger, tick: config.TickEvery, clock: config.Clock, self: config.Raft.ID, machine: config.Machine,
		wake: make(chan struct{}, 1), diskWake: make(chan struct{}, 1),
		stop: make(chan struct{}), failed: make(chan error, 1),
	}
	n.events.clock = config.Clock
	config.Disk = (*nodeDisk)(n)
	if storage.Snapshots != nil {
		n.keeper = newKeeper(n, storage.Snapshots, storage.Send)
		config.Snapshots = n.keeper
	}
	trace := config.Raft.Trace
	config.Raft.Trace = func(sentence string) {
		n.events.publish(sentence)
		if trace != nil {
			trace(sentence)
		}
	}
	config.Raft.Violation = (&violations{logger: logger}).tell
	d, err := New(config)
	if err != nil {
		return nil, err
	}
	n.driver = d
	n.publish()
	n.done.Add(2)
	go n.run(n.clock.NewTicker(n.tick)) // made here, so that a clock that is bent from now on bends it too
	go n.write()
	return n, nil
}

// Failed receives an error if the node can no longer keep its promises, for example after a failed fsync:
// the process must end.
func (n *Node) Failed() <-chan error { return n.failed }

// Stop ends the node. Everyone who waits is answered; saves that were handed to the disk are written.
func (n *Node) Stop() {
	n.once.Do(func() {
		close(n.stop)
		if n.keeper != nil {
			n.keeper.cancel()
		}
	})
	n.done.Wait()
	n.events.close()
}

// Propose asks for a command to be committed and returns when it is applied here. Any error but ErrUnknown
// is certain: the command never takes effect.
func (n *Node) Propose(ctx context.Context, command []byte) (Applied, error) {
	answer := newAnswer[Applied]()
	n.inbox.Lock()
	if n.inbox.stopped {
		n.inbox.Unlock()
		return Applied{}, ErrStopped
	}
	n.inbox.Proposals = append(n.inbox.Proposals, Proposal{command, answer.give})
	n.inbox.Unlock()
	n.nudge()
	return answer.take(ctx, ErrUnknown)
}

// ChangeMembership asks for one change and returns when it is committed.
func (n *Node) ChangeMembership(ctx context.Context, c raft.Change) (Applied, error) {
	answer := newAnswer[Applied]()
	if err := n.post(func(d *Driver) { d.Change(c, answer.give) }, func() { answer.give(Applied{}, ErrStopped) }); err != nil {
		return Applied{}, err
	}
	return answer.take(ctx, ErrUnknown)
}

// ReadIndex returns when a read of the local state machine is linearizable.
func (n *Node) ReadIndex(ctx context.Context) (raft.Index, error) {
	answer := newAnswer[raft.Index]()
	n.inbox.Lock()
	if n.inbox.stopped {
		n.inbox.Unlock()
		return 0, ErrStopped
	}
	n.inbox.Reads = append(n.inbox.Reads, answer.give)
	n.inbox.Unlock()
	n.nudge()
	return answer.take(ctx, nil)
}

// WaitApplied returns when the local state machine has applied the index.
func (n *Node) WaitApplied(ctx context.Context, index raft.Index) error {
	answer := newAnswer[raft.Index]()
	if err := n.post(func(d *Driver) { d.WaitApplied(index, func() bool { return ctx.Err() != nil }, answer.give) }, func() { answer.give(0, ErrStopped) }); err != nil {
		return err
	}
	_, err := answer.take(ctx, nil)
	return err
}

// Step takes a message from another member. It does not wait: what does not fit is lost.
func (n *Node) Step(m raft.Message) {
	n.inbox.Lock()
	if !n.inbox.stopped && len(n.inbox.Messages) < inboxMessagesMax {
		n.inbox.Messages = append(n.inbox.Messages, m)
	}
	n.inbox.Unlock()
	n.nudge()
}

// ToldRemoved says that another member refuses this one because it was removed. It is taken for true while no leader is
// known, and changes nothing but what is said: Raft itself does not rely on anybody's word.
func (n *Node) ToldRemoved(by raft.ID) {
	if n.toldRemoved.Swap(true) {
		return
	}
	n.events.publish(fmt.Sprintf("%v says that this member was removed", by))
	n.logger.Warn("this member was removed from its cluster, and its id does not come back: stop it, or empty its data directory and start it with --join", "says", by.String())
	n.nudge()
}

// Status is what the member knew a moment ago.
func (n *Node) Status() Status { return *n.status.Load() }

// post runs a function with the Driver in the loop, or refused if the node stops first.
func (n *Node) post(do func(*Driver), refused func()) error {
	n.inbox.Lock()
	defer n.inbox.Unlock()
	if n.inbox.stopped {
		return ErrStopped
	}
	n.inbox.Other = append(n.inbox.Other, func(d *Driver) {
		if d == nil {
			refused()
		} else {
			do(d)
		}
	})
	n.nudge()
	return nil
}

func (n *Node) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run owns the Driver.
func (n *Node) run(ticker *clock.Ticker) {
	defer n.done.Done()
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			n.shutDown()
			return
		case <-ticker.C:
			for range ticker.Due() {
				n.driver.Tick()
			}
			n.peers = n.driver.Peers()
		case <-n.wake:
		}
		n.takeInbox()
		n.publish()
		if err := n.driver.Failure(); err != nil {
			n.fail(err)
			n.shutDown()
			return
		}
	}
}

// takeInbox gives the Driver everything that arrived.
func (n *Node) takeInbox() {
	n.inbox.Lock()
	in := n.inbox.Inbox
	n.inbox.Inbox = Inbox{}
	n.inbox.Unlock()
	in.GiveTo(n.driver)
}

func (n *Node) publish() {
	s := n.driver.Status()
	if s.Role == raft.Leader {
		s.Peers = n.peers
	}
	if err := n.diskErr.Load(); err != nil {
		s.DiskErr = *err
	}
	s.Removed = s.Removed || s.Leader == 0 && n.toldRemoved.Load()
	n.status.Store(&s)
}

// shutDown refuses what has not been proposed, and answers what has.
func (n *Node) shutDown() {
	n.inbox.Lock()
	n.inbox.stopped = true
	in := n.inbox.Inbox
	n.inbox.Inbox = Inbox{}
	n.inbox.Unlock()
	for _, p := range in.Proposals {
		p.Answer(Applied{}, ErrStopped)
	}
	for _, answer := range in.Reads {
		answer(0, ErrStopped)
	}
	for _, do := range in.Other {
		do(nil)
	}
	n.driver.Stop()
	n.disk.Lock()
	n.disk.stopped = true
	n.disk.Unlock()
	(*nodeDisk)(n).nudge()
}

// answer is one result on its way from the loop to a waiting goroutine.
type answer[T any] struct {
	value T
	err   error
	ready chan struct{}
}

func newAnswer[T any]() *answer[T] { return &answer[T]{ready: make(chan struct{})} }

func (a *answer[T]) give(value T, err error) {
	a.value, a.err = value, err
	close(a.ready)
}

// take waits for the result, or for ctx: then the error is late, or if that is nil, that of ctx.
func (a *answer[T]) take(ctx context.Context, late error) (T, error) {
	select {
	case <-a.ready:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		if late == nil {
			late = ctx.Err()
		}
		return none, late
	}
}
