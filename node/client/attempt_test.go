package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/client"
)

// What may be concluded from what members answer, one attempt after the other; the last answer is given for ever.
func TestNothingIsCalledAFailureThatMayHaveHappened(t *testing.T) {
	for _, c := range []struct {
		answers string // ok, lost, or a status
		fate    client.Fate
		says    string
		asked   int // exactly, where that is known
	}{
		{"ok", client.OK, "", 1},
		{"503 ok", client.OK, "", 2},
		{"504 ok", client.OK, "", 2},
		{"lost ok", client.OK, "", 2},
		{"429 409 408 307 ok", client.OK, "", 5},
		{"400", client.Failed, "said 400; nothing was done", 1},
		{"503 401", client.Failed, "said 401; nothing was done", 2},
		{"504 401", client.Unknown, "said 401; it may have been done", 2},
		{"412", client.Failed, "said 412", 1},
		{"504 412", client.Failed, "said 412", 2}, // the answer to the key of both attempts
		{"503", client.Failed, "the last said: said 503; nothing was done", 0},
		{"504", client.Unknown, "the last said: said 504; it may have been done", 0},
		{"500 503", client.Unknown, "it may have been done", 0},
		{"lost", client.Unknown, "no answer", 0},
		{"503 lost", client.Unknown, "it may have been done", 0},
		// Of somebody who is no member: a proxy that has sent the request on, or what has its address now.
		{"proxy503", client.Unknown, "no member, and said 503 Service Unavailable; it may have been done", 0},
		{"proxy503 401", client.Unknown, "it may have been done", 2},
		{"proxy204 ok", client.OK, "", 2},
		{"proxy302 401", client.Unknown, "it may have been done", 2},
		{"proxy307 503 401", client.Unknown, "it may have been done", 3},
		{"proxy200 ok", client.OK, "", 2},
		{"proxy200", client.Unknown, "no member, and said 200 OK", 0},
		{"proxy400", client.Failed, "said 400 Bad Request; nothing was done", 1},
		{"504 proxy412", client.Unknown, "said 412 Precondition Failed; it may have been done", 2},
		{"503 forgotten ok", client.OK, "", 3},
		{"504 forgotten", client.Unknown, "said 409; it may have been done", 2},
	} {
		t.Run(c.answers, func(t *testing.T) {
			t.Parallel()
			answers := strings.Fields(c.answers)
			var mu sync.Mutex
			asked, keys := 0, map[string]bool{}
			patience := 10 * time.Second
			if c.asked == 0 { // it ends with the context only, when it has heard all
				patience = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				answer := answers[min(asked, len(answers)-1)]
				asked++
				keys[r.Header.Get("Idempotency-Key")+" "+r.Header.Get("Idempotency-Since")] = true
				mu.Unlock()
				_, _ = io.Copy(io.Discard, r.Body)
				code, strange := strings.CutPrefix(answer, "proxy")
				status, err := strconv.Atoi(code)
				if !strange {
					w.Header().Set("Raft-Served-By", "n1:8000")
				}
				switch {
				case answer == "lost":
					panic(http.ErrAbortHandler)
				case answer == "forgotten":
					w.Header().Set("Raft-Index", "70")
					w.WriteHeader(http.StatusConflict)
					_, _ = io.WriteString(w, `{"error":"idempotency_key_forgotten","message":"said 409"}`)
				case err == nil:
					w.WriteHeader(status)
					_, _ = fmt.Fprintf(w, `{"error":"e%d","message":"said %d"}`, status, status)
				}
			}))
			defer server.Close()
			_, err := connect(t, strings.TrimPrefix(server.URL, "http://")).Put(ctx, "k", client.Value{})
			if fate := client.Done(err); fate != c.fate || err != nil && !strings.Contains(err.Error(), c.says) || (err == nil) != (c.fate == client.OK) {
				t.Errorf("%v: %v, want %v: %q", fate, err, c.fate, c.says)
			}
			mu.Lock()
			defer mu.Unlock()
			if c.asked > 0 && asked != c.asked || asked == 0 {
				t.Errorf("asked %d times, want %d", asked, c.asked)
			}
			anew := 1
			if strings.Contains(c.answers, "forgotten ok") {
				anew = 2
			}
			for key := range keys {
				if k, since, _ := strings.Cut(key, " "); k == "" || since != "1" && since != "70" || len(keys) != anew {
					t.Errorf("the attempts had keys and since %v, want %d", keys, anew)
				}
			}
			if c.asked == 0 && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not say that the time was over", err)
			}
		})
	}
}

func TestWhatNeverLeftIsAFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	for _, patience := range []time.Duration{0, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err = connect(t, nobody).Put(ctx, "k", client.Value{})
		if client.Done(err) != client.Failed || !strings.HasSuffix(err.Error(), "; nothing was done") {
			t.Errorf("%v: %v", client.Done(err), err)
		}
	}
}

// The leader that a member names is asked next, if it is one of those that were given.
func TestTheLeaderThatIsNamedIsAskedNext(t *testing.T) {
	var mu sync.Mutex
	var asked, members []string
	for range 3 {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, r.Host)
			w.Header().Set("Raft-Served-By", r.Host)
			if r.Host != members[2] {
				w.Header().Set("Raft-Leader", members[2])
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Raft-Leader", "n7:8000") // an address of its own network
		}))
		defer server.Close()
		members = append(members, strings.TrimPrefix(server.URL, "http://"))
	}
	c := connect(t, members...)
	for range 2 {
		if _, err := c.Get(within(t), "k"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(asked, []string{members[0], members[2], members[2]}) {
		t.Errorf("asked %v of %v", asked, members)
	}
}

// A member does a write and dies before it answers, on a connection that was kept. http.Transport sends the write again by
// itself, and the answer to that, of the member that is starting again, is that nothing was done: with the second.
func TestWhatTheTransportSendsAgainIsUnknown(t *testing.T) {
	for _, again := range []int{http.StatusServiceUnavailable, http.StatusUnauthorized} {
		var writes atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Raft-Served-By", r.Host)
			switch {
			case r.Method == http.MethodGet:
			case writes.Add(1) == 1:
				panic(http.ErrAbortHandler)
			default:
				w.WriteHeader(again)
			}
		}))
		defer server.Close()
		c := connect(t, strings.TrimPrefix(server.URL, "http://"))
		if _, err := c.Get(within(t), "k"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := c.Delete(ctx, "k"); client.Done(err) != client.Unknown || writes.Load() < 2 {
			t.Errorf("%d after %d writes: %v", again, writes.Load(), err)
		}
	}
}

// Three calls find out at once that the first of three members is of no use. None of them asks it again.
func TestCallsThatFailTogetherGoOnTogether(t *testing.T) {
	var asked atomic.Int64
	var waiting sync.WaitGroup
	waiting.Add(3)
	bad := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) <= 3 {
			waiting.Done()
		}
		waiting.Wait()
		panic(http.ErrAbortHandler)
	}))
	defer bad.Close()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Raft-Served-By", r.Host) }))
	defer good.Close()
	host := strings.TrimPrefix(good.URL, "http://")
	c := connect(t, strings.TrimPrefix(bad.URL, "http://"), host, host)
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			if _, err := c.Put(within(t), "k", client.Value{}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := asked.Load(); n != 3 {
		t.Errorf("the bad member was asked %d times by 3 calls", n)
	}
}
