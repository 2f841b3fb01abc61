package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/node/internal/wal"
	"raftlab/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gatedLog is a log whose Sync can be held, counted and made to fail.
type gatedLog struct {
	mu      sync.Mutex
	syncs   int
	entries int
	fail    error
	gate    chan struct{} // a Sync takes one token, if this is not nil
}

func (l *gatedLog) Append(_ *raft.HardState, entries []raft.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries += len(entries)
	return nil
}
func (l *gatedLog) SetCluster(raft.ClusterID) error     { return nil }
func (l *gatedLog) Restart(raft.Index, raft.Term) error { return nil }
func (l *gatedLog) DropPrefix(raft.Index) error         { return nil }
func (l *gatedLog) Sync() error {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs++
	return l.fail
}

func (l *gatedLog) counts() (entries, syncs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries, l.syncs
}

type nowhere struct{}

func (nowhere) Send([]raft.Message)      {}
func (nowhere) SetMembers([]raft.Member) {}

// lone starts a Node that is a cluster of one, and waits until it leads.
func lone(t *testing.T, log *gatedLog) *Node { return patient(t, log, 5) }

// patient is lone with an election time-out in milliseconds: a disk that is stalled for so long costs the leadership.
func patient(t *testing.T, log *gatedLog, electionTicks int) *Node {
	t.Helper()
	data, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Config{
		Raft:    raft.Config{ID: 1, Cluster: 7, ElectionTicks: electionTicks},
		Stored:  raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}},
		Address: "n1:8000", TickEvery: time.Millisecond, Machine: &machine{}, Transport: nowhere{},
	}, Storage{Log: log}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// await polls until the condition holds; the deadline is only there so that a failure ends.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := within(t)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-poll.C:
		}
	}
}

func leads(n *Node) func() bool {
	return func() bool { s := n.Status(); return s.Role == raft.Leader && s.Commit == s.Last }
}

