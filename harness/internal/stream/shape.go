package stream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Shape is how a direction is made worse; the zero value changes nothing.
type Shape struct {
	Loss          float64 // share of chunks, from 0 to 1
	Delay, Jitter time.Duration
	Rate          uint64 // bytes per second; 0: as fast as it is
}

// Passed is what a shape has done to the chunks that came.
type Passed struct {
	Chunks, Bytes, Lost, Released uint64
	Held                          time.Duration // of all that were released, together
}

// Shaped is a shape in force at one gate, and what it has done.
type Shaped struct {
	shape Shape

	mu     sync.Mutex
	passed Passed
	free   time.Time // when what was sent before has left a link of this rate
}

// resendAfter is the least time after which TCP sends again what was lost (Linux, TCP_RTO_MIN). Bytes cannot be taken out
// of a stream without breaking it; late is what the members would see of a loss.
const resendAfter = 200 * time.Millisecond

// Shape puts s in force for what comes from now on, until Unshape.
func (g *Gate) Shape(s Shape) *Shaped {
	g.mu.Lock()
	defer g.mu.Unlock()
	made := &Shaped{shape: s}
	g.shapes = append(g.shapes, made)
	return made
}

// Unshape ends it. What waits still leaves when it was to.
func (g *Gate) Unshape(s *Shaped) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.shapes {
		if g.shapes[i] == s {
			g.shapes = append(g.shapes[:i:i], g.shapes[i+1:]...)
			return
		}
	}
}

// Passed is what it has done so far.
func (s *Shaped) Passed() Passed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passed
}

// chunk is some bytes of a stream on their way.
type chunk struct {
	bytes  []byte
	came   time.Time
	leaves time.Time
	shapes []*Shaped
}

// shape decides when these bytes may leave. Those behind them wait for them: they are in one stream.
func (g *Gate) shape(bytes []byte) chunk {
	g.mu.Lock()
	c := chunk{bytes: bytes, shapes: g.shapes}
	g.mu.Unlock()
	if len(c.shapes) == 0 {
		return c
	}
	c.came = time.Now()
	c.leaves = c.came
	for _, s := range c.shapes {
		c.leaves = s.delay(c.leaves, len(bytes))
	}
	return c
}

func (s *Shaped) delay(leaves time.Time, size int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed.Chunks++
	s.passed.Bytes += uint64(size)
	if s.shape.Rate > 0 {
		if s.free.Before(leaves) {
			s.free = leaves
		}
		s.free = s.free.Add(time.Duration(float64(size) / float64(s.shape.Rate) * float64(time.Second)))
		leaves = s.free
	}
	wait := s.shape.Delay
	if s.shape.Jitter > 0 {
		wait += time.Duration((2*rand.Float64() - 1) * float64(s.shape.Jitter))
	}
	if rand.Float64() < s.shape.Loss {
		s.passed.Lost++
		for wait += resendAfter; rand.Float64() < s.shape.Loss && wait < time.Minute; wait *= 2 { // so is what is sent again
		}
	}
	return leaves.Add(max(wait, 0))
}

// wait returns when the chunk may leave.
func (c chunk) wait(ctx context.Context) error {
	if len(c.shapes) == 0 {
		return nil
	}
	select {
	case <-time.After(time.Until(c.leaves)):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, s := range c.shapes {
		s.mu.Lock()
		s.passed.Released++
		s.passed.Held += time.Since(c.came)
		s.mu.Unlock()
	}
	return nil
}
