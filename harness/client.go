package harness

import (
	"context"

	"raftlab/linearizability"
)

// Client is the adapter that a user writes: about sixty lines for a store with an HTTP API.
type Client interface {
	// Do makes exactly one attempt on the wire, without retries, and says what may be concluded from it.
	// Failed must be certain: an error that may come after the write was sent is Unknown. Of op it reads
	// Kind, Key, Value, Expect, ID, and Once where the System is a SessionKeeper. Where a reply can mean only a bug of the member, the result may say so in Bug.
	Do(ctx context.Context, op linearizability.Operation) linearizability.Result
	Close() error
}

// SessionKeeper is a System whose clients may send a write again, with the idempotency key in Operation.Once, and which then does
// it once and answers each time what it answered first.
type SessionKeeper interface {
	Sessions() bool
}

// HasSessions says whether a system is one.
func HasSessions(s System) bool {
	keeper, ok := s.(SessionKeeper)
	return ok && keeper.Sessions()
}
