package endurance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
)

// amount reads a size of a test from the environment: what fits into `make test` is the default, what was promised is
// asked for by name.
func amount(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		t.Logf("%s=%d (the default)", name, otherwise)
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; it must be a whole number above 0", name, text)
	}
	return n
}

// Any members, all of them too, are killed at any moment, and started again on the data that they left. Some are killed
// again while they still come up. Nothing that was acknowledged may be lost, or come back.
func TestKilledMembersLoseNothing(t *testing.T) {
	rounds := amount(t, "RAFTLAB_ROUNDS", 3)
	w := start(t, demand{nodes: 3, clients: 8, rate: 800})
	random := rand.New(rand.NewPCG(w.seed, 1))
	killed, all := 0, 0
	for round := range rounds {
		if round == 0 || random.IntN(4) > 0 {
			w.served(1 + random.IntN(60))
		}
		<-time.After(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		victims := w.victims(random)
		for _, node := range victims {
			w.must(w.Kill(within(t, 10*time.Second), node, syscall.SIGKILL))
		}
		<-time.After(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		for _, node := range victims {
			w.must(w.Start(within(t, 10*time.Second), node))
		}
		killed += len(victims)
		if len(victims) == len(w.Places()) {
			all++
		}
	}
	counts, observed := w.settle()
	t.Logf("%d rounds, %d kills, %d times all members at once, %d elections", rounds, killed, all, len(observed.Elections))
	if counts.OK < rounds {
		t.Errorf("%d operations in %d rounds", counts.OK, rounds)
	}
}

// victims is any set of members but the empty one.
func (w *world) victims(random *rand.Rand) []string {
	members := harness.Names(w)
	set := 1 + random.IntN(1<<len(members)-1)
	var chosen []string
	for i, node := range members {
		if set&(1<<i) != 0 {
			chosen = append(chosen, node)
		}
	}
	return chosen
}

// A member that was away for longer than the log is kept comes back by the leader's snapshot, while clients write.
func TestAMemberThatMissedMuchComesBackBySnapshot(t *testing.T) {
	entries := amount(t, "RAFTLAB_ENTRIES", 2000)
	keep := max(entries/10, 10)
	w := start(t, demand{nodes: 3, clients: 64, rate: 1e6, keys: 64, timeout: 5 * time.Second, weights: harness.Weights{Get: 1, Put: 9},
		args: []string{"--snapshot-entries", fmt.Sprint(keep), "--tail-entries", fmt.Sprint(keep / 10)}})
	w.served(20)
	leader, _, err := harness.AwaitLeader(within(t, 10*time.Second), w, w.system)
	w.must(err)
	var away string
	for _, node := range harness.Names(w) {
		if node != leader {
			away = node
		}
	}
	last := w.status(away).Applied
	w.must(w.Kill(within(t, 10*time.Second), away, syscall.SIGKILL))
	began := time.Now()
	w.eventually(5*time.Minute, func() (bool, string) {
		now := w.status(leader).Applied
		return now >= last+uint64(entries), fmt.Sprintf("%d of %d entries", now-min(last, now), entries)
	})
	missed, took := w.status(leader).Applied-last, time.Since(began)
	w.must(w.Start(within(t, 10*time.Second), away))
	began = time.Now()
	w.eventually(60*time.Second, func() (bool, string) {
		now := w.status(away).Applied
		return now >= last+missed, fmt.Sprintf("%s has %d of %d entries", away, now, last+missed)
	})
	back, written := time.Since(began), w.status(leader).Applied-last-missed
	if n := w.metric(away, "raft_snapshots_installed_total"); n < 1 {
		t.Errorf("%s has installed %v snapshots", away, n)
	}
	w.served(20)
	w.settle()
	t.Logf("%s missed %d entries in %v, and was back %v after its start by a snapshot, while %d more were written", away, missed, took.Round(time.Millisecond), back.Round(time.Millisecond), written)
	if written == 0 {
		t.Error("nobody wrote while it came back")
	}
}
