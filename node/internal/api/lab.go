package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"raftlab/node/internal/clock"
	"raftlab/raft"
)

const (
	clockPath  = "/__pyraft/lab/clock"
	writesPath = "/__pyraft/lab/writes"
)

// labRoutes are those of a member that was started with --lab.
func (s *Server) labRoutes(router *httprouter.Router, get, post func(string, func(*exchange) *failure)) {
	get(clockPath, s.readClock)
	if s.told != nil {
		get(writesPath, s.writes)
	}
	post(clockPath, s.bendClock)
	router.DELETE(clockPath, s.handle(clockPath, func(x *exchange, _ httprouter.Params) *failure {
		s.clock.Straighten()
		s.log.Warn("lab: the clock is straight again")
		return s.readClock(x)
	}))
}

// writesReply is every write that took effect here from one index to another, both included. Indexes are text: JavaScript
// rounds large numbers.
type writesReply struct {
	From   raft.Index     `json:"from,string"`
	To     raft.Index     `json:"to,string"`
	Writes []writtenReply `json:"writes"`
}

type writtenReply struct {
	Index raft.Index `json:"index,string"`
	Term  raft.Term  `json:"term,string"`
	Op    string     `json:"op"` // put or delete
	Key   string     `json:"key"`
	Value []byte     `json:"value,omitempty"` // of a put, in base64
}

func (s *Server) writes(x *exchange) *failure {
	writes, before, last := s.told.Writes()
	reply := writesReply{From: before + 1, To: last, Writes: make([]writtenReply, 0, len(writes))}
	for _, w := range writes {
		reply.Writes = append(reply.Writes, writtenReply{w.Index, w.Term, w.Op.String(), w.Key, w.Value})
	}
	s.json(x, http.StatusOK, reply)
	return nil
}

// clockReply is what the member's clock says. Times are text or whole numbers: JavaScript rounds large ones.
type clockReply struct {
	Now       time.Time `json:"now"`
	Rate      float64   `json:"rate"`
	OffsetMs  float64   `json:"offset_ms"`
	Ticks     uint64    `json:"ticks"`         // that Raft has been given
	TickEvery float64   `json:"tick_every_ms"` // by this clock
}

func (s *Server) readClock(x *exchange) *failure {
	r := s.clock.Reading()
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	s.json(x, http.StatusOK, clockReply{r.Now.UTC(), r.Rate, ms(r.Offset), r.Ticks, ms(r.TickEvery)})
	return nil
}

func (s *Server) bendClock(x *exchange) *failure {
	p, f := known(ofClock).parse(x.r)
	if f != nil {
		return f
	}
	if p.bend == (clock.Bend{}) {
		return refuse(http.StatusBadRequest, "bad_parameter", "say how to bend the clock: jump=-3s, offset=2s or rate=1.5; DELETE straightens it")
	}
	if err := s.clock.Bend(p.bend); err != nil {
		return refuse(http.StatusBadRequest, "bad_parameter", "%v", err)
	}
	s.log.Warn("lab: the clock was bent", "jump", p.bend.Jump, "offset", p.bend.Offset, "rate", p.bend.Rate)
	return s.readClock(x)
}

// setBend returns the rule that the value breaks.
func (p *parameters) setBend(bit known, value string) (rule string) {
	var err error
	switch bit {
	case knowRate:
		if p.bend.Rate, err = strconv.ParseFloat(value, 64); err != nil || !(p.bend.Rate >= clock.RateMin && p.bend.Rate <= clock.RateMax) {
			return "a number from 0.01 to 100"
		}
		return ""
	case knowJump:
		p.bend.Jump, err = time.ParseDuration(value)
	case knowOffset:
		p.bend.Offset, err = time.ParseDuration(value)
	}
	if err != nil || p.bend.Validate() != nil {
		return "a duration such as 500ms or -2s, of at most an hour"
	}
	return ""
}
