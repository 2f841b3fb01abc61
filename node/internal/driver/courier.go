package driver

import (
	"errors"
	"io"
	"time"

	"raftlab/node/internal/snapshot"
	"raftlab/raft"
)

// SendAgainAfter is the wait before a snapshot that did not arrive is tried again.
const SendAgainAfter = 500 * time.Millisecond

// WriteSnapshot writes a snapshot of the frozen state; after a nil error it is durable and the latest.
func WriteSnapshot(to *snapshot.Store, s raft.Snapshot, write func(io.Writer) error) error {
	w, err := to.Create(s)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

// Described is the snapshot that a message is about.
func Described(m raft.Message) (raft.Snapshot, error) {
	s := raft.Snapshot{Index: m.Index, Term: m.LogTerm}
	if m.Type != raft.MsgSnapshot || len(m.Entries) != 1 {
		return s, errors.New("driver: a snapshot's message must carry one configuration")
	}
	s.ConfigurationIndex = m.Entries[0].Index
	return s, s.Configuration.UnmarshalBinary(m.Entries[0].Data)
}

// ReceiveSnapshot stores what a leader sends, if the machine could take it. After a nil error it is durable, and the
// message may be delivered. Ask Raft before whether it wants it.
func ReceiveSnapshot(to *snapshot.Store, m raft.Message, machine StateMachine, body io.Reader) error {
	s, err := Described(m)
	if err != nil {
		return err
	}
	check := func(state io.Reader) error { return machine.Check(state, s.Index) }
	if err := to.Receive(body, s, check); err != nil && !errors.Is(err, snapshot.ErrOlder) {
		return err // an older one than ours is no failure: Raft answers that we have more
	}
	return nil
}

// Outbox lets one snapshot at a time travel to each member. One that is asked for while another is on its way goes
// next: Raft has given up the first by then, and waits for the outcome of this one.
type Outbox map[raft.ID]*raft.Message // a key: one is on its way; not nil: the next

// Begin reports whether the message goes at once.
func (o Outbox) Begin(m raft.Message) bool {
	if _, busy := o[m.To]; busy {
		o[m.To] = &m
		return false
	}
	o[m.To] = nil
	return true
}

// Next returns what was asked for meanwhile; nil ends the sending to this member.
func (o Outbox) Next(to raft.ID) *raft.Message {
	next := o[to]
	if next == nil {
		delete(o, to)
		return nil
	}
	o[to] = nil
	return next
}
