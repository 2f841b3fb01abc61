package modelcheck

import (
	"errors"
	"fmt"
	"slices"

	"raftlab/raft"
	"raftlab/raft/safety"
)

const cluster raft.ClusterID = 7

// member is one member between two actions, and the disk that survives it. It is never changed: an action makes another.
type member struct {
	raft  *raft.Raft
	disk  raft.Stored
	saves []raft.Save // handed to the disk and not finished, oldest first
}

// outcome is what one action does to one member.
type outcome struct {
	after  *member // nil if the action cannot happen, or changes nothing
	sent   []raft.Message
	reads  []raft.ReadResult
	broken error
}

// start makes a member from its disk.
func (b *Bounds) start(id raft.ID, disk raft.Stored) (*member, error) {
	if b.lie != nil {
		disk = b.lie(disk)
	}
	config := raft.Config{ID: id, Cluster: cluster, ElectionTicks: 4, MaxAppendBytes: b.AppendBytes}
	if len(disk.Entries) == 0 {
		config.Cluster = 0 // it has not joined yet
	}
	copied := disk
	copied.Entries = slices.Clone(disk.Entries)
	r, err := raft.New(config, copied)
	if err != nil {
		return nil, fmt.Errorf("%v cannot start from its disk: %w", id, err)
	}
	r.Normalize(0)
	return &member{raft: r, disk: disk}, nil
}

// run is one action under way.
type run struct {
	bounds *Bounds
	id     raft.ID
	raft   *raft.Raft
	disk   raft.Stored
	saves  []raft.Save
	action action
	outcome
}

// do carries out one action on a copy. A panic of the core is a broken invariant.
func (b *Bounds) do(m *member, a action, message raft.Message) (o outcome) {
	x := &run{bounds: b, id: m.raft.ID(), raft: m.raft.Clone(), disk: m.disk, saves: slices.Clip(m.saves), action: a}
	defer func() {
		if p := recover(); p != nil {
			o = outcome{broken: fmt.Errorf("panic: %v", p)}
		}
	}()
	happened, err := x.act(a, message)
	if err == nil && happened {
		err = x.pump()
	}
	switch {
	case err != nil:
		return outcome{broken: err}
	case !happened:
		return outcome{}
	case a.torn != whole:
		return x.crash()
	}
	x.raft.Normalize(0)
	x.after = &member{raft: x.raft, disk: x.disk, saves: x.saves}
	x.broken = safety.AppendOnly(m.raft, x.raft)
	return x.outcome
}

// act gives the member its input. It reports whether there was one.
func (x *run) act(a action, message raft.Message) (bool, error) {
	switch a.kind {
	case deliver:
		return x.step(message)
	case timeout:
		return x.timeout()
	case heartbeat:
		if x.raft.Role() != raft.Leader {
			return false, nil
		}
		return x.step(raft.Tick{})
	case stepDown:
		return x.stepDown()
	case propose:
		return x.step(raft.Propose{Commands: [][]byte{{'x'}}})
	case read:
		x.raft.Normalize(uint64(a.arg) + 1) // the key of a forwarded read is drawn from here
		return x.step(raft.Read{Context: uint64(a.arg)})
	case change:
		return x.step(raft.ChangeMembership{Change: changeOf(a.arg)})
	case transfer:
		return x.step(raft.Transfer{To: raft.ID(a.arg)})
	case save:
		if len(x.saves) == 0 {
			return false, nil
		}
		return true, x.finish()
	}
	return true, nil // a crash
}

func (x *run) step(in raft.Input) (bool, error) { return x.raft.Step(in) == nil, nil }

