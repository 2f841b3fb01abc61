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

// GiveTo gives the Driver everything, and lets it act on all of it at once: what the disk finished and what members
// answered first, so that what it commits is said by the appends of what clients want.
func (in *Inbox) GiveTo(d *Driver) {
	d.saved(in.Saved)
	d.deliver(in.Messages)
	for _, do := range in.Other {
		do(d)
	}
	if len(in.Reads) > 0 {
		d.read(in.Reads)
	}
	d.Propose(in.Proposals)
}
