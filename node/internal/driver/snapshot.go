package driver

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"raftlab/raft"
)

// Snapshots is where snapshots are kept and how they travel. Take and Send return at once; whoever owns the Driver
// calls Taken and Sent with the outcome.
type Snapshots interface {
	// Take writes a snapshot; it is durable when Taken is called without an error.
	Take(s raft.Snapshot, write func(io.Writer) error)
	// Send streams the snapshot that the message names to the member that it is addressed to, with the message.
	Send(m raft.Message)
	// Read opens a durable snapshot.
	Read(raft.Snapshot) (io.ReadCloser, error)
	// Latest is the newest durable one, of whatever leader; false if there is none.
	Latest() (raft.Snapshot, bool)
}

// ErrNothingNew says that a snapshot of the state at the applied index exists.
var ErrNothingNew = errors.New("driver: nothing has been applied since the last snapshot")

// ErrNoSnapshots says that this member was started without a place for them.
var ErrNoSnapshots = errors.New("driver: this member keeps no snapshots")

// TakeSnapshot takes one now, or answers with the one that is under way.
func (d *Driver) TakeSnapshot(answer func(raft.Index, error)) {
	if d.config.Snapshots == nil {
		answer(0, ErrNoSnapshots)
		return
	}
	if !d.taking && d.config.Machine.Applied() == d.raft.Snapshot().Index {
		answer(d.raft.Snapshot().Index, ErrNothingNew)
		return
	}
	d.takers = append(d.takers, answer)
	d.take()
}

// takeAgainAfter is the wait before a snapshot that is due is tried again. On a full disk each try writes until nothing
// more fits.
const takeAgainAfter = time.Second

// takeIfDue takes a snapshot when enough has been applied since the last one.
func (d *Driver) takeIfDue() {
	if d.takeRests > 0 {
		return
	}
	since := int(d.config.Machine.Applied() - d.raft.Snapshot().Index)
	if n := d.config.SnapshotEntries; n > 0 && since >= n || d.config.SnapshotBytes > 0 && d.sinceSnapshot >= d.config.SnapshotBytes {
		d.take()
	}
}

// take freezes the state, which is cheap, and has it written while Apply goes on.
func (d *Driver) take() {
	if d.taking || d.config.Snapshots == nil {
		return
	}
	s, ok := d.raft.SnapshotAt(d.config.Machine.Applied())
	if !ok {
		return
	}
	d.taking, d.takenBytes, d.sinceSnapshot = true, d.sinceSnapshot, 0
	d.config.Snapshots.Take(s, d.config.Machine.Freeze())
}

// Taken says what became of a Take. A snapshot that failed is not the end: the log is still whole.
func (d *Driver) Taken(s raft.Snapshot, err error) {
	d.taking = false
	if err == nil {
		d.took(s)
	} else {
		d.sinceSnapshot += d.takenBytes
		d.takeRests = int(takeAgainAfter / max(d.config.TickEvery, time.Millisecond))
	}
	for _, answer := range d.takers {
		answer(s.Index, err)
	}
	d.takers = nil
	d.pump()
}

// Sent says what became of a Send.
func (d *Driver) Sent(to raft.ID, err error) {
	if err != nil {
		d.step(raft.SnapshotFailed{To: to})
	}
	d.pump()
}

// DeliverSnapshot takes the message about a snapshot that was received. If a newer one is here already, from a leader whose
// own message came too late, Raft is told of that one in its place: else nothing would ever speak of it again, and the leader
// of today would send for ever what is not taken. It covers the older one, and only what is committed is in a snapshot, so
// every later leader has its last entry (Leader Completeness). A leader of a term before that entry's was deposed and cannot
// have meant it: its message is lost.
func (d *Driver) DeliverSnapshot(m raft.Message) error {
	s, err := Described(m)
	if err != nil {
		return err
	}
	latest, ok := d.config.Snapshots.Latest()
	d.received = latest.Index
	defer d.claim()
	if ok && latest.Index > s.Index {
		if latest.Term > m.Term {
			return nil
		}
		data, err := latest.Configuration.AppendBinary(nil)
		if err != nil {
			return err
		}
		s, m.Index, m.LogTerm = latest, latest.Index, latest.Term
		m.Entries = []raft.Entry{{Type: raft.EntryConfiguration, Index: latest.ConfigurationIndex, Data: data}}
	}
	held, err := d.config.Snapshots.Read(s)
	if err != nil {
		return err
	}
	defer held.Close()
	d.Deliver([]raft.Message{m})
	return nil
}

