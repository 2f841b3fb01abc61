package driver

import (
	"sync"
	"time"

	"raftlab/node/internal/clock"
)

// Event is one sentence of the trace: what happened to this member.
type Event struct {
	Number   uint64 // counts from 1 in each life of the process; a gap means that events were lost on the way
	Time     time.Time
	Sentence string
}

// eventsBuffered is how many events wait for a subscriber that is slow. Then it loses some, and nobody waits.
const eventsBuffered = 256

// events hands each event to every subscriber.
type events struct {
	sync.Mutex
	clock       *clock.Clock
	number      uint64
	subscribers map[chan Event]struct{}
	closed      bool
}

func (e *events) publish(sentence string) {
	e.Lock()
	defer e.Unlock()
	e.number++
	event := Event{e.number, e.clock.Now(), sentence}
	for c := range e.subscribers {
		select {
		case c <- event:
		default:
		}
	}
}

// Subscribe returns the events from now on. The channel is closed by cancel, or when the node stops.
func (n *Node) Subscribe() (events <-chan Event, cancel func()) {
	e := &n.events
	e.Lock()
	defer e.Unlock()
	c := make(chan Event, eventsBuffered)
	if e.closed {
		close(c)
		return c, func() {}
	}
	if e.subscribers == nil {
		e.subscribers = map[chan Event]struct{}{}
	}
	e.subscribers[c] = struct{}{}
	return c, func() {
		e.Lock()
		defer e.Unlock()
		if _, ok := e.subscribers[c]; ok {
			delete(e.subscribers, c)
			close(c)
		}
	}
}

func (e *events) close() {
	e.Lock()
	defer e.Unlock()
	e.closed = true
	for c := range e.subscribers {
		close(c)
	}
	clear(e.subscribers)
}