// TestProposalsShareAnFsync: what arrives while the disk is busy goes into the log at the next tick, and out with the next sync.
func TestProposalsShareAnFsync(t *testing.T) {
	log := &gatedLog{}
	n := patient(t, log, 1500) // while it waits for its disk
	defer n.Stop()
	await(t, "it leads", leads(n))
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open() // else Stop would wait for the disk
	log.mu.Lock()
	log.gate = gate
	log.mu.Unlock()
	before, syncs := log.counts()
	const proposals = 100
	var done sync.WaitGroup
	for range proposals {
		done.Go(func() {
			if _, err := n.Propose(within(t), []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, "all proposals are in the log", func() bool { s := n.Status(); return s.Last-s.Commit == proposals })
	open()
	done.Wait()
	entries, after := log.counts()
	if entries-before != proposals || after-syncs > 10 {
		t.Fatalf("%d proposals became %d entries and %d syncs", proposals, entries-before, after-syncs)
	}
}

// TestFailedSyncEndsTheNodeAndAnswersNobody: the error is reported, no proposal is called done, and the
// log is never tried again.
func TestFailedSyncEndsTheNodeAndAnswersNobody(t *testing.T) {
	log := &gatedLog{}
	n := lone(t, log)
	await(t, "it leads", leads(n))
	broken := errors.New("input/output error")
	log.mu.Lock()
	log.fail = broken
	log.mu.Unlock()
	result := make(chan error, 1)
	go func() {
		_, err := n.Propose(within(t), []byte("x"))
		result <- err
	}()
	select {
	case err := <-n.Failed():
		if !errors.Is(err, broken) {
			t.Fatalf("failed with %v", err)
		}
	case <-within(t).Done():
		t.Fatal("the failure was not reported")
	}
	_, syncs := log.counts()
	n.Stop()
	if err := <-result; !errors.Is(err, ErrUnknown) {
		t.Fatalf("the proposer was told %v, want ErrUnknown", err)
	}
	if _, after := log.counts(); after != syncs {
		t.Fatalf("after the failure the log was synced %d more times", after-syncs)
	}
}

// TestFullDiskIsWaitedFor: nothing is acknowledged while it is full, the status says so, and then all of it is.
func TestFullDiskIsWaitedFor(t *testing.T) {
	log := &gatedLog{}
	n := lone(t, log)
	defer n.Stop()
	await(t, "it leads", leads(n))
	setFail := func(err error) {
		log.mu.Lock()
		defer log.mu.Unlock()
		log.fail = err
	}
	setFail(fmt.Errorf("sync: %w", wal.ErrFull))
	result := make(chan error, 1)
	go func() {
		_, err := n.Propose(within(t), []byte("x"))
		result <- err
	}()
	await(t, "the status says that the disk is full", func() bool { return errors.Is(n.Status().DiskErr, wal.ErrFull) })
	select {
	case err := <-result:
		if !errors.Is(err, ErrUnknown) {
			t.Fatalf("while the disk was full the proposer was told %v", err)
		}
	default:
	}
	setFail(nil)
	await(t, "the disk is well again", func() bool { return n.Status().DiskErr == nil })
	await(t, "it leads again", leads(n))
	if _, err := n.Propose(within(t), []byte("y")); err != nil {
		t.Fatal(err)
	}
}

// TestExpiredProposalIsUnknown: the caller's time is up, the entry is not.
func TestExpiredProposalIsUnknown(t *testing.T) {
	log := &gatedLog{}
	n := lone(t, log)
	await(t, "it leads", leads(n))
	gate := make(chan struct{})
	log.mu.Lock()
	log.gate = gate
	log.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := n.Propose(ctx, []byte("x"))
		result <- err
	}()
	await(t, "the entry is in the log", func() bool { s := n.Status(); return s.Last > s.Commit })
	cancel()
	if err := <-result; !errors.Is(err, ErrUnknown) {
		t.Fatalf("told %v, want ErrUnknown", err)
	}
	close(gate)
	n.Stop()
}

// TestStoppedNodeRefuses: after Stop every call is refused at once, as certainly not done.
func TestStoppedNodeRefuses(t *testing.T) {
	n := lone(t, &gatedLog{})
	await(t, "it leads", leads(n))
	n.Stop()
	n.Stop() // again is no harm
	if _, err := n.Propose(within(t), []byte("x")); !errors.Is(err, ErrStopped) {
		t.Errorf("Propose: %v", err)
	}
	if _, err := n.ReadIndex(within(t)); !errors.Is(err, ErrStopped) {
		t.Errorf("ReadIndex: %v", err)
	}
	if err := n.WaitApplied(within(t), 1); !errors.Is(err, ErrStopped) {
		t.Errorf("WaitApplied: %v", err)
	}
	if _, err := n.ChangeMembership(within(t), raft.Change{}); !errors.Is(err, ErrStopped) {
		t.Errorf("ChangeMembership: %v", err)
	}
}

// TestABatchLargerThanTheBoundIsTakenAsFarAsItFits: of what waits for the disk together, only what has no room is refused.
func TestABatchLargerThanTheBoundIsTakenAsFarAsItFits(t *testing.T) {
	data, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}, {ID: 2, Address: "n2:8000"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ waiting, taken int }{{60, 1}, {0, 3}, {100, 0}} {
		var queue Queue
		d, err := New(Config{
			Raft:    raft.Config{ID: 1, Cluster: 7, MaxUncommittedBytes: 100},
			Stored:  raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}},
			Address: "n1:8000", TickEvery: time.Millisecond, Machine: &machine{}, Disk: &queue, Transport: nowhere{},
		})
		if err != nil {
			t.Fatal(err)
		}
		for d.Raft().Role() != raft.PreCandidate {
			d.Tick()
		}
		d.Deliver([]raft.Message{{Type: raft.MsgPreVoteReply, Cluster: 7, From: 2, To: 1, Term: d.Raft().Term() + 1}})
		d.Deliver([]raft.Message{{Type: raft.MsgVoteReply, Cluster: 7, From: 2, To: 1, Term: d.Raft().Term()}})
		finish := func() {
			for !queue.Empty() {
				var saves []raft.Save
				for _, work := range queue.Take() {
					saves = append(saves, work.save)
				}
				d.Saved(saves)
			}
		}
		finish()
		d.Deliver([]raft.Message{{Type: raft.MsgAppendReply, Cluster: 7, From: 2, To: 1, Term: d.Raft().Term(), Index: d.Raft().LastIndex()}})
		if d.Raft().Role() != raft.Leader || d.Raft().Committed() != d.Raft().LastIndex() {
			t.Fatal(d.Raft().Role(), d.Raft().Committed())
		}
		refused := 0
		answer := func(_ Applied, err error) {
			if !errors.Is(err, ErrOverloaded) {
				t.Errorf("%v", err)
			}
			refused++
		}
		if c.waiting > 0 {
			d.Propose([]Proposal{{make([]byte, c.waiting), answer}})
		}
		before := d.Raft().LastIndex()
		d.Propose([]Proposal{{make([]byte, 30), answer}, {make([]byte, 30), answer}, {make([]byte, 30), answer}, {make([]byte, 30), answer}})
		d.Tick()
		if taken := int(d.Raft().LastIndex() - before); taken != c.taken || refused != 4-c.taken {
			t.Errorf("%d bytes uncommitted of 100: %d of four times 30 taken and %d refused, want %d taken", c.waiting, taken, refused, c.taken)
		}
	}
}