// timeout passes the last tick of the time-out. Where pre-votes are not explored, all voters have promised theirs.
func (x *run) timeout() (bool, error) {
	if x.raft.Role() == raft.Leader {
		return false, nil
	}
	if _, err := x.step(raft.Tick{}); err != nil {
		return false, err
	}
	if x.bounds.PreVote || x.raft.Role() != raft.PreCandidate {
		return true, nil
	}
	for _, m := range x.raft.Configuration().Members {
		if m.ID != x.id && !m.Learner && x.raft.Role() == raft.PreCandidate {
			_, _ = x.step(raft.Message{Type: raft.MsgPreVoteReply, Cluster: cluster, From: m.ID, To: x.id, Term: x.raft.Term() + 1})
		}
	}
	return true, nil
}

// stepDown lets time pass until a leader gives up. The heartbeats of that time are lost.
func (x *run) stepDown() (bool, error) {
	if x.raft.Role() != raft.Leader {
		return false, nil
	}
	for range 100 {
		if _, err := x.step(raft.Tick{}); err != nil || x.raft.Role() != raft.Leader {
			return true, err
		}
	}
	return false, nil // a cluster of one
}

// pump carries out what the member owes.
func (x *run) pump() error {
	for x.raft.HasReady() {
		ready := x.raft.Ready()
		if ready.Save != nil {
			x.saves = append(x.saves, *ready.Save)
		}
		x.send(ready.Messages)
		x.reads = append(x.reads, ready.Reads...)
		if err := x.apply(ready.Committed); err != nil {
			return err
		}
		for x.bounds.SlowDisk == 0 && x.action.torn == whole && len(x.saves) > 0 {
			if err := x.finish(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *run) send(messages []raft.Message) {
	for _, m := range messages {
		assumed := m.Type == raft.MsgPreVote && !x.bounds.PreVote
		if lost := x.action.kind == stepDown && m.Type == raft.MsgAppend; !assumed && !lost {
			x.sent = append(x.sent, m)
		}
	}
}

// apply checks what a state machine relies on: every entry once, in order, and as the log has it.
func (x *run) apply(entries []raft.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for i, e := range entries {
		if want := x.raft.Applied() + raft.Index(i) + 1; e.Index != want {
			return fmt.Errorf("state machine: %v is given entry %d to apply, the next is %d", x.id, e.Index, want)
		}
		if have, ok := x.raft.TermAt(e.Index); !ok || have != e.Term {
			return fmt.Errorf("state machine: %v is given entry %d of term %d to apply, its log has term %d", x.id, e.Index, e.Term, have)
		}
	}
	return x.raft.Step(raft.Applied{Index: entries[len(entries)-1].Index})
}

// finish ends the oldest save.
func (x *run) finish() error {
	s := x.saves[0]
	x.saves = x.saves[1:]
	x.disk, _ = write(x.disk, s, 1<<30)
	x.send(s.Then)
	return x.raft.Step(s.Done)
}

// write puts a save on a disk, or its first units. It reports how many units there were.
func write(d raft.Stored, s raft.Save, units int) (raft.Stored, int) {
	n := 0
	if s.HardState != d.HardState {
		if n < units {
			d.HardState = s.HardState
		}
		n++
	}
	for _, e := range s.Entries {
		if n < units {
			d.Entries = append(slices.Clip(d.Entries[:e.Index-d.Base-1]), e)
		}
		n++
	}
	return d, n
}

var errRestart = errors.New("modelcheck: a snapshot was installed; they are not explored")

// crash loses what the disk has not finished, but for the first units, and starts again. As a member that is down does
// nothing, starting at once loses no schedule. Only a crash within a save is worth the action that led to it: after it, or
// without one, it is another action.
func (x *run) crash() outcome {
	a, units := x.action, 0
	for _, s := range x.saves {
		if s.Restart != nil {
			return outcome{broken: errRestart}
		}
		disk, n := write(x.disk, s, max(0, int(a.torn)-units))
		x.disk = disk
		units += n
	}
	if a.kind == crash && int(a.torn) > units || a.kind != crash && int(a.torn) >= units {
		return outcome{}
	}
	after, err := x.bounds.start(x.id, x.disk)
	return outcome{after: after, sent: x.sent, broken: err}
}
