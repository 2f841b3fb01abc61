package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"raftlab/raft"
)

// failure is every answer that is not a success, in the one shape that errors have.
type failure struct {
	status  int
	code    string // for programs
	message string // for people: what is wrong, and what to do
	unknown bool   // it may have been done, or may be yet
	retry   bool   // the same request may succeed in a moment
}

// refuse is a mistake of the caller: certain, and the same next time.
func refuse(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// pending is the only answer to a write whose fate is not known.
func pending(code, message string) *failure {
	return &failure{status: http.StatusGatewayTimeout, code: code, message: message, unknown: true}
}

// unavailable is certain too: nothing was proposed.
func unavailable(code, format string, args ...any) *failure {
	return &failure{status: http.StatusServiceUnavailable, code: code, message: fmt.Sprintf(format, args...), retry: true}
}

type failureReply struct {
	Status    string    `json:"status,omitempty"` // "pending" with 504
	Error     string    `json:"error"`
	Message   string    `json:"message"`
	Definite  bool      `json:"definite"`
	Leader    *string   `json:"leader"`
	Term      raft.Term `json:"term"`
	RequestID string    `json:"request_id"`
}

// fail answers with f.
func (s *Server) fail(x *exchange, f *failure) {
	status := s.node.Status()
	if f.code == noLeader && status.Removed {
		f = wasRemoved
	}
	reply := failureReply{Error: f.code, Message: f.message, Definite: !f.unknown, Term: status.Term, RequestID: x.id}
	if f.status == http.StatusGatewayTimeout {
		reply.Status = "pending"
	}
	h := x.Header()
	if status.LeaderAddress != "" {
		reply.Leader = &status.LeaderAddress
		h.Set("Raft-Leader", status.LeaderAddress)
	}
	if f.retry {
		// Retry-After counts whole seconds; an election takes less.
		h.Set("Retry-After", "1")
		h.Set("Raft-Retry-After-Ms", "150")
	}
	x.failed = f.code
	if x.r.ContentLength != 0 {
		http.NewResponseController(x).SetReadDeadline(time.Now().Add(bodyRestTimeout)) // an error means that there is none to set
	}
	s.json(x, f.status, reply)
}

// json answers with a document. It ends with a newline, for the terminal.
func (s *Server) json(x *exchange, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("api: marshal %T: %v", document, err)) // our own types: cannot fail
	}
	s.body(x, status, "application/json", append(body, '\n'))
}
