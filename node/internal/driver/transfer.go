package driver

import (
	"context"
	"errors"

	"raftlab/raft"
)

var (
	// ErrTransferFailed says that the target did not take over within an election time-out; the leader stays.
	ErrTransferFailed = errors.New("driver: the member did not take over in time; the leader is the same")
	// ErrNoTarget says that no other voter was heard of lately.
	ErrNoTarget = errors.New("driver: no other voter is there to take over")
)

// Transfer hands leadership to a voter, or, if to is zero, to the one that is furthest (thesis §3.10). It answers when
// another member leads.
func (d *Driver) Transfer(to raft.ID, answer func(raft.ID, error)) {
	if to == 0 && d.raft.Role() == raft.Leader {
		if to = d.bestTarget(); to == 0 {
			answer(0, ErrNoTarget)
			return
		}
	}
	if to == d.raft.ID() && d.raft.Role() == raft.Leader {
		answer(to, nil)
		return
	}
	if err := d.raft.Step(raft.Transfer{To: to}); err != nil {
		answer(0, err)
		return
	}
	d.transfers = append(d.transfers, answer)
	d.pump()
}

func (d *Driver) bestTarget() (best raft.ID) {
	var match raft.Index
	for _, m := range d.members.Members {
		if p, ok := d.raft.Progress(m.ID); ok && !m.Learner && p.Active && p.Match >= match {
			best, match = m.ID, p.Match
		}
	}
	return best
}

// answerTransfers ends the wait when there is another leader, or none was made.
func (d *Driver) answerTransfers() {
	if len(d.transfers) == 0 {
		return
	}
	leader := d.raft.Leader()
	var err error
	switch {
	case d.raft.Role() == raft.Leader && d.raft.TransferTo() == 0:
		err = ErrTransferFailed
	case d.raft.Role() == raft.Leader || leader == 0:
		return
	}
	for _, answer := range d.transfers {
		answer(leader, err)
	}
	d.transfers = nil
}

// Transfer hands leadership to a voter, or to the best one if to is zero, and returns the new leader.
func (n *Node) Transfer(ctx context.Context, to raft.ID) (raft.ID, error) {
	answer := newAnswer[raft.ID]()
	if err := n.post(func(d *Driver) { d.Transfer(to, answer.give) }, func() { answer.give(0, ErrStopped) }); err != nil {
		return 0, err
	}
	return answer.take(ctx, nil)
}

// TakeSnapshot takes a snapshot now and returns the index that it covers. ErrNothingNew is no failure: that index is
// covered already.
func (n *Node) TakeSnapshot(ctx context.Context) (raft.Index, error) {
	answer := newAnswer[raft.Index]()
	if err := n.post(func(d *Driver) { d.TakeSnapshot(answer.give) }, func() { answer.give(0, ErrStopped) }); err != nil {
		return 0, err
	}
	return answer.take(ctx, nil)
}
