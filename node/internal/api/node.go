package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"raftlab/node/internal/driver"
	"raftlab/raft"
)

// Node is what the API needs of a member: driver.Node.
type Node interface {
	// Propose returns once the command is committed and applied here.
	Propose(ctx context.Context, command []byte) (driver.Applied, error)
	// ChangeMembership returns once the change is committed and applied here.
	ChangeMembership(ctx context.Context, c raft.Change) (driver.Applied, error)
	// ReadIndex returns once a read of the local state is linearizable.
	ReadIndex(ctx context.Context) (raft.Index, error)
	// WaitApplied returns once the entry is applied here.
	WaitApplied(ctx context.Context, i raft.Index) error
	// TakeSnapshot returns the index that a durable snapshot covers; with driver.ErrNothingNew, of an older one.
	TakeSnapshot(ctx context.Context) (raft.Index, error)
	// Transfer hands leadership over, to the best voter if to is zero, and returns who leads then.
	Transfer(ctx context.Context, to raft.ID) (raft.ID, error)
	// Subscribe gives what happens from now on, until cancel is called or the node stops. It waits for no
	// one: what a slow subscriber loses shows as a gap in the numbers.
	Subscribe() (events <-chan driver.Event, cancel func())
	Status() driver.Status
	// Tail tells the terms of the last entries, for the live page.
	Tail(ctx context.Context, most int) (driver.Tail, error)
}

const noLeader = "no_leader"

// wasRemoved takes the place of noLeader where none will be known any more. It is not for a retry, of this member at least.
var wasRemoved = &failure{status: http.StatusServiceUnavailable, code: "removed",
	message: "this member was removed from its cluster and serves nothing more; ask another. To let it join again as a new member, stop it, empty its data directory and start it with --join"}

// certain lists the errors that say: nothing was, or will be, committed.
var certain = []struct {
	err     error
	status  int
	code    string
	message string
}{
	{driver.ErrNoLeader, http.StatusServiceUnavailable, noLeader, "no leader is known: an election is under way, or this member is cut off; try again"},
	{driver.ErrNotLeader, http.StatusServiceUnavailable, "not_leader", "this member is not the leader any more; try again"},
	{driver.ErrNotReady, http.StatusServiceUnavailable, "not_ready", "the leader has just been elected and has not committed an entry of its term yet; try again"},
	{driver.ErrTransferring, http.StatusServiceUnavailable, "transferring", "leadership is being handed over; try again"},
	{driver.ErrStopped, http.StatusServiceUnavailable, "shutting_down", "this member is shutting down; ask another"},
	{driver.ErrOverloaded, http.StatusTooManyRequests, "overloaded", "too much is waiting to be committed; slow down and try again"},
	{driver.ErrChangePending, http.StatusConflict, "change_pending", "another membership change is not finished; try again"},
}

// refusal is the answer to an error that is certain, or nil.
func refusal(err error) *failure {
	for _, c := range certain {
		if errors.Is(err, c.err) {
			return &failure{status: c.status, code: c.code, message: c.message, retry: true}
		}
	}
	return nil
}

// writeFailed says what may be concluded from an error of Propose or ChangeMembership. ErrUnknown goes
// first: an error that wraps it is never certain, whatever else it wraps.
func writeFailed(ctx context.Context, err error) *failure {
	if f := refusal(err); f != nil && !errors.Is(err, driver.ErrUnknown) {
		return f
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return pending("timeout", "proposed, but not known to be committed when the time ran out: it may be done yet; read the key, or for members GET /__pyraft/peers, to find out")
	case errors.Is(err, driver.ErrUnknown):
		return pending("unknown", "proposed, but not known to be committed: it may be done yet; read the key, or for members GET /__pyraft/peers, to find out")
	}
	return pending("unknown", fmt.Sprintf("it is not known whether this was done: %v", err))
}

// readFailed is writeFailed for ReadIndex and WaitApplied: without an effect everything is certain.
func readFailed(err error) *failure {
	if f := refusal(err); f != nil {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &failure{status: http.StatusServiceUnavailable, code: "timeout", retry: true,
			message: "no majority confirmed the read in time; try again, or read with ?consistency=stale"}
	}
	return &failure{status: http.StatusServiceUnavailable, code: "read_failed", message: err.Error(), retry: true}
}
