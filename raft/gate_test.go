package raft_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"raftlab/raft"
)

// TestEveryMessagePassesTheGate: one table for all message types, so that no handler can forget a check.
func TestEveryMessagePassesTheGate(t *testing.T) {
	for _, kind := range []raft.MessageType{
		raft.MsgPreVote, raft.MsgPreVoteReply, raft.MsgVote, raft.MsgVoteReply, raft.MsgAppend, raft.MsgAppendReply,
		raft.MsgReadIndex, raft.MsgReadIndexReply, raft.MsgTimeoutNow,
	} {
		good := raft.Message{Type: kind, Cluster: testCluster, From: 2, To: 1, Term: 1}
		for name, spoil := range map[string]func(*raft.Message){
			"another cluster":     func(m *raft.Message) { m.Cluster++ },
			"no cluster":          func(m *raft.Message) { m.Cluster = 0 },
			"another incarnation": func(m *raft.Message) { m.To = 9 },
			"from nobody":         func(m *raft.Message) { m.From = 0 },
			"from itself":         func(m *raft.Message) { m.From = 1 },
			"an endless term":     func(m *raft.Message) { m.Term = 1 << 63 },
			"a leap of terms":     func(m *raft.Message) { m.Term = 1 << 62 },
			"unknown type":        func(m *raft.Message) { m.Type = 200 },
		} {
			w := newWorld()
			w.add(1, raft.HardState{Term: 1}, founded(3))
			r := w.members[1].raft
			before, m := r.Hash(), good
			spoil(&m)
			if err := r.Step(m); !errors.Is(err, raft.ErrDropped) {
				t.Errorf("%v, %s: got %v, want it dropped", kind, name, err)
			}
			if r.Hash() != before {
				t.Errorf("%v, %s: dropped, but the state changed", kind, name)
			}
		}
	}
}

// TestRepliesOfStrangersCountForNothing: requests are taken from members that we do not know yet (thesis §4.1),
// replies and read requests are not.
func TestRepliesOfStrangersCountForNothing(t *testing.T) {
	for kind, taken := range map[raft.MessageType]bool{
		raft.MsgPreVote: true, raft.MsgVote: true, raft.MsgAppend: true, raft.MsgTimeoutNow: true,
		raft.MsgPreVoteReply: false, raft.MsgVoteReply: false, raft.MsgAppendReply: false,
		raft.MsgReadIndex: false, raft.MsgReadIndexReply: false,
	} {
		w := newWorld()
		w.add(1, raft.HardState{Term: 1}, founded(3))
		err := w.members[1].raft.Step(raft.Message{Type: kind, Cluster: testCluster, From: 4, To: 1, Term: 1})
		if got := err == nil; got != taken {
			t.Errorf("%v from a stranger: taken is %v, want %v (%v)", kind, got, taken, err)
		}
	}
}

// TestInheritedEntriesCountAsUncommitted: a new leader has them to commit before its own, so they take room.
func TestInheritedEntriesCountAsUncommitted(t *testing.T) {
	w := newWorld()
	log := append(founded(3), raft.Entry{Index: 2, Term: 2, Data: make([]byte, 900)})
	w.add(1, raft.HardState{Term: 2}, log)
	w.add(2, raft.HardState{Term: 2}, founded(3))
	w.add(3, raft.HardState{Term: 2}, founded(3))
	w.passTimeout(1)
	for w.members[1].raft.Role() != raft.Leader {
		w.deliver(0, false)
	}
	propose := func() error { return w.step(1, raft.Propose{Commands: [][]byte{make([]byte, 200)}}) }
	if err := propose(); !errors.Is(err, raft.ErrOverloaded) {
		t.Fatalf("200 bytes beside 900 inherited, of 1000 allowed: %v", err)
	}
	w.settle()
	if err := propose(); err != nil {
		t.Fatalf("after the inherited entry was committed: %v", err)
	}
}

// TestConfigNamesEveryBadField: each error says the field, its value and the rule.
func TestConfigNamesEveryBadField(t *testing.T) {
	err := raft.Config{HeartbeatTicks: 10, ElectionTicks: 10, MaxAppendBytes: -1}.Validate()
	for _, want := range []string{"ID must not be zero", "MaxAppendBytes -1 must be at least 1", "HeartbeatTicks 10 must be below ElectionTicks 10"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if err := (raft.Config{ID: 1}).Validate(); err != nil {
		t.Errorf("zero values must mean the defaults: %v", err)
	}
}

// TestNewRefusesALogThatCannotBe: a log with a hole or with terms from the future is not Raft's.
func TestNewRefusesALogThatCannotBe(t *testing.T) {
	for name, log := range map[string][]raft.Entry{
		"hole":                  {{Term: 1, Index: 1}, {Term: 1, Index: 3}},
		"term above HardState":  {{Term: 3, Index: 1}},
		"terms fall":            {{Term: 2, Index: 1}, {Term: 1, Index: 2}},
		"damaged configuration": {{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: []byte{1, 0, 9}}},
	} {
		if _, err := raft.New(raft.Config{ID: 1}, raft.Stored{HardState: raft.HardState{Term: 2}, Entries: log}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzConfiguration: no bytes make the decoder panic, and what it accepts it writes again as it was.
func FuzzConfiguration(f *testing.F) {
	f.Add(founded(3)[0].Data)
	f.Add([]byte{1, 255, 255})
	f.Add(append([]byte{2, 0, 0, 0, 1}, 0, 0, 0, 0, 0, 0, 0, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c raft.Configuration
		if c.UnmarshalBinary(b) != nil {
			return
		}
		again, err := c.AppendBinary(nil)
		if err != nil || !slices.Equal(again, b) {
			t.Fatalf("%x became %x (%v)", b, again, err)
		}
	})
}

// TestTheCoreIsPure holds the package to its promise: the standard library only, and no clock, thread, lock,
// disk, socket or hidden randomness.
func TestTheCoreIsPure(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "raftlab/raft").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		first, _, _ := strings.Cut(path, "/")
		switch {
		case strings.Contains(first, "."), first == "raftlab":
			t.Errorf("raft imports %s: only the standard library is allowed", path)
		case slices.Contains([]string{"time", "sync", "net", "os", "context"}, first), strings.HasPrefix(path, "math/rand"):
			t.Errorf("raft imports %s: the core must be pure", path)
		}
	}
}
