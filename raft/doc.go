// Package raft is the Raft consensus algorithm (Ongaro and Ousterhout 2014, Ongaro's thesis 2014) as a pure
// state machine: no clock, thread, lock, disk, socket or hidden randomness, and nothing but the standard
// library. You may rely on this: the same inputs give the same outputs, on every machine; and if the caller
// does what Ready asks, in its order, no two members ever apply different entries at one index.
//
// Read it in this order; each file is one idea of the paper.
//
//	types.go         terms, indexes, entries, what is durable             Figure 2
//	message.go       the calls between members                            Figure 2
//	ready.go         what goes in, what comes out, and in which order
//	raft.go          the state, Step, and the gate that every message passes   §5.1
//	election.go      time-outs, pre-vote, votes, becoming leader          §5.2, §5.4.1, thesis §9.6
//	log.go           the log and the comparison of logs                   §5.3, §5.4.1
//	replication.go   AppendEntries, both sides                            §5.3
//	progress.go      what a leader knows of a follower                    §5.3
//	commit.go        when an entry is safe                                §5.4.2, Figure 8
//	snapshot.go      what the log may forget, and who is told instead     §7
//	readindex.go     reads that need no entry                             thesis §6.4
//	membership.go    one member at a time                                 §6, thesis §4.1
//	transfer.go      handing leadership over                              thesis §3.10
//	quorum.go        majorities
//	config.go        options
//	invariants.go    what is checked after every step                     Figure 3
//	trace.go         the story in sentences
//	clone.go         copies and hashes of a state, for search and replay
//
// The scripts in testdata tell each claim as a story. README.md is the guided tour.
package raft
