package driver

import (
	"context"
	"errors"
	"io"
	"log/slog"
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
