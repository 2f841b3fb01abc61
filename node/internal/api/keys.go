package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

// await makes the local state fit for the read: linearizable by ReadIndex, which any member can do, and
// not older than min_index. It returns early with answered if it has redirected.
func (s *Server) await(x *exchange, p parameters) (answered bool, f *failure) {
	if !p.stale && s.redirects(x, p) {
		if s.node.Status().Role != raft.Leader {
			return true, s.sendToLeader(x)
		}
	}
	if p.stale && p.minIndex == 0 {
		return false, nil
	}
	ctx, cancel := s.deadline(x, p)
	defer cancel()
	if !p.stale {
		if _, err := s.node.ReadIndex(ctx); err != nil {
			return false, readFailed(err)
		}
	}
	if p.minIndex > 0 {
		if err := s.node.WaitApplied(ctx, p.minIndex); err != nil {
			f := readFailed(err)
			if f.code == "timeout" {
				f = unavailable("behind", "this member has applied %d and min_index is %d; try again, or ask another", s.store.Applied(), p.minIndex)
			}
			return false, f
		}
	}
	return false, nil
}

// position names the place in the log that a reply speaks of, and the leader as far as it is known.
func (s *Server) position(h http.Header, index raft.Index, term raft.Term, leader string) {
	values := [2]string{strconv.FormatUint(uint64(index), 10), strconv.FormatUint(uint64(term), 10)}
	h["Raft-Index"] = values[0:1:1]
	h["Raft-Term"] = values[1:2:2]
	if leader != "" {
		h["Raft-Leader"] = []string{leader}
	}
}

var (
	linearizable = []string{"linearizable"}
	stale        = []string{"stale"}
)

// readPosition is position for reads, which also say how much they can be trusted.
func (s *Server) readPosition(x *exchange, p parameters, at kv.Position) {
	status := s.node.Status()
	h := x.Header()
	s.position(h, at.Index, at.Term, status.LeaderAddress)
	h["Raft-Consistency"] = linearizable
	if p.stale {
		h["Raft-Consistency"] = stale
		h["Raft-Last-Contact-Ms"] = []string{lastContact(status)}
	}
}

// lastContact is how old a stale read may be, in milliseconds since the leader was heard: 0 on the leader,
// -1 if it was never heard.
func lastContact(status driver.Status) string {
	if status.LeaderContact < 0 {
		return "-1"
	}
	return strconv.FormatInt(status.LeaderContact.Milliseconds(), 10)
}

