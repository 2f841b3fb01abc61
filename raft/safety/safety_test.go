package safety_test

import (
	"strings"
	"testing"

	"raftlab/raft"
	"raftlab/raft/safety"
)

// alone makes a cluster of one, elects it rounds times, and has it commit the commands.
func alone(t *testing.T, id raft.ID, rounds int, commands ...string) *raft.Raft {
	t.Helper()
	data, err := raft.Configuration{Members: []raft.Member{{ID: id, Address: "here"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	first := raft.Entry{Index: 1, Term: 1, Type: raft.EntryConfiguration, Data: data}
	log, hard := []raft.Entry{first}, raft.HardState{Term: raft.Term(rounds)}
	r, err := raft.New(raft.Config{ID: id, Cluster: 7, Seed: uint64(id)}, raft.Stored{HardState: hard, Entries: log})
	if err != nil {
		t.Fatal(err)
	}
	pump := func() {
		for r.HasReady() {
			if save := r.Ready().Save; save != nil {
				if err := r.Step(save.Done); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for r.Role() != raft.Leader {
		if err := r.Step(raft.Tick{}); err != nil {
			t.Fatal(err)
		}
		pump()
	}
	for _, c := range commands {
		if err := r.Step(raft.Propose{Commands: [][]byte{[]byte(c)}}); err != nil {
			t.Fatal(err)
		}
		pump()
	}
	return r
}

// TestEachPropertyOfFigure3IsNoticedWhenItIsBroken plants one violation for each, made of members that never
// belonged together.
func TestEachPropertyOfFigure3IsNoticedWhenItIsBroken(t *testing.T) {
	for _, c := range []struct {
		want   string
		states [][]*raft.Raft
	}{
		{"election safety", [][]*raft.Raft{{alone(t, 1, 1), alone(t, 2, 1)}}},
		{"leader append-only", [][]*raft.Raft{{alone(t, 1, 1, "a", "b")}, {alone(t, 1, 1, "a")}}},
		{"state machine safety", [][]*raft.Raft{{alone(t, 1, 1, "a")}, {alone(t, 2, 2, "b")}}},
		{"leader completeness", [][]*raft.Raft{{alone(t, 1, 1, "a", "b")}, {uncommitted(t, 1)}}},
		{"log matching", [][]*raft.Raft{{follower(t, 3, "x", "same"), follower(t, 4, "y", "same")}}},
	} {
		checker := safety.New()
		var err error
		for _, state := range c.states {
			if err = checker.Observe(state); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the checker said %v", c.want, err)
		}
	}
}

// uncommitted leads a later term without the entries of an earlier one, and has committed nothing itself.
func uncommitted(t *testing.T, id raft.ID) *raft.Raft {
	t.Helper()
	data, err := raft.Configuration{Members: []raft.Member{{ID: id, Address: "a"}, {ID: 9, Address: "b"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := []raft.Entry{{Index: 1, Term: 1, Type: raft.EntryConfiguration, Data: data}}
	r, err := raft.New(raft.Config{ID: id, Cluster: 7}, raft.Stored{HardState: raft.HardState{Term: 5}, Entries: log})
	if err != nil {
		t.Fatal(err)
	}
	for r.Role() != raft.Leader {
		if err := r.Step(raft.Tick{}); err != nil {
			t.Fatal(err)
		}
		ready := r.Ready()
		messages := ready.Messages
		if ready.Save != nil {
			messages = append(messages, ready.Save.Then...)
			if err := r.Step(ready.Save.Done); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range messages {
			reply := raft.Message{Cluster: 7, From: 9, To: id, Term: m.Term}
			switch m.Type {
			case raft.MsgPreVote:
				reply.Type = raft.MsgPreVoteReply
			case raft.MsgVote:
				reply.Type = raft.MsgVoteReply
			default:
				continue
			}
			if err := r.Step(reply); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func follower(t *testing.T, id raft.ID, commands ...string) *raft.Raft {
	t.Helper()
	var log []raft.Entry
	for i, c := range commands {
		log = append(log, raft.Entry{Index: raft.Index(i + 1), Term: 1, Data: []byte(c)})
	}
	r, err := raft.New(raft.Config{ID: id, Cluster: 7}, raft.Stored{HardState: raft.HardState{Term: 1}, Entries: log})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnHonestClusterPasses: what real members do by themselves is not called broken.
func TestAnHonestClusterPasses(t *testing.T) {
	checker := safety.New()
	for range 3 {
		if err := checker.Observe([]*raft.Raft{alone(t, 1, 1, "a", "b", "c")}); err != nil {
			t.Fatal(err)
		}
	}
}
