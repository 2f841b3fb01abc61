package harness

import (
	"context"
	"time"
)

// Shape is how links are made worse without being cut. Shares are from 0 to 1; the zero value changes nothing.
type Shape struct {
	Loss      float64
	Reorder   float64 // of what waits for its delay, this share overtakes what came before
	Duplicate float64
	Delay     time.Duration
	Jitter    time.Duration // the delay is up to so much more or less; the order stays
	Rate      uint64        // bytes per second, for each direction of each link; 0: as fast as it is
}

// Shaper can make links between members worse. What this world or this machine cannot do is ErrUnsupported.
type Shaper interface {
	// Shape does this to everything on these links until the Shaping that it returns is healed. Shapings may overlap each
	// other and cuts. Where an error comes back with a Shaping, a part of it is in force, and must be healed.
	Shape(ctx context.Context, links []Link, s Shape) (Shaping, error)
	// CanShape says before anything is done why this world can do no such thing, nil if it can.
	CanShape(s Shape) error
}

// Shaping is what one call of Shaper.Shape has put in force. Its methods are safe for concurrent use.
type Shaping interface {
	// Passed counts per link what this shaping has done so far. After Heal it is empty, or names what is still there.
	Passed(ctx context.Context) (map[Link]Passed, error)
	// Heal ends it; what waits still arrives. One that is healed already stays so.
	Heal(ctx context.Context) error
}

// Passed is what a Shaping has done on one link: to packets in containers, to chunks of bytes in a relay.
type Passed struct {
	Packets    uint64 // that came
	Bytes      uint64
	Lost       uint64 // in a relay: that came late, as TCP makes of what is lost
	Reordered  uint64
	Duplicated uint64
	Released   uint64        // let through so far
	Held       time.Duration // measured, of all that were released, together
}

// Add is both together.
func (p Passed) Add(q Passed) Passed {
	return Passed{p.Packets + q.Packets, p.Bytes + q.Bytes, p.Lost + q.Lost, p.Reordered + q.Reordered,
		p.Duplicated + q.Duplicated, p.Released + q.Released, p.Held + q.Held}
}
