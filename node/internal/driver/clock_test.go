package driver

import (
	"log/slog"
	"testing"
	"time"

	"raftlab/node/internal/clock"
	"raftlab/raft"
)

// A member whose clock is stepped back hears of no time-out until the clock is past that time again, or straight; one
// whose clock is stepped forward finds its time-out past.
func TestElectionsGoByTheMembersClock(t *testing.T) {
	founded, err := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "n1:8000"}, {ID: 2, Address: "n2:8000"}}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := clock.Lab()
	n, err := Start(Config{
		Raft:    raft.Config{ID: 1, Cluster: 7, ElectionTicks: 1000, HeartbeatTicks: 100},
		Stored:  raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: founded}}},
		Address: "n1:8000", TickEvery: 10 * time.Millisecond, Clock: c, Machine: &machine{}, Transport: nowhere{},
	}, Storage{Log: &gatedLog{}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	events, cancel := n.Subscribe()
	defer cancel()
	asks := func() bool { // for votes; nobody answers
		select {
		case <-events:
			return true
		default:
			return false
		}
	}
	bend := func(b clock.Bend) {
		t.Helper()
		if err := c.Bend(b); err != nil {
			t.Fatal(err)
		}
	}
	bend(clock.Bend{Jump: -time.Hour})
	before := c.Reading().Ticks
	// The step is noticed at a tick, which may be the one that is due already.
	await(t, "the clock has gone on for 50 ms", func(began time.Time) func() bool {
		return func() bool { return time.Since(began) > 50*time.Millisecond }
	}(time.Now()))
	if held := c.Reading().Ticks - before; held > 1 || asks() {
		t.Errorf("%d ticks while the clock was behind", held)
	}
	c.Straighten()
	await(t, "it ticks again", func() bool { return c.Reading().Ticks > 5 })
	for step := 0; step < 12 && !asks(); step++ { // each lets at most 200 ticks pass; 2,000 is the longest time-out
		before := c.Reading().Ticks
		bend(clock.Bend{Jump: time.Minute})
		await(t, "the step is noticed", func() bool { return c.Reading().Ticks > before+100 })
	}
	await(t, "it asks for votes, ten to twenty seconds early", func() bool { return n.Status().Role == raft.PreCandidate })
}
