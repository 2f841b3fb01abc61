package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Member is one server of a Configuration. The address is only a label: who it is, is its ID.
type Member struct {
	ID      ID
	Address string
	Learner bool // receives the log, has no vote (thesis §4.2.1)
}

// Configuration is the set of members, sorted by ID, and who is out for good. It is never changed in place.
type Configuration struct {
	Members []Member
	// Removed are the ids that were removed last, oldest first: an id is one life of a member, and does not come back.
	Removed []ID
}

// removedMax bounds Removed. Changes are made by people; who was removed a thousand changes ago is gone.
const removedMax = 1000

// ChangeType says what a Change does.
type ChangeType uint8

const (
	AddLearner ChangeType = iota + 1 // a new member, without a vote
	Promote                          // a learner that has caught up becomes a voter
	Remove                           // voter or learner, the leader included
)

func (t ChangeType) String() string {
	switch t {
	case AddLearner:
		return "add learner"
	case Promote:
		return "promote"
	case Remove:
		return "remove"
	}
	return fmt.Sprintf("change type %d", uint8(t))
}

// Change is one step from a Configuration to the next: of one member only, so that any majority of the
// one and any majority of the other share a member (thesis §4.1).
type Change struct {
	Type   ChangeType
	Member Member
}

// Find returns the member with the id.
func (c Configuration) Find(id ID) (Member, bool) {
	i, ok := slices.BinarySearchFunc(c.Members, id, func(m Member, id ID) int {
		switch {
		case m.ID < id:
			return -1
		case m.ID > id:
			return 1
		}
		return 0
	})
	if !ok {
		return Member{}, false
	}
	return c.Members[i], true
}

// FindAddress returns the member at the address.
func (c Configuration) FindAddress(address string) (Member, bool) {
	for _, m := range c.Members {
		if m.Address == address {
			return m, true
		}
	}
	return Member{}, false
}

// IsVoter reports whether the member exists and has a vote.
func (c Configuration) IsVoter(id ID) bool {
	m, ok := c.Find(id)
	return ok && !m.Learner
}

// Voters counts the members that have a vote.
func (c Configuration) Voters() int {
	n := 0
	for _, m := range c.Members {
		if !m.Learner {
			n++
		}
	}
	return n
}

// Quorum is the number of voters that make a majority (§5.2).
func (c Configuration) Quorum() int { return c.Voters()/2 + 1 }

// Next returns the configuration after one change, or says why there is none.
func (c Configuration) Next(change Change) (Configuration, error) {
	old, exists := c.Find(change.Member.ID)
	members, removed := slices.Clone(c.Members), c.Removed
	at := slices.IndexFunc(members, func(m Member) bool { return m.ID == change.Member.ID })
	switch change.Type {
	case AddLearner:
		if _, taken := c.FindAddress(change.Member.Address); exists || taken {
			return c, ErrMemberExists
		}
		if slices.Contains(c.Removed, change.Member.ID) {
			return c, ErrRemoved
		}
		if change.Member.ID == 0 || change.Member.Address == "" {
			return c, errors.New("raft: a new member needs an id and an address")
		}
		members = append(members, Member{ID: change.Member.ID, Address: change.Member.Address, Learner: true})
		slices.SortFunc(members, func(a, b Member) int {
			if a.ID < b.ID {
				return -1
			}
			return 1
		})
	case Promote:
		if !exists {
			return c, ErrUnknownMember
		}
		if !old.Learner {
			return c, ErrMemberExists
		}
		members[at].Learner = false
	case Remove:
		if !exists {
			return c, ErrUnknownMember
		}
		if !old.Learner && c.Voters() == 1 {
			return c, ErrLastVoter
		}
		members = slices.Delete(members, at, at+1)
		removed = append(slices.Clip(removed[max(0, len(removed)+1-removedMax):]), change.Member.ID)
	default:
		return c, fmt.Errorf("raft: %v", change.Type)
	}
	return Configuration{Members: members, Removed: removed}, nil
}

// String prints n1 n2 n3(learner).
func (c Configuration) String() string { return c.describe(ID.String) }

func (c Configuration) describe(name func(ID) string) string {
	words := make([]string, len(c.Members))
	for i, m := range c.Members {
		words[i] = name(m.ID)
		if m.Learner {
			words[i] += "(learner)"
		}
	}
	return strings.Join(words, " ")
}

// AppendBinary appends the encoding that an EntryConfiguration carries: a version byte, then how many members, and for
// each its id, a flag byte, and its address with a 16-bit length; in version 2, how many removed ids, and these. Where
// none was removed it is version 1, as it has always been.
func (c Configuration) AppendBinary(b []byte) ([]byte, error) {
	version := byte(1)
	if len(c.Removed) > 0 {
		version = 2
	}
	b = append(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Members)))
	for _, m := range c.Members {
		if len(m.Address) > 1<<16-1 {
			return nil, fmt.Errorf("raft: address of member %v has %d bytes", m.ID, len(m.Address))
		}
		b = binary.BigEndian.AppendUint64(b, uint64(m.ID))
		flag := byte(0)
		if m.Learner {
			flag = 1
		}
		b = append(b, flag)
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.Address)))
		b = append(b, m.Address...)
	}
	if version == 2 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.Removed)))
		for _, id := range c.Removed {
			b = binary.BigEndian.AppendUint64(b, uint64(id))
		}
	}
	return b, nil
}

