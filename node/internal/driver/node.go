package driver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"raftlab/raft"
)

// Log is the part of the write-ahead log that a Node uses. Append and SetCluster are buffered; Sync makes
// everything before it durable. After an error no call succeeds.
type Log interface {
	Append(hard *raft.HardState, entries []raft.Entry) error
	SetCluster(raft.ClusterID) error
	Sync() error
}

// inboxMessagesMax bounds the messages that wait for the loop. Beyond it they are dropped, as a network may.
const inboxMessagesMax = 8192

// Node runs a Driver: one goroutine owns it, a second one owns the disk. Its methods are safe for concurrent
// use. What arrives while the loop or the disk is busy is taken together the next time: proposals share an
// append, saves share an fsync, reads share a round.
type Node struct {
	driver *Driver
	log    Log
	logger *slog.Logger
	tick   time.Duration
	self   raft.ID

	status atomic.Pointer[Status]
	peers  []PeerStatus // of the last tick; owned by the loop

	inbox struct {
		sync.Mutex
		messages  []raft.Message
		proposals []Proposal
		reads     []func(raft.Index, error)
		other     []func(*Driver)
		saved     []raft.Save
		stopped   bool
	}
	wake chan struct{} // holds one

	disk struct {
		sync.Mutex
		queue   []diskWork
		cluster raft.ClusterID // to go with the next Save
		stopped bool
	}
	diskWake chan struct{}

	stop   chan struct{}
	failed chan error // holds one: why the node cannot go on
	done   sync.WaitGroup
	once   sync.Once
}

// diskWork is a Save, and a cluster's id to keep with it if that is not zero.
type diskWork struct {
	save    raft.Save
	cluster raft.ClusterID
}

// Start recovers the member from its Config and runs it on the log until Stop. config.Disk is the node's own.
func Start(config Config, log Log, logger *slog.Logger) (*Node, error) {
	n := &Node{
		log: log, logger: logger, tick: config.TickEvery, self: config.Raft.ID,
		wake: make(chan struct{}, 1), diskWake: make(chan struct{}, 1),
		stop: make(chan struct{}), failed: make(chan error, 1),
	}
	config.Disk = (*nodeDisk)(n)
	d, err := New(config)
	if err != nil {
		return nil, err
	}
	n.driver = d
	n.publish()
	n.done.Add(2)
	go n.run()
	go n.write()
	return n, nil
}

// Failed receives an error if the node can no longer keep its promises, for example after a failed fsync:
// the process must end.
func (n *Node) Failed() <-chan error { return n.failed }

// Stop ends the node. Everyone who waits is answered; saves that were handed to the disk are written.
func (n *Node) Stop() {
	n.once.Do(func() { close(n.stop) })
	n.done.Wait()
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
	n.inbox.proposals = append(n.inbox.proposals, Proposal{command, answer.give})
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
	n.inbox.reads = append(n.inbox.reads, answer.give)
	n.inbox.Unlock()
	n.nudge()
	return answer.take(ctx, nil)
}

// WaitApplied returns when the local state machine has applied the index.
func (n *Node) WaitApplied(ctx context.Context, index raft.Index) error {
	answer := newAnswer[raft.Index]()
	if err := n.post(func(d *Driver) { d.WaitApplied(index, answer.give) }, func() { answer.give(0, ErrStopped) }); err != nil {
		return err
	}
	_, err := answer.take(ctx, nil)
	return err
}

