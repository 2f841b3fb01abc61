package driver

import (
	"context"

	"raftlab/raft"
)

// Tail is the terms of the last entries of the log, the oldest first.
type Tail struct {
	First raft.Index // of the oldest of them
	Terms []raft.Term
}

// Tail tells the terms of at most so many of the last entries. It costs the loop nothing while nobody asks.
func (n *Node) Tail(ctx context.Context, most int) (Tail, error) {
	answer := newAnswer[Tail]()
	if err := n.post(func(d *Driver) { answer.give(d.tail(most), nil) }, func() { answer.give(Tail{}, ErrStopped) }); err != nil {
		return Tail{}, err
	}
	return answer.take(ctx, nil)
}

func (d *Driver) tail(most int) Tail {
	last := d.raft.LastIndex()
	first := d.raft.FirstIndex()
	if n := raft.Index(most); last >= n {
		first = max(first, last-n+1)
	}
	t := Tail{First: first, Terms: []raft.Term{}}
	for i := first; i <= last; i++ {
		term, ok := d.raft.TermAt(i)
		if !ok {
			return Tail{First: last + 1, Terms: []raft.Term{}} // compacted while we looked: there is nothing of it
		}
		t.Terms = append(t.Terms, term)
	}
	return t
}
