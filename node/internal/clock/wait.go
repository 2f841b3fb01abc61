package clock

import (
	"context"
	"sync"
	"time"
)

// wait is a context that ends when a lab's clock has gone on for a while.
type wait struct {
	context.Context // the parent
	done            chan struct{}

	mu  sync.Mutex
	err error // once done is closed

	// Guarded by the clock's mu.
	timer *time.Timer
	left  time.Duration // of its time, at the moment since
	since time.Time
}

func (c *Clock) wait(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	w := &wait{Context: parent, done: make(chan struct{}), left: d, since: time.Now()}
	c.mu.Lock()
	w.timer = time.AfterFunc(time.Duration(float64(d)/c.rate), func() { w.end(context.DeadlineExceeded) })
	c.waits[w] = true
	c.mu.Unlock()
	stop := context.AfterFunc(parent, func() { w.end(parent.Err()) })
	return w, func() {
		stop()
		c.mu.Lock()
		w.timer.Stop()
		delete(c.waits, w)
		c.mu.Unlock()
		w.end(context.Canceled)
	}
}

// bend sets the timer anew after a change of the clock.
func (w *wait) bend(real time.Time, before, after float64, jump time.Duration) {
	w.left -= time.Duration(float64(real.Sub(w.since))*before) + jump
	w.since = real
	w.timer.Reset(max(0, time.Duration(float64(w.left)/after)))
}

// end closes the context, for the first reason.
func (w *wait) end(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = why
		close(w.done)
	}
}

// Deadline is not known: the clock may be bent.
func (w *wait) Deadline() (time.Time, bool) { return time.Time{}, false }

func (w *wait) Done() <-chan struct{} { return w.done }

func (w *wait) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
