package modelcheck

import (
	"fmt"
	"strings"

	"raftlab/raft"
)

// script tells a way in the words of raft/testdata, for a cluster whose timers are normalized as here. There is nothing
// below the lines of dashes: what the members say is filled in by go test ./raft -run TestScripts -rewrite.
func (x *search) script(way []action) string {
	t := teller{world: x.world}
	t.begin(x.options.Bounds)
	now := x.root
	for _, a := range way {
		o := x.one(now.members[a.member], a)
		t.tell(a)
		if o.possible {
			now.members[a.member] = o.after
		}
		t.pile = append(t.pile, o.sent...)
	}
	return t.String()
}

// teller knows the pile of messages as the script will have it.
type teller struct {
	*world
	strings.Builder
	pile []uint32
}

func (t *teller) word(format string, args ...any) {
	fmt.Fprintf(t, format, args...)
	t.WriteString("\n----\n\n")
}

func (t *teller) begin(b Bounds) {
	bytes := ""
	if b.AppendBytes > 0 {
		bytes = fmt.Sprintf(" append-bytes=%d", b.AppendBytes)
	}
	t.word("cluster %d explored%s", b.Members, bytes)
	for i := range b.Spares {
		t.word("blank %d", b.Members+i+1)
	}
	for i := range b.size() {
		if b.SlowDisk > 0 {
			t.word("disk %d hold", i+1)
		}
	}
}

func (t *teller) tell(a action) {
	id := int(a.member) + 1
	within := a.torn != whole && a.kind != crash // the action's own save is cut short
	if within {
		t.word("disk %d hold", id)
	}
	switch a.kind {
	case deliver:
		t.deliver(a)
	case timeout:
		if t.bounds.PreVote {
			t.word("timeout %d", id)
		} else {
			t.word("campaign %d", id)
		}
	case heartbeat:
		t.word("tick %d", id)
	case stepDown:
		t.word("unheard %d", id)
	case propose:
		t.word("propose %d x", id)
	case read:
		t.word("read %d context=%d", id, a.arg)
	case change:
		c := changeOf(a.arg)
		what := map[raft.ChangeType]string{raft.AddLearner: "add", raft.Promote: "promote", raft.Remove: "remove"}[c.Type]
		t.word("change %d %s=%d", id, what, c.Member.ID)
	case transfer:
		t.word("transfer %d to=%d", id, a.arg)
	case save:
		t.word("disk %d release n=1", id)
	}
	if a.torn != whole {
		t.word("restart %d torn=%d", id, a.torn)
	}
	if within {
		t.word("disk %d release", id)
	}
}

// deliver names a message by its type and members, behind those of the same description that were sent before.
func (t *teller) deliver(a action) {
	m := t.messages.values[a.arg]
	which := fmt.Sprintf("type=%s from=%d to=%d", strings.ReplaceAll(m.Type.String(), " ", "_"), m.From, m.To)
	var before, others []uint32
	found := false
	for _, n := range t.pile {
		o := t.messages.values[n]
		alike := o.Type == m.Type && o.From == m.From && o.To == m.To
		switch {
		case n == a.arg && !found:
			found = true
			others = append(others, n)
		case alike && !found:
			before = append(before, n)
		default:
			others = append(others, n)
		}
	}
	t.pile = append(others, before...)
	if len(before) > 0 {
		t.word("postpone %s n=%d", which, len(before))
	}
	t.word("copy %s n=1", which) // it stays, and may arrive again
}
