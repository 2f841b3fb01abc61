package peer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"raftlab/raft"
)

// TestOnlyAMemberIsBelievedThatWeWereRemoved: at the address of a member that is gone anything may answer, also with 410.
func TestOnlyAMemberIsBelievedThatWeWereRemoved(t *testing.T) {
	for cluster, believed := range map[string]bool{"": false, hexID(0xbad): false, hexID(uint64(ours)): true} {
		told, asked := make(chan raft.ID, 100), make(chan struct{}, 100)
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked <- struct{}{}
			w.Header().Set(headerCluster, cluster)
			http.Error(w, "the page has gone", http.StatusGone)
		}))
		a := newNode(t, 1, func(c *Config) { c.OnRemoved = func(by raft.ID) { told <- by } })
		a.SetMembers([]raft.Member{{ID: 2, Address: other.Listener.Addr().String()}})
		for range 3 { // the answer to the first is done with when the second comes
			select {
			case <-asked:
			case <-time.After(10 * time.Second):
				t.Fatal("it was not asked")
			}
		}
		if got := len(told) > 0; got != believed {
			t.Errorf("of cluster %q: believed %t", cluster, got)
		}
		other.Close()
	}
}

// TestForgedRefusalsDoNotFillTheLog: ids are the caller's choice, and so is half of a reason.
func TestForgedRefusalsDoNotFillTheLog(t *testing.T) {
	n := newNode(t, 2, nil)
	began := time.Now()
	lines := func(from raft.ID, at time.Duration) (lines int) {
		for i := range raft.ID(5000) {
			if n.isNews(from+i, 409, began.Add(at)) {
				lines++
			}
		}
		return lines
	}
	if got := lines(1000, 0); got != refusalLinesMax {
		t.Errorf("%d lines of 5000 ids", got)
	}
	if n.isNews(1, 409, began.Add(59*time.Second)) || !n.isNews(1, 409, began.Add(time.Minute)) || n.isNews(1, 409, began.Add(3*time.Minute)) {
		t.Error("who goes on asking has one line, in the next minute")
	}
	for minute := range time.Duration(100) {
		lines(raft.ID(minute*10000), (4+minute)*time.Minute)
	}
	n.isNews(7, 400, began.Add(1000*time.Minute))
	if n.isNews(7, 400, began.Add(1002*time.Minute)) || !n.isNews(7, 410, began.Add(1002*time.Minute)) {
		t.Error("another status is news, the same is not")
	}
	if len(n.refused) > refusalsMax {
		t.Errorf("%d refusals are remembered", len(n.refused))
	}
}

// TestAPageThatChangesIsOneLine: what answers at a member's address may put the time of day into each refusal.
func TestAPageThatChangesIsOneLine(t *testing.T) {
	asked := make(chan struct{}, 100)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		http.Error(w, fmt.Sprintf("no such page, %d", len(asked)), http.StatusNotFound)
	}))
	defer other.Close()
	a := newNode(t, 1, nil)
	a.SetMembers([]raft.Member{{ID: 2, Address: other.Listener.Addr().String()}})
	eventually(t, "five refusals", func() bool { return len(asked) >= 5 })
	if n := a.log.count("peer refused the stream"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
