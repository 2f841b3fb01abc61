package harness

import (
	"context"
	"time"
)

// Clocker is a System whose members go by a clock of their own that can be bent. It is the System's and not the Cluster's:
// no world can give one process another time than its neighbour without the process's help.
type Clocker interface {
	ReadClock(ctx context.Context, endpoint string) (ClockReading, error)
	BendClock(ctx context.Context, endpoint string, bend Bend) error
	// StraightenClock undoes every bend. On a clock that is straight it does nothing.
	StraightenClock(ctx context.Context, endpoint string) error
}

// Bend is one change of a member's clock. A field that is zero changes nothing.
type Bend struct {
	Jump   time.Duration // a step that whoever waits on the clock notices
	Offset time.Duration // the clock is wrong by so much more, and nobody who waits notices
	Rate   float64       // how many of its seconds pass in one of ours
}

// ClockReading is what a member's clock said, beside the clock of the lab.
type ClockReading struct {
	Reads time.Time     // what it said
	At    time.Time     // by our clock, in the middle of the request
	Give  time.Duration // by which At may be wrong, either way: half of the round trip
	// Ticks is what the member has acted on: how often its protocol was told that TickEvery has passed. A member that
	// bends only what it says cannot show these.
	Ticks     uint64
	TickEvery time.Duration
}

// Off is by how much the member's clock was wrong.
func (r ClockReading) Off() time.Duration { return r.Reads.Sub(r.At) }
