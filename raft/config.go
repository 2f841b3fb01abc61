package raft

import (
	"errors"
	"fmt"
)

// Config says who a Raft is and how it behaves. Zero values of the numbers mean the default.
type Config struct {
	ID      ID
	Cluster ClusterID // zero on a member that has not joined yet: it learns it from its first leader

	// Seed is the only source of randomness. Two members, and two lives of one member, must not share it
	// (goraft #44: members with identical time-outs split their votes for ever).
	Seed uint64

	HeartbeatTicks int // between two heartbeats of a leader; default 1
	ElectionTicks  int // the least election time-out; the greatest is just below twice that; default 10

	MaxAppendBytes      int // of entries in one append; default 1 MiB
	MaxInflightAppends  int // unacknowledged appends to one follower; default 256
	MaxInflightBytes    int // unacknowledged bytes of entries to one follower; default 16 MiB
	MaxUncommittedBytes int // of commands at the leader; beyond it Propose is ErrOverloaded; default 64 MiB

	TailEntries int // kept before a snapshot, for followers that are a little behind; default 1000

	// Trace, if not nil, is told what happens, one English sentence an event. TraceDetail adds each append,
	// commit and read to the elections and changes of role.
	Trace       func(sentence string)
	TraceDetail bool

	// Violation is told of a message that no correct member sends: the sender is not one of ours, its memory is damaged,
	// or we have a bug. The message is dropped, as a network may drop any, so it can do no harm. Nil means to panic: in
	// tests, in the simulator and in the explorer all members are ours.
	Violation func(sentence string)
}

func orDefault(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.HeartbeatTicks, 1)
	orDefault(&c.ElectionTicks, 10)
	orDefault(&c.MaxAppendBytes, 1<<20)
	orDefault(&c.MaxInflightAppends, 256)
	orDefault(&c.MaxInflightBytes, 16<<20)
	orDefault(&c.MaxUncommittedBytes, 64<<20)
	orDefault(&c.TailEntries, 1000)
	return c
}

// Validate names every field that cannot be used, with the rule that it breaks.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("raft: "+format, args...)) }
	if c.ID == 0 {
		bad("ID must not be zero")
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"HeartbeatTicks", c.HeartbeatTicks}, {"MaxAppendBytes", c.MaxAppendBytes},
		{"MaxInflightAppends", c.MaxInflightAppends}, {"MaxInflightBytes", c.MaxInflightBytes},
		{"MaxUncommittedBytes", c.MaxUncommittedBytes}, {"TailEntries", c.TailEntries},
	} {
		if f.value < 1 {
			bad("%s %d must be at least 1", f.name, f.value)
		}
	}
	if c.HeartbeatTicks >= c.ElectionTicks {
		bad("HeartbeatTicks %d must be below ElectionTicks %d", c.HeartbeatTicks, c.ElectionTicks)
	}
	return errors.Join(errs...)
}
