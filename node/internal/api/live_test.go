package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"raftlab/node/internal/peer"
)

func TestAViewHasTheTermsOfTheLastEntriesAndTheLinks(t *testing.T) {
	m := one(t, func(c *Config) {
		c.PeerStats = func() peer.Stats {
			return peer.Stats{Peers: []peer.PeerStats{{ID: 2, Address: "n2:8000", Connected: true, Dropped: 3, RoundTrip: 1500 * time.Microsecond}}}
		}
	})
	for range tailMax + 5 {
		do(t, m, "PUT", "/k", "v").want(t, 200)
	}
	var view viewReply
	decode(t, do(t, m, "GET", viewPath, "").want(t, 200), &view)
	if len(view.Tail.Terms) != tailMax || view.Tail.First != view.Last-tailMax+1 || view.Tail.Terms[0] != view.Term || view.Role != "leader" {
		t.Errorf("tail %+v of a log that ends at %d", view.Tail, view.Last)
	}
	if len(view.Links) != 1 || view.Links[0] != (linkReply{Address: "n2:8000", Connected: true, Dropped: 3, RoundTrip: 1.5}) {
		t.Errorf("links %+v", view.Links)
	}
	do(t, m, "GET", viewPath+"?tial=3", "").want(t, 400)
	do(t, m, "GET", livePath+"?x=1", "").want(t, 400)
}

// From any member, all of them, and the sentences of all: the page shows a cluster and not a member.
func TestTheLiveStreamOfOneMemberShowsAll(t *testing.T) {
	members, network := three(t, nil)
	response, err := http.Get("http://" + members[1].address + livePath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%d %s", response.StatusCode, got)
	}
	frames := make(chan [2]string)
	go func() {
		defer close(frames)
		lines, name := bufio.NewScanner(response.Body), ""
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if after, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = after
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				frames <- [2]string{name, data}
			}
		}
	}()
	type frame struct {
		Members []struct {
			Address, Error string
			Silent         int64 `json:"silent_ms"`
			View           viewReply
		}
	}
	leader, told, elected := "", map[string]bool{}, false
	deadline := time.After(20 * time.Second)
	for leader == "" || !elected || len(told) < 2 {
		select {
		case <-deadline:
			t.Fatalf("leader %q, sentences of %v, elected again %v", leader, told, elected)
		case f, ok := <-frames:
			if !ok {
				t.Fatal("the stream ended")
			}
			switch f[0] {
			case "view":
				var v frame
				if err := json.Unmarshal([]byte(f[1]), &v); err != nil {
					t.Fatal(err)
				}
				if len(v.Members) != 3 {
					t.Fatalf("%d members in %s", len(v.Members), f[1])
				}
				all := true
				for _, m := range v.Members {
					all = all && m.Error == "" && m.Silent == 0 && m.View.Address == m.Address
					if m.View.Role == "leader" && leader != "" && m.Address != leader {
						elected = true
					}
				}
				if all && leader == "" { // everybody answers, and is followed: now there may be an election
					leader = members[0].address
					network.Cut(members[0].id, true)
				}
			case "raft":
				var e struct{ Address, Sentence string }
				if err := json.Unmarshal([]byte(f[1]), &e); err != nil || e.Sentence == "" {
					t.Errorf("%v: %s", err, f[1])
				}
				told[e.Address] = true
			}
		}
	}
}

func TestTheLiveStreamEndsWhenTheMemberStops(t *testing.T) {
	m := one(t, nil)
	response, err := http.Get("http://" + m.address + livePath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	m.server.Drain()
	ended := make(chan struct{})
	go func() {
		for buffer := make([]byte, 1<<16); ; {
			if _, err := response.Body.Read(buffer); err != nil {
				close(ended)
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
