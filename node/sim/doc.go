// Package sim runs a whole cluster in one goroutine: the real raft.Raft, driver, write-ahead log, snapshots, state
// machine and sessions, over a simulated clock, network, disk and clients. You may rely on this: a seed is a run. The
// same seed gives the same events in the same order, and so the same trace hash, each time and on each machine.
//
// A run has two phases. First, safety under faults: whatever is lost, late, torn, full, cut off, stopped, wiped or
// wrong about the time, no promise may be broken. Then liveness: a quorum is healed, the others are stopped or made
// deaf, and a leader must appear, commit, and bring every healed member to the same state, within a bound of virtual
// time.
//
//	plan.go      what a run does, as text that can be kept
//	swarm.go     a plan from a seed
//	world.go     the event loop
//	member.go    one member: what it does at a tick, a message, the end of an fsync
//	life.go      how it starts, recovers, ends and crashes
//	disk.go      the disk that fails
//	shadow.go    what a log must hold at a start
//	succession.go   who may be a member, and who may lead next
//	stray.go     messages of another cluster
//	network.go   what becomes of a message
//	client.go    who reads and writes; retry.go: and tries again
//	api.go       what a member does with that
//	operator.go  who adds and removes members
//	fault.go     what goes wrong
//	damage.go    what goes wrong with a disk
//	check.go     what must never happen
//	history.go   what clients and members say happened, and whether it can be true
//	live.go      what must happen in the end
//	mark.go      interesting things, each of which some run must have seen
//	shrink.go    the shortest plan that fails for the same reason
//	picture.go   a picture of the last moments; draw.go, drawfault.go
package sim
