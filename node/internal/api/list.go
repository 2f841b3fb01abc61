package api

import (
	"net/http"

	"raftlab/raft"
)

type listReply struct {
	Keys []listedKey `json:"keys"`
	// Next is the value of after= for the next page; absent on the last.
	Next  string     `json:"next,omitempty"`
	Index raft.Index `json:"index"`
}

// listedKey leaves the value out: a page of a thousand values could be a gigabyte.
type listedKey struct {
	Key         string `json:"key"`
	ETag        string `json:"etag"`
	Size        int    `json:"size"`
	ContentType string `json:"content_type"`
}

// list serves GET /v1/kv: keys in order, a page at a time. Each page is of one moment; two pages are not.
func (s *Server) list(x *exchange) *failure {
	if !s.admit(x) {
		return nil
	}
	defer s.inFlight.Add(-1)
	p, f := known(ofList).parse(x.r)
	if f != nil {
		return f
	}
	if answered, f := s.await(x, p); f != nil || answered {
		return f
	}
	page, more, at := s.store.List(p.prefix, p.after, p.limit)
	reply := listReply{Keys: make([]listedKey, len(page)), Index: at.Index}
	for i, e := range page {
		reply.Keys[i] = listedKey{Key: e.Key, ETag: etag(e.Item.ModIndex), Size: len(e.Item.Value), ContentType: e.Item.ContentType}
	}
	if more {
		reply.Next = page[len(page)-1].Key
	}
	s.readPosition(x, p, at)
	s.json(x, http.StatusOK, reply)
	return nil
}