// claim tells Raft of a snapshot that was received and that its sender's message, which was too late, did not install. It took the place
// of the one that Raft knows, which this member could no longer send to anybody. Once its entries are applied it is as good as
// one that was taken here.
func (d *Driver) claim() {
	if d.received == 0 || d.received > d.config.Machine.Applied() {
		return
	}
	d.received = 0
	if s, ok := d.config.Snapshots.Latest(); ok && s.Index <= d.config.Machine.Applied() && s.Index > d.raft.Snapshot().Index {
		d.took(s)
	}
}

// took tells Raft, and drops what the log need not keep any more.
func (d *Driver) took(s raft.Snapshot) {
	d.step(raft.SnapshotTaken{Snapshot: s})
	d.config.Disk.DropPrefix(d.raft.FirstIndex() - 1)
}

// sendOut gives messages to the transport, but for snapshots, which travel beside them.
func (d *Driver) sendOut(messages []raft.Message) {
	isSnapshot := func(m raft.Message) bool { return m.Type == raft.MsgSnapshot }
	if slices.ContainsFunc(messages, isSnapshot) {
		for _, m := range messages {
			if isSnapshot(m) {
				d.config.Snapshots.Send(m)
			}
		}
		messages = slices.DeleteFunc(messages, isSnapshot)
	}
	if len(messages) > 0 {
		d.config.Transport.Send(messages)
	}
}

// install replaces the state by that of a snapshot. An error is the end of the member: its log begins after a state
// that it does not have.
func (d *Driver) install(s raft.Snapshot) error {
	from, err := d.config.Snapshots.Read(s)
	if err != nil {
		return fmt.Errorf("driver: open the snapshot of entries up to %d: %w", s.Index, err)
	}
	err = errors.Join(d.config.Machine.Restore(from), from.Close())
	if err == nil && d.config.Machine.Applied() != s.Index {
		err = fmt.Errorf("it holds entries up to %d", d.config.Machine.Applied())
	}
	if err != nil {
		return fmt.Errorf("driver: load the snapshot of entries up to %d: %w", s.Index, err)
	}
	d.news.appliedTerm = s.Term
	for _, index := range slices.Sorted(maps.Keys(d.proposed)) {
		if index > s.Index {
			continue
		}
		for _, w := range d.resolve(index) { // whether it is in there, the snapshot does not say
			w.answer(Applied{Index: index, Term: w.term}, ErrUnknown)
		}
	}
	return nil
}

// Mend makes what the disk holds fit together after a crash between a snapshot that was received and the log that
// follows it: then the log begins anew after the snapshot, and mended is true. A log that begins after what a snapshot
// covers has lost its state, which is an error.
func Mend(stored raft.Stored) (fitting raft.Stored, mended bool, err error) {
	s := stored.Snapshot
	if s.Index < stored.Base {
		return stored, false, fmt.Errorf("driver: the log begins after entry %d, and the latest snapshot covers entries up to %d: the state between them is lost; "+
			"keep the directory for inspection, remove the member, and join again with an empty one", stored.Base, s.Index)
	}
	if s.Index == 0 {
		return stored, false, nil
	}
	at := int(s.Index) - int(stored.Base) - 1
	if s.Index == stored.Base && s.Term == stored.BaseTerm || at >= 0 && at < len(stored.Entries) && stored.Entries[at].Term == s.Term {
		return stored, false, nil
	}
	stored.Base, stored.BaseTerm, stored.Entries = s.Index, s.Term, nil
	if stored.HardState.Term < s.Term {
		stored.HardState = raft.HardState{Term: s.Term}
	}
	return stored, true, nil
}
