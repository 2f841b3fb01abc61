package sim

import (
	"time"

	"raftlab/raft"
)

// Picture records what a diagram shows: hand one to Run, and draw it with HTML. A nil one records nothing.
type Picture struct {
	messages []arrow
	roles    []turn
	ups      []upOrDown
	commits  []commit
	pauses   []pause
	faults   []struck
}

// pause is where a member stands still, or goes on.
type pause struct {
	slot  int
	at    time.Duration
	still bool
}

type struck struct {
	slot  int
	at    time.Duration
	fault string
}

type commit struct {
	slot  int
	at    time.Duration
	index raft.Index
}

type arrow struct {
	from, to   int
	sent, came time.Duration
	kind       raft.MessageType
	term       raft.Term
	text       string
	lost       string
}

type turn struct {
	slot int
	at   time.Duration
	role raft.Role
	term raft.Term
}

type upOrDown struct {
	slot int
	at   time.Duration
	up   bool
	id   raft.ID
}

func (p *Picture) message(from, to int, sent, came time.Duration, m *raft.Message, lost string) {
	if p != nil {
		p.messages = append(p.messages, arrow{from, to, sent, came, m.Type, m.Term, m.String(), lost})
	}
}

func (p *Picture) turned(slot int, at time.Duration, role raft.Role, term raft.Term) {
	if p != nil {
		p.roles = append(p.roles, turn{slot, at, role, term})
	}
}

func (p *Picture) up(slot int, at time.Duration, up bool, id raft.ID) {
	if p != nil {
		p.ups = append(p.ups, upOrDown{slot, at, up, id})
	}
}

func (p *Picture) stands(slot int, at time.Duration, still bool) {
	if p != nil {
		p.pauses = append(p.pauses, pause{slot, at, still})
	}
}

func (p *Picture) struck(slot int, at time.Duration, f Fault) {
	if p != nil {
		p.faults = append(p.faults, struck{slot, at, f.String()})
	}
}

func (p *Picture) committed(slot int, at time.Duration, index raft.Index) {
	if p != nil {
		p.commits = append(p.commits, commit{slot, at, index})
	}
}