func (s *Server) readKey(x *exchange, key string) *failure {
	p, f := known(ofRead).parse(x.r)
	if f == nil {
		f = checkReadConditions(x.r.Header)
	}
	if f != nil {
		return f
	}
	if answered, f := s.await(x, p); f != nil || answered {
		return f
	}
	item, ok, at := s.store.Get(key)
	s.readPosition(x, p, at)
	h := x.Header()
	if ok {
		h["Etag"] = []string{etag(item.ModIndex)}
	}
	switch {
	case matchFails(x.r.Header, ok, item.ModIndex):
		return conditionFailed(ok, item.ModIndex)
	case !ok:
		return refuse(http.StatusNotFound, "key_not_found", "no such key")
	case notModified(x.r.Header, item.ModIndex):
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	s.body(x, http.StatusOK, item.ContentType, item.Value)
	return nil
}

func conditionFailed(exists bool, current raft.Index) *failure {
	if !exists {
		return refuse(http.StatusPreconditionFailed, "condition_failed", "the condition does not hold: the key does not exist")
	}
	return refuse(http.StatusPreconditionFailed, "condition_failed", "the condition does not hold: the key was last written at %d", current)
}

func (s *Server) putKey(x *exchange, key string, emptyAllowed bool) *failure {
	if x.r.Header.Get("Content-Range") != "" {
		return refuse(http.StatusBadRequest, "bad_body", "Content-Range: a value cannot be written in parts") // RFC 9110 §14.5
	}
	contentType, f := storedType(x.r.Header)
	if f != nil {
		return f
	}
	c := kv.Command{Op: kv.Put, Key: key, ContentType: contentType}
	p, f := prepareWrite(x, &c)
	if f != nil {
		return f
	}
	if s.redirects(x, p) && s.node.Status().Role != raft.Leader {
		return s.sendToLeader(x) // before the body is asked for with 100 Continue
	}
	if c.Value, f = s.awaitValue(x, p); f == nil {
		f = checkValue(c.Value, contentType, emptyAllowed)
	}
	if f != nil {
		return f
	}
	return s.write(x, c, p)
}

// awaitValue reads the body within the request's time. Meanwhile the request is not counted as under way: who sends
// slowly takes no room from others.
func (s *Server) awaitValue(x *exchange, p parameters) ([]byte, *failure) {
	s.inFlight.Add(-1)
	defer s.inFlight.Add(1)
	if x.r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(x)
	control.SetReadDeadline(time.Now().Add(p.timeout)) // an error means that there is none to set, as in tests
	defer control.SetReadDeadline(time.Now().Add(connectionTimeout))
	return readValue(x)
}

func (s *Server) deleteKey(x *exchange, key string) *failure {
	c := kv.Command{Op: kv.Delete, Key: key} // a body has no meaning here, and none is forwarded
	p, f := prepareWrite(x, &c)
	if f != nil {
		return f
	}
	return s.write(x, c, p)
}

// idempotencyKey makes retries of a request safe. Any visible characters will do, with the quotes of
// draft-ietf-httpapi-idempotency-key-header or without; the two are not the same key.
func idempotencyKey(h http.Header) (string, *failure) {
	name := "Idempotency-Key"
	if h.Get(forwardedHeader) != "" {
		name = idempotencyKeyHeader
	}
	values := h[name]
	if len(values) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(values[0])
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if len(values) > 1 || key == "" || len(key) > kv.IdempotencyKeyBytesMax || strings.ContainsFunc(key, odd) {
		// Ignoring it would break what it promises: that a retry is not done twice.
		return "", refuse(http.StatusBadRequest, "bad_idempotency_key",
			"Idempotency-Key must be given once, with 1 to %d visible ASCII characters; a random UUID is a good one", kv.IdempotencyKeyBytesMax)
	}
	return key, nil
}

// prepareWrite reads everything but the body: parameters and conditions.
func prepareWrite(x *exchange, c *kv.Command) (parameters, *failure) {
	p, f := known(ofWrite).parse(x.r)
	if f == nil {
		f = writeConditions(c, x.r.Header)
	}
	if f == nil && p.stale {
		f = refuse(http.StatusBadRequest, "bad_parameter", `consistency="stale": is for reads; a write is always linearizable`)
	}
	if f == nil {
		c.IdempotencyKey, f = idempotencyKey(x.r.Header)
	}
	if f == nil {
		c.Since, f = idempotencySince(x.r.Header, c.IdempotencyKey)
	}
	return p, f
}

// idempotencySince is the Raft-Index of some reply that the client had before it sent the request for the first time.
func idempotencySince(h http.Header, key string) (raft.Index, *failure) {
	values := h["Idempotency-Since"]
	if len(values) == 0 {
		return 0, nil
	}
	index, err := strconv.ParseUint(values[0], 10, 64)
	if len(values) > 1 || err != nil || index == 0 || key == "" {
		return 0, refuse(http.StatusBadRequest, "bad_idempotency_since",
			"Idempotency-Since must be given once, beside an Idempotency-Key: the Raft-Index of a reply that came before the first attempt, the same with each; got %.40q", values[0])
	}
	return raft.Index(index), nil
}

// write proposes the command here if this member leads, and has it carried to the leader if not. All that
// is wrong with the request was found before, at the member that was asked.
func (s *Server) write(x *exchange, c kv.Command, p parameters) *failure {
	ctx, cancel := s.deadline(x, p)
	defer cancel()
	if s.node.Status().Role != raft.Leader {
		return s.passOn(ctx, x, p, c.Value)
	}
	command, err := c.AppendBinary(make([]byte, 0, c.Size()))
	if err != nil {
		panic(fmt.Sprintf("api: own command refused: %v", err))
	}
	applied, err := s.node.Propose(ctx, command)
	if err != nil {
		f := writeFailed(ctx, err)
		s.metrics.proposed(c.Op.String(), f.code)
		if lostLeadership(err) {
			return s.passOn(ctx, x, p, c.Value) // certainly not proposed here
		}
		return f
	}
	result, ok := applied.Result.(kv.Result)
	if !ok {
		panic(fmt.Sprintf("api: command %d applied with result %T", applied.Index, applied.Result))
	}
	s.metrics.proposed(c.Op.String(), outcome(result))
	return s.written(x, c, applied, result)
}

// outcome of a command that was applied, as a label.
func outcome(r kv.Result) string {
	switch {
	case errors.Is(r.Err, kv.ErrKeyReused):
		return "idempotency_key_reused"
	case errors.Is(r.Err, kv.ErrKeyForgotten):
		return "idempotency_key_forgotten"
	case r.Repeat:
		return "repeat"
	case r.ConditionFailed():
		return "condition_failed"
	}
	return "done"
}

// written answers with what the state machine decided: now, or when it saw the Idempotency-Key first. Then the
// position is that of the first command too.
func (s *Server) written(x *exchange, c kv.Command, applied driver.Applied, result kv.Result) *failure {
	h := x.Header()
	s.position(h, result.Index, result.Term, s.node.Status().LeaderAddress)
	if result.Current != 0 {
		h["Etag"] = []string{etag(result.Current)}
	}
	if result.Repeat {
		h["Idempotent-Replayed"] = []string{"true"}
	}
	switch {
	case errors.Is(result.Err, kv.ErrKeyReused):
		return refuse(http.StatusUnprocessableEntity, "idempotency_key_reused",
			"another request had this Idempotency-Key (the method, the key, the value, its type or the condition was another); nothing was done: take a new one for a new request")
	case errors.Is(result.Err, kv.ErrKeyForgotten):
		return refuse(http.StatusConflict, "idempotency_key_forgotten",
			"since Idempotency-Since more writes with keys were done than are remembered, so this one may have been among them; nothing was done now: read the key, or if this was the first attempt, take this reply's Raft-Index")
	case result.Err != nil:
		panic(fmt.Sprintf("api: own command %d refused: %v", applied.Index, result.Err))
	case result.ConditionFailed():
		return conditionFailed(result.Existed, result.Current)
	case c.Op == kv.Delete:
		s.body(x, http.StatusOK, typeJSON, deleteReply)
	default:
		s.body(x, http.StatusOK, typeJSON, putReply(c.Value, c.ContentType))
	}
	return nil
}

var deleteReply = []byte("{\"status\":\"ok\",\"value\":null}\n")
