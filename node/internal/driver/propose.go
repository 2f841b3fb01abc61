package driver

import "raftlab/raft"

// Propose asks for commands to be committed, all in one batch. While the leader's own disk writes they are held, and
// go into the log together when it is done: one append, one message to each member, one write, one sync for all of
// them (thesis §10.2.2). A tick lets them go in any case, so that a slow disk delays them by no more than that.
func (d *Driver) Propose(proposals []Proposal) {
	d.held = append(d.held, proposals...)
	if !d.diskBusy() {
		d.proposeHeld()
	}
	d.pump()
}

// diskBusy reports whether this leader's disk has not yet done all that it was given.
func (d *Driver) diskBusy() bool {
	return d.raft.Role() == raft.Leader && d.raft.StableIndex() < d.raft.LastIndex()
}

func (d *Driver) proposeHeld() {
	if len(d.held) == 0 {
		return
	}
	proposals := d.held
	d.held = nil
	// What has no room must not take the rest of the batch along: each of its clients asked for itself.
	if n := fitting(proposals, d.raft.Room()); n > 0 {
		for _, p := range proposals[n:] {
			p.Answer(Applied{}, ErrOverloaded)
		}
		proposals = proposals[:n]
	}
	commands := make([][]byte, len(proposals))
	for i, p := range proposals {
		commands[i] = p.Command
	}
	if err := d.raft.Step(raft.Propose{Commands: commands}); err != nil {
		for _, p := range proposals {
			p.Answer(Applied{}, err)
		}
		return
	}
	first := d.raft.LastIndex() - raft.Index(len(commands)) + 1
	for i, p := range proposals {
		d.wait(first+raft.Index(i), p.Answer)
	}
}

// fitting counts the first proposals that have room together. If the first has none, Raft says what is to become of them.
func fitting(proposals []Proposal, room int) int {
	size := 0
	for i, p := range proposals {
		if size += len(p.Command); size > room {
			return i
		}
	}
	return len(proposals)
}
