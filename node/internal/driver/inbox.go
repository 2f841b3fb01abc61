package driver

import "raftlab/raft"

// Inbox is what waits for the owner of a Driver. It has no lock. What arrives while the owner is busy is taken together
// the next time.
type Inbox struct {
	Saved     []raft.Save
	Messages  []raft.Message
	Other     []func(*Driver)
	Reads     []func(raft.Index, error)
	Proposals []Proposal
}

// GiveTo gives the Driver everything, in an order that lets one pass do most: what the disk finished, then messages,
// then what clients want.
func (in *Inbox) GiveTo(d *Driver) {
	if len(in.Saved) > 0 {
		d.Saved(in.Saved)
	}
	if len(in.Messages) > 0 {
		d.Deliver(in.Messages)
	}
	for _, do := range in.Other {
		do(d)
	}
	if len(in.Reads) > 0 {
		d.Read(in.Reads)
	}
	if len(in.Proposals) > 0 {
		d.Propose(in.Proposals)
	}
}
