package sim

import (
	"fmt"
	"time"

	"raftlab/linearizability"
)

// A write with an idempotency key is tried again. If it says since when it has been tried, as those of package client do, it is done
// once however late it comes; if not, until so many others have come that its key is forgotten.

// openSession gives a call an idempotency key, so that it may be tried again.
func (c *client) openSession(x *call) {
	w, rng := c.w, c.w.chance.clients
	x.once = fmt.Sprintf("once-%d", x.id)
	lent := rng.IntN(12) == 0 // of another request perhaps, which is a mistake of the client
	if lent {
		x.once = fmt.Sprintf("once-%d", 1+rng.Int64N(x.id))
		x.unjudged()
	}
	x.since = w.plan.Since > 0 && !lent && rng.Float64() < w.plan.Since
	if w.plan.Remembered > 0 && !x.since { // a retry may come after it was forgotten, and take effect again: the model says when
		x.unjudged()
	}
	x.command.IdempotencyKey = x.once
	if x.since {
		x.command.Since = c.seen
	}
}

// tired tries again if that is safe, and gives up if not.
func (c *client) tired(x *call, k *keyUse) {
	w := c.w
	c.leader = w.someSlot()
	switch {
	case x.once == "", x.attempt >= attemptsMax && (w.healing || !x.since || x.attempt >= sinceAttemptsMax):
		c.end(x, k, linearizability.Unknown)
	case x.since:
		c.wait(x, k)
	default:
		x.asked = c.leader
		c.try(x, k)
	}
}

const (
	attemptsMax = 6
	// sinceAttemptsMax is how often a call is tried that says since when: so long that its key may be forgotten meanwhile.
	sinceAttemptsMax = 20
	// The wait between two attempts doubles from the one to the other, as in package client.
	waitMin = 20 * time.Millisecond
	waitMax = 500 * time.Millisecond
)

// wait tries again after a while.
func (c *client) wait(x *call, k *keyUse) {
	w := c.w
	x.waits = true
	most := min(waitMin<<min(x.attempt-1, 5), waitMax)
	w.later(most/2+time.Duration(w.chance.clients.Int64N(int64(most/2))), func() {
		x.asked = c.leader
		c.try(x, k)
	})
}

// forgotten is told that the key of the call may have been forgotten: nothing was done now, but an earlier attempt may have done it. If
// there was none, the client has only been silent for long, and begins anew with what this answer says.
func (c *client) forgotten(x *call, k *keyUse, a answer) {
	w := c.w
	switch {
	case x.doubt:
		w.mark(keyForgotten)
		c.end(x, k, linearizability.Unknown)
	case a.index > x.command.Since && x.anew < anewMax:
		w.mark(begunAnew)
		x.anew++
		x.once = fmt.Sprintf("once-%d.%d", x.id, x.anew)
		x.command.IdempotencyKey, x.command.Since = x.once, c.seen
		x.encode()
		c.try(x, k)
	default:
		c.end(x, k, linearizability.Failed)
	}
}

// anewMax is how often a call begins anew.
const anewMax = 20
