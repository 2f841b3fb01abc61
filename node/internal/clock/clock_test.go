package clock

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// near reports whether the clock is off by about so much.
func near(c *Clock, off time.Duration) bool {
	return (time.Until(c.Now()) - off).Abs() < 100*time.Millisecond
}

func TestAStraightClockIsTheSystems(t *testing.T) {
	for _, c := range []*Clock{nil, Lab()} {
		if !near(c, 0) {
			t.Errorf("it is off by %v", time.Until(c.Now()))
		}
		ticker := c.NewTicker(time.Millisecond)
		<-ticker.C
		if due := ticker.Due(); due != 1 {
			t.Errorf("%d ticks are due, want 1", due)
		}
		ticker.Stop()
	}
}

func TestStepsAndOffsetsAddUpAndAreTakenBack(t *testing.T) {
	c := Lab()
	for _, b := range []Bend{{Jump: 5 * time.Second}, {Offset: -2 * time.Second}, {Jump: -time.Second}} {
		if err := c.Bend(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Reading().Offset; got != 2*time.Second || !near(c, 2*time.Second) {
		t.Errorf("it is off by %v and says %v, want 2s", time.Until(c.Now()), got)
	}
	c.Straighten()
	if got := c.Reading(); got.Offset != 0 || got.Rate != 1 || !near(c, 0) {
		t.Errorf("straightened it is off by %v and says %v at rate %v", time.Until(c.Now()), got.Offset, got.Rate)
	}
}

func TestARateChangesReadingsAndTicks(t *testing.T) {
	for _, rate := range []float64{0.2, 5} {
		c := Lab()
		ticker := c.NewTicker(20 * time.Millisecond)
		if err := c.Bend(Bend{Rate: rate}); err != nil {
			t.Fatal(err)
		}
		began, before := time.Now(), c.Reading()
		for n := 0; n < 4; n++ {
			<-ticker.C
			ticker.Due()
		}
		took, after := time.Since(began), c.Reading()
		if got := float64(after.Now.Sub(before.Now)) / float64(took); math.Abs(got-rate)/rate > 0.2 {
			t.Errorf("at rate %v it read %v times our time", rate, got)
		}
		// Four ticks of 20 ms by its clock. A late machine makes it more, never less.
		if least := time.Duration(float64(70*time.Millisecond) / rate); took < least || after.Ticks != 4 {
			t.Errorf("at rate %v four ticks took %v, want at least %v; it counted %d", rate, took, least, after.Ticks)
		}
		ticker.Stop()
	}
}

func TestAStepForwardMakesTicksDueAndOneBackHoldsThemUp(t *testing.T) {
	c := Lab()
	ticker := c.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	due := func() int { <-ticker.C; return ticker.Due() }
	c.Bend(Bend{Jump: 300 * time.Millisecond})
	if got := due(); got != 31 {
		t.Errorf("after a step of 30 ticks %d are due, want 31", got)
	}
	c.Bend(Bend{Jump: time.Hour})
	if got := due(); got != ticksAtOnceMax+1 {
		t.Errorf("after an hour %d are due, want %d", got, ticksAtOnceMax+1)
	}
	c.Bend(Bend{Jump: -50 * time.Millisecond})
	for range 5 {
		if got := due(); got != 0 {
			t.Fatalf("%d due while a step back of 5 ticks is held up", got)
		}
	}
	if got := due(); got != 1 {
		t.Errorf("%d due after it, want 1", got)
	}
	c.Bend(Bend{Jump: -time.Hour})
	c.Straighten()
	if got := due(); got != 1 {
		t.Errorf("%d due in a clock that was straightened, want 1", got)
	}
	c.Bend(Bend{Offset: time.Hour})
	if got := due(); got != 1 {
		t.Errorf("%d due after an offset, which nobody who waits notices; want 1", got)
	}
}

func TestTimeoutsGoByTheClock(t *testing.T) {
	c := Lab()
	ctx, cancel := c.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	child, stop := context.WithCancel(ctx)
	defer stop()
	c.Bend(Bend{Jump: 59 * time.Minute})
	if ctx.Err() != nil {
		t.Fatal("it ended a minute early")
	}
	c.Bend(Bend{Rate: 100})
	c.Bend(Bend{Jump: 2 * time.Minute})
	<-child.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
		t.Errorf("%v, and its child %v", ctx.Err(), child.Err())
	}
	slow := Lab()
	slow.Bend(Bend{Rate: 0.1})
	began := time.Now()
	ctx, cancel = slow.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if took := time.Since(began); took < 95*time.Millisecond {
		t.Errorf("10 ms of a clock of a tenth took %v", took)
	}
}

func TestATimeoutEndsWithItsParentAndByItsCancel(t *testing.T) {
	c := Lab()
	parent, end := context.WithCancel(t.Context())
	ctx, cancel := c.WithTimeout(parent, time.Hour)
	end()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error(ctx.Err())
	}
	cancel()
	ctx, cancel = c.WithTimeout(t.Context(), time.Hour)
	cancel()
	if <-ctx.Done(); !errors.Is(ctx.Err(), context.Canceled) || len(c.waits) != 0 {
		t.Errorf("%v; %d are remembered", ctx.Err(), len(c.waits))
	}
}

func TestBendsOutOfBoundsChangeNothing(t *testing.T) {
	c := Lab()
	for _, b := range []Bend{{Jump: 2 * time.Hour}, {Offset: -2 * time.Hour}, {Jump: math.MinInt64}, {Rate: -1}, {Rate: 0.001}, {Rate: 1000}, {Rate: math.NaN()}, {Rate: math.Inf(1)}} {
		if err := c.Bend(b); !errors.Is(err, ErrBend) {
			t.Errorf("%+v: %v", b, err)
		}
	}
	if got := c.Reading(); got.Offset != 0 || got.Rate != 1 {
		t.Errorf("%+v", got)
	}
}