// Step takes a message from another member. It does not wait: what does not fit is lost.
func (n *Node) Step(m raft.Message) {
	n.inbox.Lock()
	if !n.inbox.stopped && len(n.inbox.messages) < inboxMessagesMax {
		n.inbox.messages = append(n.inbox.messages, m)
	}
	n.inbox.Unlock()
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
	n.inbox.other = append(n.inbox.other, func(d *Driver) {
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
func (n *Node) run() {
	defer n.done.Done()
	ticker := time.NewTicker(n.tick)
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			n.shutDown()
			return
		case <-ticker.C:
			n.driver.Tick()
			n.peers = n.driver.Peers()
		case <-n.wake:
		}
		n.takeInbox()
		n.publish()
	}
}

// takeInbox gives the Driver everything that arrived, in an order that lets one pass do most: what the disk
// finished, then messages, then what clients want.
func (n *Node) takeInbox() {
	in := &n.inbox
	in.Lock()
	messages, proposals, reads, other, saved := in.messages, in.proposals, in.reads, in.other, in.saved
	in.messages, in.proposals, in.reads, in.other, in.saved = nil, nil, nil, nil, nil
	in.Unlock()
	if len(saved) > 0 {
		n.driver.Saved(saved)
	}
	if len(messages) > 0 {
		n.driver.Deliver(messages)
	}
	for _, do := range other {
		do(n.driver)
	}
	if len(reads) > 0 {
		n.driver.Read(reads)
	}
	if len(proposals) > 0 {
		n.driver.Propose(proposals)
	}
}

func (n *Node) publish() {
	s := n.driver.Status()
	if s.Role == raft.Leader {
		s.Peers = n.peers
	}
	n.status.Store(&s)
}

// shutDown refuses what has not been proposed, and answers what has.
func (n *Node) shutDown() {
	in := &n.inbox
	in.Lock()
	in.stopped = true
	proposals, reads, other := in.proposals, in.reads, in.other
	in.proposals, in.reads, in.other, in.messages = nil, nil, nil, nil
	in.Unlock()
	for _, p := range proposals {
		p.Answer(Applied{}, ErrStopped)
	}
	for _, answer := range reads {
		answer(0, ErrStopped)
	}
	for _, do := range other {
		do(nil)
	}
	n.driver.Stop()
	n.disk.Lock()
	n.disk.stopped = true
	n.disk.Unlock()
	select {
	case n.diskWake <- struct{}{}:
	default:
	}
}

// nodeDisk is a Node as its Driver's Disk.
type nodeDisk Node

// SetCluster waits for the next Save: what makes a member part of a cluster is durable in one sync.
func (n *nodeDisk) SetCluster(id raft.ClusterID) {
	n.disk.Lock()
	defer n.disk.Unlock()
	n.disk.cluster = id
}

func (n *nodeDisk) Save(s raft.Save) {
	n.disk.Lock()
	n.disk.queue = append(n.disk.queue, diskWork{s, n.disk.cluster})
	n.disk.cluster = 0
	n.disk.Unlock()
	select {
	case n.diskWake <- struct{}{}:
	default:
	}
}

// write owns the log: everything that is queued goes out with one fsync.
func (n *Node) write() {
	defer n.done.Done()
	var last raft.HardState
	for range n.diskWake {
		n.disk.Lock()
		queue, stopped := n.disk.queue, n.disk.stopped
		n.disk.queue = nil
		n.disk.Unlock()
		saved, err := n.writeAll(queue, &last)
		if err != nil {
			// The kernel may have dropped the dirty pages and will report no error again: never retried
			// ("Can applications recover from fsync failures?", ATC 2020).
			n.logger.Error("disk: log cannot be written", "node", n.self, "error", err)
			n.failed <- fmt.Errorf("driver: write the log: %w", err)
			return
		}
		if len(saved) > 0 {
			n.inbox.Lock()
			n.inbox.saved = append(n.inbox.saved, saved...)
			n.inbox.Unlock()
			n.nudge()
		}
		if stopped {
			return
		}
	}
}

func (n *Node) writeAll(queue []diskWork, last *raft.HardState) ([]raft.Save, error) {
	var saved []raft.Save
	dirty := false
	for i := range queue {
		w := &queue[i]
		if w.cluster != 0 {
			dirty = true
			if err := n.log.SetCluster(w.cluster); err != nil {
				return nil, err
			}
		}
		saved = append(saved, w.save)
		hard := &w.save.HardState
		if *hard == *last {
			hard = nil
		}
		if hard == nil && len(w.save.Entries) == 0 {
			continue
		}
		dirty = true
		if err := n.log.Append(hard, w.save.Entries); err != nil {
			return nil, err
		}
		*last = w.save.HardState
	}
	if !dirty {
		return saved, nil
	}
	return saved, n.log.Sync()
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
