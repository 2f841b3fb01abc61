package live

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Two members: a answers, b does not.
type two struct {
	asked atomic.Int64
	open  atomic.Int64
}

func (*two) Members() []Member {
	return []Member{{Address: "a:1", Name: "n1"}, {Address: "b:2", Name: "n2"}}
}

func (s *two) View(_ context.Context, address string) (json.RawMessage, error) {
	s.asked.Add(1)
	if address == "b:2" {
		return nil, errors.New("connection refused")
	}
	return json.RawMessage(`{"term":3}`), nil
}

func (s *two) Follow(ctx context.Context, address string, tell func(Event)) error {
	if address == "b:2" {
		return errors.New("connection refused")
	}
	s.open.Add(1)
	defer s.open.Add(-1)
	for {
		tell(Event{Sentence: "n1@3 leader: commit 7"})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// record is a reply that may be read while it is written.
type record struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ResponseRecorder.Write(b)
}

func (r *record) SetReadDeadline(time.Time) error  { return nil }
func (r *record) SetWriteDeadline(time.Time) error { return nil }

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Body.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestMembersAreAskedOnlyWhileSomebodyLooks(t *testing.T) {
	source := &two{}
	w := Watch(source)
	if source.asked.Load() != 0 {
		t.Error("asked before anybody looked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &record{ResponseRecorder: httptest.NewRecorder()}
	var serving sync.WaitGroup
	serving.Go(func() { w.Serve(ctx, out) })
	for _, want := range []string{
		"event: view\ndata: {", `"address":"a:1","name":"n1","view":{"term":3},"silent_ms":0`, `"address":"b:2","name":"n2","error":"connection refused","silent_ms":-1`,
		"event: raft\ndata: {\"address\":\"a:1\",", "n1@3 leader: commit 7",
	} {
		eventually(t, want, func() bool { return strings.Contains(out.text(), want) })
	}
	w.Keep("faults", []string{"pause n2"})
	w.Keep("faults", []string{"pause n1"})
	later := &record{ResponseRecorder: httptest.NewRecorder()}
	serving.Go(func() { w.Serve(ctx, later) })
	eventually(t, "what is in force, for who came later", func() bool {
		return strings.Contains(later.text(), "event: faults\ndata: [\"pause n1\"]\n\n") && !strings.Contains(later.text(), "pause n2")
	})
	w.Tell("lab", map[string]string{"sentence": "killed n1"})
	eventually(t, "what was told", func() bool { return strings.Contains(out.text(), "event: lab\ndata: {\"sentence\":\"killed n1\"}\n\n") })
	cancel()
	serving.Wait()
	w.Close()
	if source.open.Load() != 0 {
		t.Error("a member is still followed")
	}
	before := source.asked.Load()
	time.Sleep(2 * askEvery)
	if source.asked.Load() != before {
		t.Error("members are still asked")
	}
}

func TestThereIsABoundOnThoseWhoLook(t *testing.T) {
	w := Watch(&two{})
	var leave []func()
	for range viewersMax {
		_, l := w.join()
		leave = append(leave, l)
	}
	out := httptest.NewRecorder()
	w.Serve(t.Context(), out)
	if out.Code != 429 {
		t.Errorf("%d", out.Code)
	}
	for _, l := range leave {
		l()
	}
	w.Close()
}

func TestEventsOfAMemberAreRead(t *testing.T) {
	stream := ": hello\n\nid: 1\nevent: raft\ndata: {\"number\":1,\"time\":\"2026-01-02T03:04:05Z\",\"sentence\":\"n1@2 leader: commit 3\"}\n\nevent: lost\ndata: {\"lost\":4}\n\nevent: end\ndata: {}\n\n"
	var got []string
	if err := ReadEvents(strings.NewReader(stream), func(e Event) { got = append(got, e.Sentence) }); err != nil || len(got) != 1 || got[0] != "n1@2 leader: commit 3" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestThePageIsSmallAndFitsItsPolicy(t *testing.T) {
	page, err := Page(Options{Title: `a "title" </script>`, Events: "/events", Keys: "/v1/kv/", Curl: "curl", URL: "http://127.0.0.1:8000"})
	if err != nil {
		t.Fatal(err)
	}
	if len(page) >= 60_000 {
		t.Errorf("%d bytes; below 60,000 are promised", len(page))
	}
	text := string(page)
	for _, want := range []string{"<style>" + pageCSS + "</style>", "<script>" + pageJS + "</script>", `data-events="/events"`, `data-url="http://127.0.0.1:8000"`, "a &#34;title&#34; &lt;/script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %.60s", want)
		}
	}
	for _, digest := range []string{digest(pageCSS), digest(pageJS)} {
		if !strings.Contains(Policy, "'sha256-"+digest+"'") {
			t.Errorf("policy %s", Policy)
		}
	}
}
