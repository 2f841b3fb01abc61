package raft_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"raftlab/raft"
)

// alone is one member, with a disk and a state machine that are done at once, among others that may say anything.
type alone struct {
	rng     *rand.Rand
	raft    *raft.Raft
	seen    []raft.Message // what it sent, to be bent and sent back
	refused []string       // what it said no correct member sends
	applied raft.Index
}

const aloneID raft.ID = 1

// newAlone has a member begin anew, or with a log, or behind a snapshot.
func newAlone(rng *rand.Rand) *alone {
	a := &alone{rng: rng}
	config := raft.Config{ID: aloneID, Cluster: testCluster, Seed: rng.Uint64(), TailEntries: 2, MaxUncommittedBytes: 1000, TraceDetail: true,
		Trace: func(string) {}, Violation: func(sentence string) { a.refused = append(a.refused, sentence) }}
	stored := raft.Stored{HardState: raft.HardState{Term: 3}, Entries: founded(3)}
	switch rng.IntN(3) {
	case 0:
		config.Cluster, stored = 0, raft.Stored{}
	case 1:
		var c raft.Configuration
		if err := c.UnmarshalBinary(founded(3)[0].Data); err != nil {
			panic(err)
		}
		stored.Base, stored.BaseTerm, stored.Entries = 5, 2, []raft.Entry{{Index: 6, Term: 2}, {Index: 7, Term: 3}}
		stored.Snapshot = raft.Snapshot{Index: 6, Term: 2, Configuration: c, ConfigurationIndex: 1}
	}
	var err error
	if a.raft, err = raft.New(config, stored); err != nil {
		panic(err)
	}
	a.applied = a.raft.Applied()
	a.pump()
	return a
}

// step takes one input and does what is owed. What is committed stays, whatever the input was.
func (a *alone) step(in raft.Input) error {
	committed := a.raft.Committed()
	before, _ := a.raft.TermAt(committed)
	err := a.raft.Step(in)
	if after, known := a.raft.TermAt(committed); a.raft.Committed() < committed || known && after != before {
		panic(fmt.Sprintf("committed entry %d of term %d became one of term %d; committed %d", committed, before, after, a.raft.Committed()))
	}
	a.pump()
	return err
}

func (a *alone) pump() {
	for a.raft.HasReady() {
		ready := a.raft.Ready()
		a.seen = append(a.seen, ready.Messages...)
		if ready.Install != nil {
			a.applied = ready.Install.Index
		}
		for _, e := range ready.Committed {
			if e.Index != a.applied+1 {
				panic(fmt.Sprintf("given entry %d to apply after entry %d", e.Index, a.applied))
			}
			a.applied = e.Index
		}
		_ = a.raft.Step(raft.Applied{Index: a.applied})
		if ready.Save != nil {
			a.seen = append(a.seen, ready.Save.Then...)
			_ = a.raft.Step(ready.Save.Done)
		}
	}
	a.seen = a.seen[max(0, len(a.seen)-50):]
}

// number is near what the member has, or far from anything.
func (a *alone) number(near uint64) uint64 {
	switch a.rng.IntN(8) {
	case 0:
		return 0
	case 1:
		return math.MaxUint64 - uint64(a.rng.IntN(3))
	case 2:
		return 1<<a.rng.IntN(64) - uint64(a.rng.IntN(2))
	}
	return near + uint64(a.rng.IntN(7)) - 3
}

func (a *alone) entry(index raft.Index, term raft.Term) raft.Entry {
	e := raft.Entry{Index: index, Term: term, Type: raft.EntryType(a.rng.IntN(3)), Data: []byte("x")}
	switch {
	case a.rng.IntN(8) == 0:
		e.Index = raft.Index(a.number(uint64(index)))
	case a.rng.IntN(8) == 0:
		e.Term = raft.Term(a.number(uint64(term)))
	}
	if e.Type != raft.EntryConfiguration {
		return e
	}
	if e.Data = []byte{byte(a.rng.IntN(4)), 0, byte(a.rng.IntN(3)), 0, 0}; a.rng.IntN(3) == 0 {
		return e
	}
	var c raft.Configuration // without a voter, with one, with strangers, in any order
	for range a.rng.IntN(5) {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(a.rng.IntN(6)), Address: "n", Learner: a.rng.IntN(3) == 0})
	}
	e.Data, _ = c.AppendBinary(nil)
	return e
}

