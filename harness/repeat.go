package harness

import (
	"context"
	"time"

	"raftlab/linearizability"
)

// A write that has no answer is sent again for so long, which is enough for some elections, and so soon after an attempt.
const (
	repeatWithin = 5 * time.Second
	repeatPause  = 50 * time.Millisecond
)

// repeat sends a write again while it is not known whether it was done, to one member after the other, until one answers
// that it was, or its time is over. A refusal ends it only where nothing was sent before.
func (w *worker) repeat(ctx context.Context, op linearizability.Operation) linearizability.Result {
	at, began := w.at, time.Now()
	defer func() {
		if !w.roams {
			w.at = at
		}
	}()
	var last linearizability.Result
	for n := 1; ; n++ {
		last = w.attempt(ctx, op)
		if n > 1 {
			last.Attempts = n
			if last.Outcome == linearizability.Failed {
				last.Outcome = linearizability.Unknown // an attempt before this one may have done it
			}
		}
		if last.Outcome != linearizability.Unknown || time.Since(began) > repeatWithin || !w.pause(ctx) {
			return last
		}
		w.next()
	}
}

// attempt asks the member that is next, within the time-out of one attempt.
func (w *worker) attempt(ctx context.Context, op linearizability.Operation) linearizability.Result {
	client, err := w.client(w.at)
	if err != nil {
		return linearizability.Result{Outcome: linearizability.Failed, Error: err.Error()}
	}
	return within(w.load.config.Timeout, client)(ctx, op)
}

// pause waits a little before a repeat. It returns false where there is to be none, because the load ends.
func (w *worker) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-w.load.stop:
		return false
	case <-time.After(repeatPause):
		return true
	}
}
