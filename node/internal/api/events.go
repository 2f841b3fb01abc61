package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	eventStreamsMax = 64
	// A comment this often keeps proxies from closing a silent stream, and finds clients that are gone.
	eventKeepAlive    = 10 * time.Second
	eventWriteTimeout = 10 * time.Second
)

// eventReply is the data of one event.
type eventReply struct {
	Number   uint64    `json:"number"` // counts from 1 in each life of the process
	Time     time.Time `json:"time"`
	Sentence string    `json:"sentence"`
}

// events tells what happens to this member, from now on, as server-sent events: "raft" with a sentence of the
// trace, "lost" with the number of events that the client was too slow for, and "end" when the member stops.
// A client that comes back gets what happens from then on; its Last-Event-ID cannot be served.
func (s *Server) events(x *exchange) *failure {
	if _, f := known(0).parse(x.r); f != nil {
		return f
	}
	if s.eventStreams.Add(1) > eventStreamsMax {
		s.eventStreams.Add(-1)
		return &failure{status: http.StatusTooManyRequests, code: "too_many_requests", retry: true,
			message: fmt.Sprintf("%d clients follow the events of this member already", eventStreamsMax)}
	}
	defer s.eventStreams.Add(-1)
	x.Header()["Content-Type"] = []string{"text/event-stream"}
	if x.r.Method == http.MethodHead {
		x.WriteHeader(http.StatusOK)
		return nil
	}
	// Before the header goes out: who has read it misses nothing after.
	events, cancel := s.node.Subscribe()
	defer cancel()
	stream := eventStream{x: x, control: http.NewResponseController(x)}
	// The server's limits are for requests that end; each write has its own.
	if err := stream.control.SetReadDeadline(time.Time{}); err != nil {
		panic(fmt.Sprintf("api: events: %v", err))
	}
	keepAlive := time.NewTicker(s.keepAlive)
	defer keepAlive.Stop()
	stream.send(": events of this member from now on\n\n")
	var last uint64
	for stream.err == nil {
		select {
		case event, ok := <-events:
			if !ok {
				stream.send("event: end\ndata: {}\n\n")
				return nil
			}
			if last != 0 && event.Number > last+1 {
				stream.send(fmt.Sprintf("event: lost\ndata: {\"lost\":%d}\n\n", event.Number-last-1))
			}
			last = event.Number
			data, err := json.Marshal(eventReply{event.Number, event.Time, event.Sentence}) // one line
			if err != nil {
				panic(fmt.Sprintf("api: marshal an event: %v", err))
			}
			stream.send(fmt.Sprintf("id: %d\nevent: raft\ndata: %s\n\n", event.Number, data))
		case <-keepAlive.C:
			stream.send(": keep-alive\n\n")
		case <-s.drained:
			stream.send("event: end\ndata: {}\n\n")
			return nil
		case <-x.r.Context().Done():
			return nil
		}
	}
	return nil
}

// eventStream writes until the first error: then the client is gone, or reads nothing any more.
type eventStream struct {
	x       *exchange
	control *http.ResponseController
	err     error
}

func (e *eventStream) send(text string) {
	if e.err == nil {
		e.err = e.control.SetWriteDeadline(time.Now().Add(eventWriteTimeout))
	}
	if e.err == nil {
		_, e.err = e.x.Write([]byte(text))
	}
	if e.err == nil {
		e.err = e.control.Flush()
	}
}
