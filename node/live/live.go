// Package live shows a cluster while it runs: a page, and the stream of what its members say of themselves. A member serves
// it at GET /, and raftlab serve beside its reports; both give it a Source, which is how members are reached.
//
// A Watcher asks only while somebody looks. It asks all members itself, because a browser outside cannot reach them: what the
// page shows is what the one who serves it can see. A member that is cut off shows the others as silent, and that is true.
package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Source reaches members.
type Source interface {
	// Members are those to ask, in the order in which they stand in the ring.
	Members() []Member
	// View is what the member says of itself: see the member's GET /__pyraft/view.
	View(ctx context.Context, address string) (json.RawMessage, error)
	// Follow tells the member's events as they happen, until ctx ends or the member does.
	Follow(ctx context.Context, address string, tell func(Event)) error
}

// Member is one place in the ring.
type Member struct {
	Address string `json:"address"` // by which members know each other
	Name    string `json:"name"`
	// At is where a client reaches it, for the curl line.
	At string `json:"at,omitempty"`
}

// Event is one sentence of a member's trace.
type Event struct {
	Time     time.Time `json:"time"`
	Sentence string    `json:"sentence"`
}

const (
	askEvery   = 250 * time.Millisecond
	askTimeout = 400 * time.Millisecond
	// A member that ended is followed again after this long.
	followAgain  = 500 * time.Millisecond
	viewersMax   = 64
	framesKept   = 256 // of one viewer that is slow; then it loses some
	writeTimeout = 10 * time.Second
)

// Watcher hands what members say to everybody who looks.
type Watcher struct {
	source Source

	mu      sync.Mutex
	viewers map[chan frame]struct{}
	stop    context.CancelFunc // of the asking; nil while nobody looks
	asking  sync.WaitGroup
	seen    map[string]seen
	kept    map[string]frame
}

// frame is one server-sent event.
type frame struct{ name, data string }

// seen is what was last heard of a member.
type seen struct {
	Member
	View  json.RawMessage `json:"view,omitempty"` // the last that it said
	Error string          `json:"error,omitempty"`
	// SilentMs is the time since it last answered, -1 if it never did.
	SilentMs int64 `json:"silent_ms"`

	heard time.Time
}

// Watch makes a Watcher. Nobody is asked yet.
func Watch(source Source) *Watcher {
	return &Watcher{source: source, viewers: map[chan frame]struct{}{}, seen: map[string]seen{}, kept: map[string]frame{}}
}

// Tell sends an event of the server's own to everybody who looks, such as a fault.
func (w *Watcher) Tell(name string, value any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(made(name, value))
}

// Keep is Tell, and tells it to whoever comes later too, until something else is kept by that name: what is in force.
func (w *Watcher) Keep(name string, value any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[name] = made(name, value)
	w.tell(w.kept[name])
}

func made(name string, value any) frame {
	data, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("live: marshal %s: %v", name, err))
	}
	return frame{name, string(data)}
}

func (w *Watcher) tell(f frame) {
	for viewer := range w.viewers {
		select {
		case viewer <- f:
		default:
		}
	}
}

// Serve writes the stream until the client is gone or ctx ends. Its events are "view", all members at one moment; "raft", a
// sentence of one member; and what was told.
func (w *Watcher) Serve(ctx context.Context, out http.ResponseWriter) {
	frames, leave := w.join()
	if frames == nil {
		http.Error(out, "too many look at this page already", http.StatusTooManyRequests)
		return
	}
	defer leave()
	header := out.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	control := http.NewResponseController(out)
	_ = control.SetReadDeadline(time.Time{}) // the server's limits are for requests that end; a write has its own
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-frames:
			if control.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
				return
			}
			if _, err := fmt.Fprintf(out, "event: %s\ndata: %s\n\n", f.name, f.data); err != nil {
				return
			}
			if len(frames) == 0 && control.Flush() != nil {
				return
			}
		}
	}
}

// join adds a viewer; the first starts the asking, the last ends it.
func (w *Watcher) join() (frames chan frame, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.viewers) >= viewersMax {
		return nil, nil
	}
	frames = make(chan frame, framesKept)
	w.viewers[frames] = struct{}{}
	for _, f := range w.kept {
		frames <- f // there is room: it is new
	}
	if w.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		w.stop = stop
		w.asking.Go(func() { w.ask(ctx) })
	}
	return frames, func() { w.leave(frames) }
}

func (w *Watcher) leave(frames chan frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.viewers, frames)
	if len(w.viewers) == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// Close returns when nobody is asked any more. Streams must have ended before.
func (w *Watcher) Close() { w.asking.Wait() }

// ask is the loop: every member, again and again, and each followed by a goroutine that ends with the loop.
func (w *Watcher) ask(ctx context.Context) {
	followed := map[string]context.CancelFunc{}
	var following sync.WaitGroup
	defer following.Wait()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		members := w.source.Members()
		for _, m := range members {
			if followed[m.Address] != nil {
				continue
			}
			one, cancel := context.WithCancel(ctx)
			followed[m.Address] = cancel
			following.Go(func() { w.follow(one, m.Address) })
		}
		for address, cancel := range followed {
			if !slices.ContainsFunc(members, func(m Member) bool { return m.Address == address }) {
				cancel()
				delete(followed, address)
			}
		}
		w.Tell("view", w.round(ctx, members))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// round asks every member once, all at the same time.
func (w *Watcher) round(ctx context.Context, members []Member) map[string]any {
	answers := make([]seen, len(members))
	var asking sync.WaitGroup
	for i, m := range members {
		asking.Go(func() {
			limited, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			answers[i] = w.one(limited, m)
		})
	}
	asking.Wait()
	return map[string]any{"time": time.Now().UTC(), "members": answers}
}

func (w *Watcher) one(ctx context.Context, m Member) seen {
	view, err := w.source.View(ctx, m.Address)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[m.Address]
	s.Member, s.Error, s.SilentMs = m, "", 0
	now := time.Now()
	switch {
	case err == nil:
		s.View, s.heard = view, now
	case s.heard.IsZero():
		s.Error, s.SilentMs = err.Error(), -1
	default:
		s.Error, s.SilentMs = err.Error(), now.Sub(s.heard).Milliseconds()
	}
	w.seen[m.Address] = s
	return s
}

// follow passes the member's events on, and begins again when the member has ended.
func (w *Watcher) follow(ctx context.Context, address string) {
	for ctx.Err() == nil {
		_ = w.source.Follow(ctx, address, func(e Event) { // that it does not answer is in the view
			w.Tell("raft", struct {
				Address string `json:"address"`
				Event
			}{address, e})
		})
		select {
		case <-ctx.Done():
		case <-time.After(followAgain):
		}
	}
}
