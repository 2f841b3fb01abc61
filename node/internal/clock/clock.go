// Package clock is the time that a member goes by: the ticks that Raft counts (heartbeats, election time-outs,
// check-quorum, transfers), how long a request may take, and what the member takes the time of day to be. A member in
// production goes by the system's clock. One that was started with --lab goes by a clock that the lab can bend: step it,
// set it wrong, let it run fast or slow.
//
// What belongs to the machine and not to the protocol stays with the system's clock: deadlines of sockets, keep-alives,
// back-off between dials, retries of a full disk, certificates, and every duration that a metric measures.
package clock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Clock is safe for concurrent use. A nil Clock is the system's.
type Clock struct {
	mu      sync.Mutex
	rate    float64   // its seconds in one of ours
	reads   time.Time // what it read at the moment since
	since   time.Time
	offset  time.Duration // of all steps together, for Reading
	tickers map[*Ticker]bool
	waits   map[*wait]bool
	ticks   uint64
	every   time.Duration // of the ticker that was made last
}

// Lab is a clock that can be bent, and is straight.
func Lab() *Clock {
	now := time.Now()
	return &Clock{rate: 1, reads: now.Round(0), since: now, tickers: map[*Ticker]bool{}, waits: map[*wait]bool{}}
}

// Now is what the clock reads.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(time.Now())
}

// now is called with c.mu held.
func (c *Clock) now(real time.Time) time.Time {
	return c.reads.Add(time.Duration(float64(real.Sub(c.since)) * c.rate))
}

// Bend is one change of a clock. Each field is left alone where it is zero.
type Bend struct {
	// Jump steps the clock, as an operator or a virtual machine that was moved does. Who waits on the clock notices: a
	// step forward lets time-outs expire, a step back holds every one of them up for as long.
	Jump time.Duration
	// Offset sets the clock wrong without anybody who waits noticing, as where it was wrong from the start.
	Offset time.Duration
	// Rate is how many of its seconds pass in one of ours.
	Rate float64
}

// Bounds of a Bend: enough for every time-out, and not so much that the clock stands still or its holder does nothing but
// tick.
const (
	stepMax = time.Hour
	RateMin = 0.01
	RateMax = 100
)

// ErrBend is wrapped by the error about a Bend that is out of bounds.
var ErrBend = errors.New("clock: bend")

// Validate says what is out of bounds.
func (b Bend) Validate() error {
	switch {
	case b.Jump.Abs() > stepMax, b.Offset.Abs() > stepMax:
		return fmt.Errorf("%w: a step of at most %v, forward or back", ErrBend, stepMax)
	case b.Rate != 0 && !(b.Rate >= RateMin && b.Rate <= RateMax):
		return fmt.Errorf("%w: a rate from %v to %v", ErrBend, RateMin, RateMax)
	}
	return nil
}

// Bend changes a lab's clock.
func (c *Clock) Bend(b Bend) error {
	if err := b.Validate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	real := time.Now()
	c.reads, c.since = c.now(real).Add(b.Jump+b.Offset), real
	c.offset += b.Jump + b.Offset
	before := c.rate
	if b.Rate != 0 {
		c.rate = b.Rate
	}
	for t := range c.tickers {
		t.owed += b.Jump
		if c.rate != before {
			t.ticker.Reset(time.Duration(float64(t.every) / c.rate))
		}
	}
	for w := range c.waits {
		w.bend(real, before, c.rate, b.Jump)
	}
	return nil
}

// Straighten sets the clock right, and lets everyone who waits go on as if it had never been wrong: what a step back had
// held up is not held up any longer.
func (c *Clock) Straighten() {
	c.mu.Lock()
	defer c.mu.Unlock()
	real := time.Now()
	before := c.rate
	c.rate, c.offset, c.reads, c.since = 1, 0, real.Round(0), real
	for t := range c.tickers {
		t.owed = 0
		t.ticker.Reset(t.every)
	}
	for w := range c.waits {
		w.bend(real, before, 1, 0)
	}
}

// Reading is what a lab's clock says of itself.
type Reading struct {
	Now       time.Time
	Rate      float64
	Offset    time.Duration // by which it was stepped and set wrong
	Ticks     uint64        // that its holder has been given
	TickEvery time.Duration // by this clock
}

// Reading reads it.
func (c *Clock) Reading() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Reading{c.now(time.Now()), c.rate, c.offset, c.ticks, c.every}
}

// ticksAtOnceMax bounds what a step forward makes due. By then every time-out that is counted in ticks is past.
const ticksAtOnceMax = 200

// Ticker ticks in the time of its clock. It belongs to one goroutine, which receives from C and then asks Due.
type Ticker struct {
	C      <-chan time.Time
	ticker *time.Ticker
	clock  *Clock // nil: the system's
	every  time.Duration
	owed   time.Duration // by steps of the clock: forward, or back
}

// NewTicker returns a ticker. Stop it.
func (c *Clock) NewTicker(every time.Duration) *Ticker {
	t := &Ticker{ticker: time.NewTicker(every), clock: c, every: every}
	t.C = t.ticker.C
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tickers[t], c.every = true, every
		if c.rate != 1 {
			t.ticker.Reset(time.Duration(float64(every) / c.rate))
		}
	}
	return t
}

// Stop ends the ticker.
func (t *Ticker) Stop() {
	t.ticker.Stop()
	if t.clock != nil {
		t.clock.mu.Lock()
		defer t.clock.mu.Unlock()
		delete(t.clock.tickers, t)
	}
}

// Due is how many ticks have come due with the one that was received: one, unless the clock was stepped. What a slow
// receiver missed is gone, as with a time.Ticker.
func (t *Ticker) Due() int {
	if t.clock == nil {
		return 1
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	due := 1
	switch {
	case t.owed <= -t.every:
		t.owed += t.every
		return 0
	case t.owed >= t.every:
		due += min(int(t.owed/t.every), ticksAtOnceMax)
	}
	t.owed = 0
	t.clock.ticks += uint64(due)
	return due
}

// WithTimeout is context.WithTimeout by this clock.
func (c *Clock) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if c == nil {
		return context.WithTimeout(parent, d)
	}
	return c.wait(parent, d)
}
