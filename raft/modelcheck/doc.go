// Package modelcheck searches every schedule of the real raft.Raft within bounds: every order of deliveries, losses,
// duplicates, time-outs, crashes before, in and after a save, and changes of membership. A state that breaks a property
// of Figure 3, an invariant, or a read's promise is reported with a shortest way to it, as a script in the words of
// raft/testdata. README.md says what is explored, what is not, and why the reductions lose nothing.
//
//	bounds.go      how far the search goes
//	action.go      what can happen
//	member.go      one member and its disk, and what one action does to it
//	cluster.go     all members, the messages in flight, and the history
//	intern.go      each distinct member, message and history is kept once, with its hashes
//	successors.go  what can follow a state
//	search.go      breadth first, depth first, and random walks
//	script.go      the way to a violation, to be kept as a test
package modelcheck
