package driver

import (
	"testing"

	"raftlab/raft"
)

// restart runs a member again on what its disk holds, and forgets what was on its way to it.
func (tb *table) restart(id raft.ID) {
	tb.t.Helper()
	r := tb.drivers[id].raft
	tb.add(id, 7, raft.HardState{Term: r.Term(), Vote: r.Vote()}, r.Entries())
	tb.pile = nil
}

// untilCaughtUp lets a member tick and everything move, and wants that nobody calls itself caught up who has not applied
// all that was committed before.
func (tb *table) untilCaughtUp(ticking raft.ID, committed raft.Index) {
	tb.t.Helper()
	all := func() bool {
		n := 0
		for _, id := range tb.ids() {
			s := tb.drivers[id].Status()
			if s.CaughtUp && s.Applied < committed {
				tb.t.Fatalf("n%d calls itself caught up at %d, and %d was committed before it started", id, s.Applied, committed)
			}
			if s.CaughtUp {
				n++
			}
		}
		return n == len(tb.drivers)
	}
	for range 2000 {
		switch {
		case all():
			return
		case len(tb.pile) > 0:
			m := tb.pile[0]
			tb.pile = tb.pile[1:]
			tb.drivers[m.To].Deliver([]raft.Message{m})
		default:
			tb.drivers[ticking].Tick()
		}
		all()
		for _, id := range tb.ids() {
			tb.release(id)
		}
	}
	tb.t.Fatal("they do not catch up")
}

// TestARestartedMemberHasCaughtUpWhenALeaderSaysSo, and not when it has applied all that it knows to be committed: after
// a restart that is nothing, because a commit index is not kept on the disk.
func TestARestartedMemberHasCaughtUpWhenALeaderSaysSo(t *testing.T) {
	tb := newTable(t, 3)
	tb.elect(1)
	for _, command := range []string{"x", "y", "z"} {
		tb.propose(1, command)
		tb.settle()
	}
	committed := tb.drivers[1].raft.Committed()
	tb.untilCaughtUp(1, committed)

	tb.restart(3)
	if s := tb.drivers[3].Status(); s.CaughtUp || s.Applied != s.Commit || s.Applied >= committed {
		t.Fatalf("n3 has heard of nobody: caught up %v at %d of %d", s.CaughtUp, s.Applied, s.Commit)
	}
	tb.untilCaughtUp(1, committed)

	// All start again: the next leader begins by naming nothing as committed, and that is no news.
	for _, id := range tb.ids() {
		tb.restart(id)
	}
	tb.untilCaughtUp(2, committed)
}