// message is made up, or was sent once and has come back bent.
func (a *alone) message() raft.Message {
	r := a.raft
	index := func() raft.Index { return raft.Index(a.number(uint64(r.LastIndex()))) }
	term := func() raft.Term { return raft.Term(a.number(uint64(r.Term()))) }
	m := raft.Message{
		Type: raft.MessageType(a.rng.IntN(12)), Cluster: testCluster, To: aloneID, From: raft.ID(a.rng.IntN(7)), Term: r.Term(),
		Index: index(), LogTerm: term(), Commit: index(), Hint: index(), HintTerm: term(), Round: a.number(1), Context: a.number(0),
		Reject: a.rng.IntN(2) == 0, Transfer: a.rng.IntN(4) == 0,
	}
	if a.rng.IntN(3) == 0 {
		m.Term = term()
	}
	if t, known := r.TermAt(m.Index); known && a.rng.IntN(2) == 0 {
		m.LogTerm = t
	}
	for i := range a.rng.IntN(4) {
		m.Entries = append(m.Entries, a.entry(m.Index+1+raft.Index(i), m.Term))
	}
	if n := len(a.seen); n > 0 && a.rng.IntN(2) == 0 {
		mirrored := a.seen[a.rng.IntN(n)]
		mirrored.From, mirrored.To = mirrored.To, aloneID
		for range a.rng.IntN(3) {
			a.bend(&mirrored, &m)
		}
		return mirrored
	}
	return m
}

// bend takes one field from another message.
func (a *alone) bend(m, by *raft.Message) {
	switch a.rng.IntN(9) {
	case 0:
		m.Term = by.Term
	case 1:
		m.Index = by.Index
	case 2:
		m.LogTerm = by.LogTerm
	case 3:
		m.Commit = by.Commit
	case 4:
		m.Hint, m.HintTerm = by.Hint, by.HintTerm
	case 5:
		m.Round = by.Round
	case 6:
		m.Type = by.Type
	case 7:
		m.Reject, m.Transfer = by.Reject, by.Transfer
	case 8:
		m.Entries = by.Entries
	}
}

// elect has the others vote for the member, so that a leader hears nonsense too.
func (a *alone) elect() {
	for range 60 {
		if a.raft.Role() != raft.Follower {
			break
		}
		_ = a.step(raft.Tick{})
	}
	for _, kind := range []raft.MessageType{raft.MsgPreVoteReply, raft.MsgVoteReply} {
		term := a.raft.Term()
		if kind == raft.MsgPreVoteReply {
			term++
		}
		for _, m := range a.raft.Configuration().Members {
			_ = a.step(raft.Message{Type: kind, Cluster: testCluster, From: m.ID, To: aloneID, Term: term})
		}
	}
}

func (a *alone) play(steps int) {
	for range steps {
		switch dice := a.rng.IntN(100); {
		case dice < 12:
			_ = a.step(raft.Tick{})
		case dice < 14:
			a.elect()
		case dice < 20:
			_ = a.step(raft.Propose{Commands: [][]byte{[]byte("mine")}})
		case dice < 23:
			_ = a.step(raft.Read{Context: a.rng.Uint64()})
		case dice < 25:
			_ = a.step(raft.ChangeMembership{Change: raft.Change{Type: raft.ChangeType(1 + a.rng.IntN(3)), Member: raft.Member{ID: raft.ID(a.rng.IntN(6)), Address: fmt.Sprint(a.rng.IntN(9))}}})
		case dice < 27:
			if s, ok := a.raft.SnapshotAt(a.raft.Applied()); ok && s.Index > 0 {
				_ = a.step(raft.SnapshotTaken{Snapshot: s})
			}
		case dice < 28:
			_ = a.step(raft.Transfer{To: raft.ID(a.rng.IntN(4))})
		default:
			_ = a.step(a.message())
		}
	}
}

// TestNoMessageMakesAMemberPanic: a member takes whatever a peer that got through the handshake says, and neither
// panics nor takes back what is committed. A longer search: RAFT_SEEDS=100000.
func TestNoMessageMakesAMemberPanic(t *testing.T) {
	seeds := uint64(400)
	if s := os.Getenv("RAFT_SEEDS"); s != "" {
		var err error
		if seeds, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	refused, leaders := 0, 0
	for seed := range seeds {
		func() {
			a := newAlone(rand.New(rand.NewPCG(seed, 4)))
			defer func() {
				if p := recover(); p != nil {
					t.Fatalf("seed %d: %v", seed, p)
				}
			}()
			a.play(300)
			refused += len(a.refused)
			if a.raft.Role() == raft.Leader {
				leaders++
			}
		}()
	}
	if refused == 0 || leaders == 0 {
		t.Fatalf("%d messages refused, %d leaders at the end: nothing was tried", refused, leaders)
	}
}

// FuzzMessages lets the fuzzer choose what is said.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("what a peer may say"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		newAlone(rand.New(&byteSource{bytes: choices[:min(len(choices), 4000)]})).play(len(choices) / 4)
	})
}
