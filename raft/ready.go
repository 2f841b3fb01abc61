package raft

// Ready is what the caller owes after a Step. Take it with (*Raft).Ready and do, in this order:
//
//  1. hand Save, if there is one, to the disk, behind every Save of an earlier Ready;
//  2. send Messages (they promise nothing that is not on disk already, so a leader's entries travel
//     while its own disk is still writing);
//  3. carry out Install, apply Committed, answer Reads as soon as the state machine has applied their Index, and Step(Applied).
//
// When the disk has finished a Save: send Save.Then, and Step(Save.Done). Both may be late; neither may be
// early. A Message to the member itself is a Step like any other.
type Ready struct {
	Save     *Save
	Messages []Message
	// Install, if not nil, replaces the state machine's state by the snapshot that was received, before
	// Committed is applied. Step(Applied) with its Index reports it done.
	Install   *Snapshot
	Committed []Entry
	Reads     []ReadResult
}

// Save is one write to stable storage.
type Save struct {
	// HardState replaces the one on disk. It is always filled in.
	HardState HardState
	// Restart, if not nil, empties the log: its first entry will be the one after this snapshot.
	Restart *Snapshot
	// Entries go to the log. Where the first has an index that the log holds already, the log is cut
	// there before they are appended.
	Entries []Entry
	// Then must not be sent before HardState and Entries are durable (Figure 2: "updated on stable
	// storage before responding to RPCs").
	Then []Message
	// Done is the input that reports this Save durable.
	Done Persisted
}

// ReadResult answers one Read.
type ReadResult struct {
	Context uint64
	// Index: the read is linearizable once the state machine has applied this entry.
	Index Index
	// Err is ErrNoLeader, ErrNotReady or ErrNotLeader when the read was given up; ask again.
	Err error
}

// Input is one of Tick, Message, Propose, Read, ChangeMembership, Transfer, Persisted, Applied, SnapshotTaken
// and SnapshotFailed: everything that ever happens to a Raft.
type Input interface{ step(*Raft) error }

// Tick says that one unit of time has passed.
type Tick struct{}

// Propose asks the leader to append commands. After a nil error they stand in the log as its last
// entries, in Term(); whether they will be committed is not known.
type Propose struct{ Commands [][]byte }

// Read asks for an index at which a read is linearizable (thesis §6.4), on any member. Context comes
// back in a ReadResult; the caller makes it unique among its own.
type Read struct{ Context uint64 }

// ChangeMembership asks the leader for one change (thesis §4.1): of one member, appended at once as the
// last entry of the log, refused while another is not committed.
type ChangeMembership struct{ Change Change }

// Transfer asks the leader to hand its leadership to another voter (thesis §3.10).
type Transfer struct{ To ID }

// Persisted says that a Save is durable. The log position is named by term and index: by index alone an
// old write could vouch for newer entries that replaced it (the ABA race of etcd-io/raft's asynchronous
// storage).
type Persisted struct {
	HardState HardState
	Term      Term
	Index     Index
}

// Applied says that the state machine has applied the log up to and including Index.
type Applied struct{ Index Index }
