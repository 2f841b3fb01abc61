package modelcheck

import "raftlab/raft"

// kind says what can happen.
type kind uint8

const (
	deliver   kind = iota // the message arg arrives
	timeout               // the election time-out passes
	heartbeat             // a leader's heartbeat is due
	stepDown              // a leader hears nobody for an election time-out
	propose               // a client's command
	read                  // a client's read, number arg
	change                // of membership; arg is a changeArg
	transfer              // of leadership to the member arg
	save                  // the disk finishes its oldest save
	crash                 // and start again
	kinds
)

// action is one thing that happens to one member.
type action struct {
	kind   kind
	member uint8 // its position
	// torn is not negative where the member crashes: in the save that the action leads to, or, if it is a crash, in those
	// that it owes. So many units of them reach the disk: a term and vote is one, an entry is one.
	torn int8
	arg  uint32
}

const whole int8 = -1

// bounded says that Bounds limit how often a kind may happen by itself. The others are limited by terms, and by what there is
// to deliver and to save.
func bounded(k kind) bool { return k > timeout && k != save }

func changeArg(what raft.ChangeType, id raft.ID) uint32 { return uint32(what)<<16 | uint32(id) }

func changeOf(arg uint32) raft.Change {
	id := raft.ID(arg & 0xffff)
	return raft.Change{Type: raft.ChangeType(arg >> 16), Member: raft.Member{ID: id, Address: address(id)}}
}

func address(id raft.ID) string { return id.String() + ":8000" }
