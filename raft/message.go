package raft

import "fmt"

// MessageType names the remote procedure calls of Figure 2 and the thesis.
type MessageType uint8

const (
	// MsgPreVote asks "would you vote for me in Term?" without raising anybody's term (thesis §9.6).
	MsgPreVote MessageType = iota + 1
	MsgPreVoteReply
	// MsgVote is RequestVote (§5.2).
	MsgVote
	MsgVoteReply
	// MsgAppend is AppendEntries (§5.3). Without entries it is the heartbeat.
	MsgAppend
	MsgAppendReply
	// MsgReadIndex asks the leader for an index at which a read is linearizable (thesis §6.4).
	MsgReadIndex
	MsgReadIndexReply
	// MsgTimeoutNow tells a caught-up follower to campaign at once (thesis §3.10).
	MsgTimeoutNow
	// MsgSnapshot is InstallSnapshot (§7). The state itself travels beside it: the sender's caller streams it, and
	// the receiver's caller hands the message over when all of it is on its disk. The answer is an append reply.
	MsgSnapshot

	messageTypes
)

var messageNames = [...]string{
	MsgPreVote: "pre-vote", MsgPreVoteReply: "pre-vote reply", MsgVote: "vote", MsgVoteReply: "vote reply",
	MsgAppend: "append", MsgAppendReply: "append reply", MsgReadIndex: "read-index",
	MsgReadIndexReply: "read-index reply", MsgTimeoutNow: "timeout-now",
	MsgSnapshot: "snapshot",
}

// Valid reports whether the type is one that this version knows.
func (t MessageType) Valid() bool { return t > 0 && t < messageTypes }

func (t MessageType) String() string {
	if t.Valid() {
		return messageNames[t]
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// Message travels between two members. It is flat so that it can be copied, hashed and encoded
// without a case for each type; a field that a type does not name is zero.
//
//	pre-vote, vote         Index, LogTerm: the candidate's last entry. Transfer: at the leader's behest.
//	pre-vote, vote reply   Reject.
//	append                 Index, LogTerm: the entry before Entries. Commit: leaderCommit. Round: of reads.
//	append reply           Index: the last entry known to match, or, if Reject, the Index that was refused;
//	                       then Hint, HintTerm: where the logs may meet. Round: echoed.
//	snapshot               Index, LogTerm: the last entry that it covers. Entries: one, the configuration at that
//	                       point, as the entry that brought it. Answered by an append reply.
//	read-index             Context: the asker's name for the read.
//	read-index reply       Context: echoed. Index: read at or after this one. Reject: ask again later.
type Message struct {
	Type     MessageType
	Cluster  ClusterID
	From, To ID
	Term     Term

	Index    Index
	LogTerm  Term
	Commit   Index
	Entries  []Entry
	Hint     Index
	HintTerm Term
	Round    uint64
	Context  uint64
	Reject   bool
	Transfer bool
}
