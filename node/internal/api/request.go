package api

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"raftlab/node/internal/clock"
	"raftlab/node/internal/kv"
	"raftlab/raft"
)

const requestIDBytesMax = 128

// requestID is the caller's, if it is safe to repeat in a header and in a log, else a new one.
func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if id == "" || len(id) > requestIDBytesMax {
		return newRequestID()
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' {
			return newRequestID()
		}
	}
	return id
}

// checkHeaders refuses a request whose target and headers are too large, in the shape that errors have.
func checkHeaders(r *http.Request) *failure {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	if size <= headerBytesMax {
		return nil
	}
	return refuse(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "the address and the headers have %d bytes; they must have at most %d", size, headerBytesMax)
}

func newRequestID() string {
	const digits = "0123456789abcdef"
	var id [16]byte
	for i, n := 0, rand.Uint64(); i < len(id); i, n = i+1, n>>4 {
		id[i] = digits[n&15]
	}
	return string(id[:])
}

// checkKey says what is wrong with a decoded key, or nil.
func checkKey(key string) *failure {
	switch {
	case key == "":
		return refuse(http.StatusBadRequest, "bad_key", "the key is empty; it must have 1 to %d bytes", kv.KeyBytesMax)
	case len(key) > kv.KeyBytesMax:
		return refuse(http.StatusBadRequest, "bad_key", "the key has %d bytes; it must have 1 to %d", len(key), kv.KeyBytesMax)
	case !utf8.ValidString(key):
		return refuse(http.StatusBadRequest, "bad_key", "the key is not valid UTF-8 after percent-decoding")
	}
	return nil
}

// parameters of the query. Each route names those that it knows.
type parameters struct {
	timeout   time.Duration
	stale     bool // consistency=stale
	redirect  bool
	minIndex  raft.Index
	prefix    string
	after     string
	limit     int
	allChecks bool   // verbose
	to        string // address or id of a member
	bend      clock.Bend
}

// known is a set of parameter names.
type known uint16

const (
	knowTimeout known = 1 << iota
	knowConsistency
	knowRedirect
	knowMinIndex
	knowPrefix
	knowAfter
	knowLimit
	knowVerbose
	knowTo
	knowJump
	knowOffset
	knowRate

	ofRead   = knowTimeout | knowConsistency | knowRedirect | knowMinIndex
	ofWrite  = knowTimeout | knowConsistency | knowRedirect
	ofList   = ofRead | knowPrefix | knowAfter | knowLimit
	ofChange = knowTimeout | knowRedirect
	ofLeader = ofChange | knowTo
	ofClock  = knowJump | knowOffset | knowRate
)

var parameterNames = []struct {
	name string
	bit  known
}{
	{"timeout", knowTimeout}, {"consistency", knowConsistency}, {"redirect", knowRedirect}, {"min_index", knowMinIndex},
	{"prefix", knowPrefix}, {"after", knowAfter}, {"limit", knowLimit}, {"verbose", knowVerbose}, {"to", knowTo},
	{"jump", knowJump}, {"offset", knowOffset}, {"rate", knowRate},
}

func (k known) bit(name string) known {
	for _, p := range parameterNames {
		if p.name == name {
			return p.bit & k
		}
	}
	return 0
}

func (k known) String() string {
	s := ""
	for _, p := range parameterNames {
		if k&p.bit != 0 {
			s += " " + p.name
		}
	}
	if s == "" {
		return " none"
	}
	return s
}

const (
	limitDefault = 100
	limitMax     = 1000
)

// parse reads the query. r.FormValue is never used: it would eat the body of a form, and let it set
// parameters.
func (k known) parse(r *http.Request) (parameters, *failure) {
	p := parameters{timeout: timeoutDefault, limit: limitDefault}
	if r.URL.RawQuery != "" {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return p, refuse(http.StatusBadRequest, "bad_parameter", "the query cannot be parsed: %v", err)
		}
		for name, values := range query {
			bit := k.bit(name)
			switch {
			case bit == 0:
				return p, refuse(http.StatusBadRequest, "bad_parameter", "unknown parameter %q; this route knows:%v", name, k)
			case len(values) > 1:
				return p, refuse(http.StatusBadRequest, "bad_parameter", "parameter %q is given %d times", name, len(values))
			}
			if rule := p.set(bit, values[0]); rule != "" {
				return p, refuse(http.StatusBadRequest, "bad_parameter", "%s=%q: must be %s", name, values[0], rule)
			}
		}
	}
	// The member that forwards says how much time is left.
	if ms := r.Header.Get(leftHeader); ms != "" && r.Header.Get(forwardedHeader) != "" {
		left, err := strconv.ParseUint(ms, 10, 32)
		if err != nil {
			return p, refuse(http.StatusBadRequest, "bad_parameter", "%s: %q: must be milliseconds", leftHeader, ms)
		}
		p.timeout = min(p.timeout, max(1, time.Duration(left))*time.Millisecond)
	}
	return p, nil
}

// set returns the rule that the value breaks.
func (p *parameters) set(bit known, value string) (rule string) {
	var err error
	switch bit {
	case knowTimeout:
		p.timeout, err = time.ParseDuration(value)
		if err != nil || p.timeout <= 0 || p.timeout > timeoutMax {
			return fmt.Sprintf("a duration such as 500ms or 2s, above 0 and at most %v", timeoutMax)
		}
	case knowConsistency:
		p.stale = value == "stale"
		if value != "stale" && value != "linearizable" {
			return "linearizable or stale"
		}
	case knowRedirect, knowVerbose:
		on := value == "" || value == "1" || value == "true"
		if !on && value != "0" && value != "false" {
			return "empty, true or false"
		}
		if bit == knowVerbose {
			p.allChecks = on
		} else {
			p.redirect = on
		}
	case knowMinIndex:
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return "an index, as Raft-Index gives it"
		}
		p.minIndex = raft.Index(n)
	case knowTo:
		if p.to = value; value == "" || len(value) > 260 {
			return "the address or the id of a member, as GET /__pyraft/peers lists them"
		}
	case knowLimit:
		p.limit, err = strconv.Atoi(value)
		if err != nil || p.limit < 1 || p.limit > limitMax {
			return fmt.Sprintf("a number from 1 to %d", limitMax)
		}
	case knowJump, knowOffset, knowRate:
		return p.setBend(bit, value)
	case knowPrefix, knowAfter:
		if len(value) > kv.KeyBytesMax || !utf8.ValidString(value) {
			return fmt.Sprintf("at most %d bytes of UTF-8", kv.KeyBytesMax)
		}
		if bit == knowPrefix {
			p.prefix = value
		} else {
			p.after = value
		}
	}
	return ""
}

// deadline is the context of a request that may wait, by the member's clock. It also ends when the client goes away.
func (s *Server) deadline(x *exchange, p parameters) (context.Context, context.CancelFunc) {
	return s.clock.WithTimeout(x.r.Context(), p.timeout)
}
