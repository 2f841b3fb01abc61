package api

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"raftlab/node/internal/clock"
	"raftlab/raft"
)

// Without --lab there is no such route, whatever one asks.
func TestNoClockCanBeBentWithoutLab(t *testing.T) {
	m := one(t, nil)
	inside(m.server, "GET", writesPath, "").want(t, 404)
	for _, method := range []string{"GET", "POST"} {
		inside(m.server, method, clockPath+"?jump=1s", "").want(t, 404)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		inside(m.server, method, clockPath, "").want(t, 405)
	}
}

func TestTheLabBendsAClock(t *testing.T) {
	c := clock.Lab()
	m := one(t, func(config *Config) { config.Clock = c; config.Token = "secret" })
	inside(m.server, "POST", clockPath+"?jump=1s", "").want(t, 401)
	ask := func(method, query string) (read clockReply, off time.Duration) {
		t.Helper()
		body := inside(m.server, method, clockPath+query, "", "Authorization", "Bearer secret").want(t, 200).body
		if err := json.Unmarshal([]byte(body), &read); err != nil {
			t.Fatal(err)
		}
		return read, read.Now.Sub(time.Now())
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if (got - want).Abs() > 200*time.Millisecond {
			t.Errorf("%s: the clock is off by %v, want %v", what, got, want)
		}
	}
	_, off := ask("GET", "")
	near("straight", off, 0)
	_, off = ask("POST", "?jump=-3s")
	near("after a jump", off, -3*time.Second)
	read, off := ask("POST", "?offset=10s&rate=0.5")
	near("and an offset", off, 7*time.Second)
	if read.Rate != 0.5 || read.OffsetMs != 7000 {
		t.Errorf("it says %+v, want a rate of 0.5 and an offset of 7000 ms", read)
	}
	read, off = ask("DELETE", "")
	near("straightened", off, 0)
	if read.Rate != 1 || read.OffsetMs != 0 {
		t.Errorf("straightened it says %+v", read)
	}
	for _, query := range []string{"", "?jump=", "?jump=5", "?jump=2h", "?rate=0", "?rate=-1", "?rate=NaN", "?rate=1000", "?offset=fast", "?hands=3", "?jump=1s&jump=2s"} {
		inside(m.server, "POST", clockPath+query, "", "Authorization", "Bearer secret").want(t, 400)
	}
	inside(m.server, "PUT", clockPath, "", "Authorization", "Bearer secret").want(t, 405)
	if got := c.Reading(); got.Offset != 0 || got.Rate != 1 {
		t.Errorf("a refused request left %+v", got)
	}
}

// How long a request may take is a matter of the member's clock: a step forward ends its patience.
func TestRequestsTimeOutByTheMembersClock(t *testing.T) {
	c := clock.Lab()
	node := &bent{}
	m := one(t, func(config *Config) { config.Clock = c; node.Node = config.Node; config.Node = node })
	node.read = func(ctx context.Context) (raft.Index, error) {
		if err := c.Bend(clock.Bend{Jump: 50 * time.Second}); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	began := time.Now()
	inside(m.server, "GET", "/k?timeout=40s", "").want(t, 503)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("40 s of a clock that was stepped by 50 took %v", took)
	}
}
