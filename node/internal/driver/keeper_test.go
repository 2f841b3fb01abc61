package driver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raftlab/node/internal/snapshot"
	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// TestSnapshotAskedForMeanwhileGoesNext: Raft asks for a newer snapshot while an older one is on its way, and will hear
// of the newer one only by its own outcome. To drop it would leave the member behind for ever (found by the lab in
// partition-leader: a member stayed at one index although everything was healed).
func TestSnapshotAskedForMeanwhileGoesNext(t *testing.T) {
	store, err := snapshot.Open(vfs.NewMem(), "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan raft.Index), make(chan error)
	data, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Config{
		Raft:    raft.Config{ID: 1, Cluster: 7, ElectionTicks: 5},
		Stored:  raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}},
		Address: "n1:8000", TickEvery: time.Millisecond, Machine: &machine{}, Transport: nowhere{},
	}, Storage{Log: &gatedLog{}, Snapshots: store, Send: func(_ context.Context, m raft.Message, _ int64, body io.Reader) error {
		entered <- m.Index
		return <-release
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	await(t, "it leads", leads(n))
	// sendTo asks for the latest snapshot, as the core would.
	sendTo := func(to raft.ID) raft.Index {
		t.Helper()
		if _, err := n.Propose(within(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
		index, err := n.TakeSnapshot(within(t))
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan struct{})
		if err := n.post(func(d *Driver) {
			s := d.raft.Snapshot()
			n.keeper.Send(raft.Message{Type: raft.MsgSnapshot, To: to, Index: s.Index, LogTerm: s.Term,
				Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: s.ConfigurationIndex, Data: data}}})
			close(asked)
		}, func() {}); err != nil {
			t.Fatal(err)
		}
		<-asked
		return index
	}
	take := func(want raft.Index) {
		t.Helper()
		select {
		case got := <-entered:
			if got != want {
				t.Fatalf("a snapshot of %d is sent, want %d", got, want)
			}
		case <-within(t).Done():
			t.Fatalf("the snapshot of %d was never sent", want)
		}
	}
	first := sendTo(2)
	take(first)
	second := sendTo(2)
	release <- nil
	take(second)
	third := sendTo(2)
	release <- errors.New("broken")
	take(third)
	release <- nil
}

// TestSnapshotThatIsOfNoUseIsNotKept: what lies on the disk counts at the next start, when the log would begin anew after
// it. So a stranger's, one of an old term, and one that holds no state of entry 9, leave nothing there.
func TestSnapshotThatIsOfNoUseIsNotKept(t *testing.T) {
	members := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}, {ID: 2, Address: "n2:8000"}, {ID: 3, Address: "n3:8000"}}}
	data, err := members.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(vfs.NewMem(), "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Config{
		Raft: raft.Config{ID: 1, Cluster: 7, ElectionTicks: 1 << 30},
		Stored: raft.Stored{HardState: raft.HardState{Term: 4}, Entries: []raft.Entry{
			{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}, {Term: 4, Index: 2}}},
		Address: "n1:8000", TickEvery: time.Millisecond, Machine: &machine{}, Transport: nowhere{},
	}, Storage{Log: &gatedLog{}, Snapshots: store}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	n.Step(raft.Message{Type: raft.MsgAppend, Cluster: 7, From: 2, To: 1, Term: 4, Index: 2, LogTerm: 4, Commit: 2})
	await(t, "it follows n2", func() bool { return n.Status().Leader == 2 && n.Status().Commit == 2 })

	receive := func(from raft.ID, term raft.Term, index raft.Index, state string) error {
		t.Helper()
		m := raft.Message{Type: raft.MsgSnapshot, Cluster: 7, From: from, To: 1, Term: term, Index: index, LogTerm: 4,
			Entries: []raft.Entry{{Type: raft.EntryConfiguration, Index: 1, Data: data}}}
		s, err := Described(m)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := snapshot.Open(vfs.NewMem(), "snapshots")
		if err != nil {
			t.Fatal(err)
		}
		write := func(w io.Writer) error { _, err := io.WriteString(w, state); return err }
		if err := WriteSnapshot(theirs, s, write); err != nil {
			t.Fatal(err)
		}
		body, _, err := theirs.Raw(s)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		return n.ReceiveSnapshot(within(t), m, body)
	}
	const nine = `{"Applied":9,"Values":["x"]}`
	for name, err := range map[string]error{
		"a stranger's":         receive(9, 4, 9, nine),
		"of an old term":       receive(2, 3, 9, nine),
		"of what is here":      receive(2, 4, 2, `{"Applied":2}`),
		"no state":             receive(2, 4, 9, "no state"),
		"a state of entry 8":   receive(2, 4, 9, `{"Applied":8}`),
		"an index without end": receive(2, 4, 1<<63, nine),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if s, ok := store.Latest(); ok || n.Status().Snapshot != 0 {
		t.Fatalf("kept %v", s)
	}
	if err := receive(2, 4, 9, nine); err != nil {
		t.Fatal(err)
	}
	if s, _ := store.Latest(); s.Index != 9 {
		t.Fatalf("the leader's own: kept %v", s)
	}
	await(t, "the leader's own is applied", func() bool { return n.Status().Applied == 9 }) // said a moment after it is so
}

// TestWhatGoesOnFailingIsSaidOnce: on a full disk a snapshot that is due fails once a second, and so does the one that is
// sent to such a member.
func TestWhatGoesOnFailingIsSaidOnce(t *testing.T) {
	var full atomic.Bool
	store, err := snapshot.Open(vfs.Hook{FS: vfs.NewMem(), Before: func(op vfs.Op, _ string) error {
		if op == vfs.OpWrite && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	}}, "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	data, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var said lines
	n, err := Start(Config{
		Raft:    raft.Config{ID: 1, Cluster: 7, ElectionTicks: 5},
		Stored:  raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}},
		Address: "n1:8000", TickEvery: time.Millisecond, Machine: &machine{}, Transport: nowhere{},
	}, Storage{Log: &gatedLog{}, Snapshots: store, Send: func(context.Context, raft.Message, int64, io.Reader) error { return nil }},
		slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	await(t, "it leads", leads(n))
	for want := 1; want <= 2; want++ {
		if _, err := n.Propose(within(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for range 5 {
			if _, err := n.TakeSnapshot(within(t)); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		full.Store(false)
		if _, err := n.TakeSnapshot(within(t)); err != nil {
			t.Fatal(err)
		}
		if got := said.count("snapshot was not taken"); got != want {
			t.Errorf("said %d times that a snapshot was not taken, after the disk was full %d times", got, want)
		}
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}
