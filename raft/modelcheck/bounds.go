package modelcheck

import (
	"errors"
	"fmt"

	"raftlab/raft"
)

// Bounds say how far a search goes. Within them it is exhaustive.
type Bounds struct {
	Members    int // voters at the start
	Spares     int // blank members that a change may add
	Terms      int // elections: terms after the one in which the cluster was founded
	Commands   int // proposed in all
	Crashes    int
	Heartbeats int
	StepDowns  int // leaders that hear no majority
	Reads      int
	Changes    int // of membership
	Transfers  int

	// SlowDisk, if not zero, lets a save finish at any later moment, so many of a member's at most being unfinished. Otherwise
	// it finishes at once, unless the member crashes in it.
	SlowDisk int
	// PreVote explores the messages of pre-votes. Otherwise a member may always campaign, which is more than they allow.
	PreVote bool

	AppendBytes int // of entries in one append; zero for the default
	Depth       int // actions from the start; zero for no bound
	States      int // the search gives up beyond; zero for no bound

	lie func(raft.Stored) raft.Stored // what a disk has kept when a member starts: tests plant a bug with it
}

const (
	membersMax = 6
	readsMax   = 2
)

// Validate names every bound that cannot be explored.
func (b Bounds) Validate() error {
	var errs []error
	between := func(name string, value, least, greatest int) {
		if value < least || value > greatest {
			errs = append(errs, fmt.Errorf("modelcheck: %s %d must be between %d and %d", name, value, least, greatest))
		}
	}
	between("Members", b.Members, 1, 5)
	between("Spares", b.Spares, 0, max(membersMax-b.Members, 0))
	between("Terms", b.Terms, 1, 100)
	between("Reads", b.Reads, 0, readsMax)
	for name, value := range map[string]int{"Commands": b.Commands, "Crashes": b.Crashes, "Changes": b.Changes, "Transfers": b.Transfers} {
		between(name, value, 0, 100)
	}
	for name, value := range map[string]int{"Heartbeats": b.Heartbeats, "StepDowns": b.StepDowns, "SlowDisk": b.SlowDisk, "AppendBytes": b.AppendBytes, "Depth": b.Depth, "States": b.States} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("modelcheck: %s %d must not be negative", name, value))
		}
	}
	return errors.Join(errs...)
}

// lastTerm is the greatest that a member may enter. The cluster is founded in term 1.
func (b Bounds) lastTerm() raft.Term { return raft.Term(b.Terms + 1) }

// String is the bounds as the flags of the test that explores them.
func (b Bounds) String() string {
	s := fmt.Sprintf("-members %d -terms %d -commands %d", b.Members, b.Terms, b.Commands)
	for _, f := range []struct {
		name  string
		value int
	}{{"spares", b.Spares}, {"crashes", b.Crashes},
		{"heartbeats", b.Heartbeats}, {"step-downs", b.StepDowns}, {"reads", b.Reads}, {"changes", b.Changes}, {"transfers", b.Transfers}, {"slow-disk", b.SlowDisk}, {"append-bytes", b.AppendBytes}, {"depth", b.Depth}} {
		if f.value != 0 {
			s += fmt.Sprintf(" -%s %d", f.name, f.value)
		}
	}
	if b.PreVote {
		s += " -pre-vote"
	}
	return s
}