var errConfiguration = errors.New("raft: malformed configuration entry")

// UnmarshalBinary reads what AppendBinary wrote, and nothing else.
func (c *Configuration) UnmarshalBinary(b []byte) error {
	if len(b) < 3 || b[0] != 1 && b[0] != 2 {
		return errConfiguration
	}
	version := b[0]
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	var members []Member
	for range n {
		if len(b) < 11 || b[8] > 1 {
			return errConfiguration
		}
		m := Member{ID: ID(binary.BigEndian.Uint64(b)), Learner: b[8] == 1}
		size := int(binary.BigEndian.Uint16(b[9:]))
		b = b[11:]
		if len(b) < size || m.ID == 0 || len(members) > 0 && members[len(members)-1].ID >= m.ID {
			return errConfiguration
		}
		m.Address = string(b[:size])
		b = b[size:]
		members = append(members, m)
	}
	var removed []ID
	if version == 2 {
		if len(b) < 10 || len(b) != 2+8*int(binary.BigEndian.Uint16(b)) {
			return errConfiguration
		}
		for b = b[2:]; len(b) > 0; b = b[8:] {
			removed = append(removed, ID(binary.BigEndian.Uint64(b)))
		}
	}
	if len(b) != 0 {
		return errConfiguration
	}
	c.Members, c.Removed = members, removed
	return nil
}

// configurationAt is a configuration and the log entry that brought it.
type configurationAt struct {
	index         Index
	configuration Configuration
}

// Configuration is the one in force: "a server always uses the latest configuration in its log, regardless
// of whether the entry is committed" (§6).
func (r *Raft) Configuration() Configuration {
	return r.configurations[len(r.configurations)-1].configuration
}

// ConfigurationIndex is the entry that brought the configuration in force.
func (r *Raft) ConfigurationIndex() Index { return r.configurations[len(r.configurations)-1].index }

// adopt puts the configuration of an entry in force.
func (r *Raft) adopt(e Entry) error {
	if e.Type != EntryConfiguration {
		return nil
	}
	var c Configuration
	if err := c.UnmarshalBinary(e.Data); err != nil {
		return fmt.Errorf("%w %d", err, e.Index)
	}
	r.configurations = append(r.configurations, configurationAt{e.Index, c})
	if r.role == Leader {
		r.trackMembers()
	}
	r.tracef("members are %v as of entry %d", c, e.Index)
	return nil
}

// revertConfiguration goes back to what the log says after a truncation (thesis §4.1).
func (r *Raft) revertConfiguration() {
	n := len(r.configurations)
	for r.configurations[n-1].index > r.log.last() {
		n--
	}
	if n < len(r.configurations) {
		r.configurations = slices.Clip(r.configurations[:n])
		r.tracef("members are %v again", r.Configuration())
	}
}

func (in ChangeMembership) step(r *Raft) error {
	switch {
	case r.role != Leader:
		return ErrNotLeader
	case r.lead.transferTo != 0:
		return ErrTransferring
	case !r.committedOwnTerm():
		// Two leaders that each change an older configuration could make two that share no majority
		// (Ongaro, raft-dev 2015).
		return ErrNotReady
	case r.ConfigurationIndex() > r.committed:
		return ErrChangePending
	}
	next, err := r.Configuration().Next(in.Change)
	if err != nil {
		return err
	}
	if p := r.lead.progress[in.Change.Member.ID]; in.Change.Type == Promote && (p == nil || p.match < r.committed) {
		return ErrLearnerNotCaught
	}
	data, err := next.AppendBinary(nil)
	if err != nil {
		return err
	}
	r.tracef("%v %v", in.Change.Type, in.Change.Member.ID)
	r.appendOwn(Entry{Type: EntryConfiguration, Data: data})
	if err := r.adopt(r.log.entries[len(r.log.entries)-1]); err != nil {
		panic(err)
	}
	r.advanceCommit() // a removal can leave a majority that has everything already
	if r.role == Leader {
		r.broadcast(false)
	}
	return nil
}

// learns reports whether the member is a learner, as far as it knows.
func (r *Raft) learns() bool {
	m, ok := r.Configuration().Find(r.config.ID)
	return ok && m.Learner
}

// stepDownIfRemoved: "the leader steps down once it has committed" the configuration without it (§6). A learner that had to
// lead gives way in the same manner.
func (r *Raft) stepDownIfRemoved() bool {
	if r.ConfigurationIndex() > r.committed || r.Configuration().IsVoter(r.config.ID) {
		return false
	}
	r.broadcast(true) // the others should learn of the commit
	if r.learns() {
		r.tracef("am a learner, and everything is committed")
	} else {
		r.tracef("am removed")
	}
	r.becomeFollower(r.hard.Term, 0)
	return true
}
