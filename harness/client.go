package harness

import (
	"context"

	"raftlab/linearizability"
)

// Client is the adapter that a user writes: about sixty lines for a store with an HTTP API.
type Client interface {
	// Do makes exactly one attempt on the wire, without retries, and says what may be concluded from it.
	// Failed must be certain: an error that may come after the write was sent is Unknown. Of op it reads
	// Kind, Key, Value, Expect and ID. Where a reply can mean only a bug of the member, the result may say so in Bug.
	Do(ctx context.Context, op linearizability.Operation) linearizability.Result
	Close() error
}
