package endurance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"raftlab/harness"
)

// grow adds members until there are n.
func (w *world) grow(n int) {
	w.t.Helper()
	for len(w.Places()) < n {
		place, err := harness.Grow(within(w.t, 20*time.Second), w, w.system)
		w.must(err)
		w.agreed(place.Address, true)
		w.served(20)
	}
}

// shrink removes members until there are n: first whoever leads, then followers.
func (w *world) shrink(n int) {
	w.t.Helper()
	for leader := true; len(w.Places()) > n; leader = false {
		led, _, err := harness.AwaitLeader(within(w.t, 10*time.Second), w, w.system)
		w.must(err)
		node := led
		for _, other := range harness.Names(w) {
			if !leader && other != led {
				node = other
			}
		}
		w.remove(node)
	}
}

func (w *world) remove(node string) {
	w.t.Helper()
	i := slices.IndexFunc(w.Places(), func(p harness.Place) bool { return p.Name == node })
	address := w.Places()[i].Address
	w.must(harness.Shrink(within(w.t, 20*time.Second), w, w.system, node))
	w.agreed(address, false)
	w.served(20)
}

// agreed waits until every member tells the same committed configuration, of as many voters as there are processes, with
// or without that address in it.
func (w *world) agreed(address string, in bool) {
	w.t.Helper()
	w.eventually(10*time.Second, func() (bool, string) {
		told, failed, err := harness.Configurations(w.t.Context(), w, w.system)
		w.must(err)
		if len(failed) > 0 {
			return false, fmt.Sprint(failed)
		}
		for node, c := range told {
			if _, found := c.At(address); found != in || !c.Committed || c.Voters() != len(w.Places()) {
				return false, fmt.Sprintf("%s has %s, committed %t; %s in it: %t, wanted %t, with %d voters", node, c, c.Committed, address, found, in, len(w.Places()))
			}
		}
		return true, ""
	})
}

func TestAClusterGrowsAndShrinksUnderLoad(t *testing.T) {
	w := start(t, demand{nodes: 1, clients: 8, rate: 400})
	w.served(20)
	for _, size := range []int{5, 3, 5} {
		w.grow(size)
		w.shrink(size)
		t.Logf("%d members: %v", size, harness.Names(w))
	}
	_, observed := w.settle()
	if len(observed.Elections) < 2 {
		t.Errorf("%d elections, though the leader was removed", len(observed.Elections))
	}
}

func TestEveryMemberIsReplacedUnderLoad(t *testing.T) {
	w := start(t, demand{nodes: 3, clients: 8, rate: 400})
	w.served(20)
	leaders := 0
	for _, old := range harness.Names(w) {
		led, _, err := harness.AwaitLeader(within(t, 10*time.Second), w, w.system)
		w.must(err)
		if led == old {
			leaders++
		}
		w.grow(4)
		w.remove(old)
	}
	if names := harness.Names(w); !slices.Equal(names, []string{"n4", "n5", "n6"}) {
		t.Errorf("the members are %v", names)
	}
	if leaders == 0 {
		t.Error("no leader was among those that were replaced")
	}
	w.settle()
}
