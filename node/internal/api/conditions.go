package api

import (
	"net/http"
	"strconv"
	"strings"

	"raftlab/node/internal/kv"
	"raftlab/raft"
)

const etagRule = `a strong entity tag as a reply gave it, such as "17" with the quotes, or *`

// etag is the entity tag of what was last written at the index.
func etag(index raft.Index) string { return `"` + strconv.FormatUint(uint64(index), 10) + `"` }

// parseETag reads what etag wrote. Another writing of the same number ("017") is not the same tag.
func parseETag(tag string) (raft.Index, bool) {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' || tag[1] == '0' || tag[1] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(tag[1:len(tag)-1], 10, 64)
	return raft.Index(n), err == nil
}

// header returns the one value of a header. RFC 9110 lets a list be sent in several lines.
func header(h http.Header, name string) (string, bool) {
	values := h[name]
	if len(values) == 0 {
		return "", false
	}
	return strings.TrimSpace(strings.Join(values, ", ")), true
}

// writeConditions puts the conditions of a PUT or DELETE into its command. They are decided when the
// command is applied.
func writeConditions(c *kv.Command, h http.Header) *failure {
	match, hasMatch := header(h, "If-Match")
	noneMatch, hasNoneMatch := header(h, "If-None-Match")
	switch {
	case hasMatch && hasNoneMatch:
		return refuse(http.StatusBadRequest, "bad_condition", "If-Match and If-None-Match cannot be combined")
	case hasMatch && match == "*":
		c.IfExists = true
	case hasMatch:
		index, ok := parseETag(match)
		if !ok {
			return refuse(http.StatusBadRequest, "bad_condition", "If-Match: %s: must be %s", match, etagRule)
		}
		c.IfMatch = index
	case hasNoneMatch && c.Op == kv.Delete:
		return refuse(http.StatusBadRequest, "bad_condition", "If-None-Match: %s: only PUT takes it, to create a key", noneMatch)
	case hasNoneMatch && noneMatch == "*":
		c.IfNoneMatch = true
	case hasNoneMatch:
		return refuse(http.StatusBadRequest, "bad_condition", "If-None-Match: %s: on PUT it must be *, to create a key", noneMatch)
	}
	return nil
}

// checkReadConditions parses those of a GET; the answers need the key.
func checkReadConditions(h http.Header) *failure {
	if match, has := header(h, "If-Match"); has && match != "*" {
		if _, ok := parseETag(match); !ok {
			return refuse(http.StatusBadRequest, "bad_condition", "If-Match: %s: must be %s", match, etagRule)
		}
	}
	return nil
}

// matchFails reports that a GET asked for another version than there is (RFC 9110 §13.1.1).
func matchFails(h http.Header, exists bool, current raft.Index) bool {
	match, has := header(h, "If-Match")
	return has && (!exists || match != "*" && match != etag(current))
}

// notModified reports that the client has the current version already. The comparison is weak, of a list,
// as RFC 9110 §13.1.2 wants it; a tag that is not ours matches nothing.
func notModified(h http.Header, current raft.Index) bool {
	list, has := header(h, "If-None-Match")
	if !has {
		return false
	}
	for _, tag := range strings.Split(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag(current) {
			return true
		}
	}
	return false
}
