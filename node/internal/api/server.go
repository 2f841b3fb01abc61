package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"raftlab/node/internal/clock"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/peer"
	"raftlab/node/live"
)

// Config of a Server. Node and Store are required.
type Config struct {
	Node  Node
	Store *kv.Store
	// Dial reaches other members: to forward to the leader, and to ask a joiner who it is. Default: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Stream serves GET /__pyraft/stream, on which the peers' messages come in. Without it the route is not there.
	Stream http.Handler
	// Snapshot serves POST /__pyraft/snapshot/stream, on which a peer's snapshot comes in. It sets time limits
	// itself. Without it the route is not there.
	Snapshot http.Handler
	// Clock is the one that requests time out by; nil: the system's. One of the lab's can be bent over HTTP:
	// /__pyraft/lab/clock is there then, and at no other member.
	Clock *clock.Clock
	// Told is what the lab asks for what was written: /__pyraft/lab/writes is there with it and a Clock.
	Told *kv.Told
	// Token, if not empty, must be shown by clients, as Authorization: Bearer, and is shown to other members.
	Token string
	// TLS, if not nil, is spoken with clients and other members. Dial is then wrapped in it.
	TLS *TLS
	// NotLeader says what a follower does with what needs the leader: "forward" (default) or "redirect".
	NotLeader string
	// InFlightMax bounds the requests for keys that are served at once. Default 4096.
	InFlightMax int
	Logger      *slog.Logger           // default: slog.Default()
	Collectors  []prometheus.Collector // of other parts of the member, for /metrics
	// PeerStats describes the streams to the other members, for the live page. May be nil.
	PeerStats func() peer.Stats
	// SnapshotStat describes the latest snapshot, for /metrics. May be nil.
	SnapshotStat func() (sizeBytes int64, taken time.Time, ok bool)
	Version      string // for /version
}

// Time limits of a request, and of a connection.
const (
	timeoutDefault = 5 * time.Second
	timeoutMax     = 60 * time.Second
	// net/http ends a handler's context when the read deadline of its connection passes, so the deadlines of
	// the server are longer than any request may take.
	connectionTimeout = timeoutMax + 15*time.Second
	headerTimeout     = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	// Before it sends a reply net/http reads what is left of a small body, and waits for it if it does not come. A
	// refusal waits no longer than this.
	bodyRestTimeout = time.Second
	headerBytesMax  = 32 << 10 // beyond it 431
)

// Server answers the requests of clients and of other members.
type Server struct {
	node        Node
	store       *kv.Store
	stream      http.Handler
	snapshot    http.Handler
	guard       *guard
	tls         *TLS
	scheme      string // under which members are reached
	system      *httprouter.Router
	forward     *forwarder
	origin      *http.CrossOriginProtection
	metrics     *metrics
	peerStats   func() peer.Stats
	watcher     *live.Watcher
	clock       *clock.Clock
	told        *kv.Told
	log         *slog.Logger
	servedBy    []string // our address, ready for a header
	version     string
	redirect    bool
	inFlightMax int64

	inFlight     atomic.Int64
	eventStreams atomic.Int64
	draining     atomic.Bool
	drained      chan struct{} // closed by Drain
	keepAlive    time.Duration // of streams of events
}

// New returns a server, or says which field of the configuration is wrong.
func New(c Config) (*Server, error) {
	if c.Node == nil || c.Store == nil {
		return nil, errors.New("api: Config needs a Node and a Store")
	}
	if c.NotLeader != "" && c.NotLeader != "forward" && c.NotLeader != "redirect" {
		return nil, fmt.Errorf("api: NotLeader %q must be forward or redirect", c.NotLeader)
	}
	if c.InFlightMax < 0 {
		return nil, fmt.Errorf("api: InFlightMax %d must not be negative", c.InFlightMax)
	}
	if c.InFlightMax == 0 {
		c.InFlightMax = 4096
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r < ' ' || r >= 0x7f }) || strings.TrimSpace(c.Token) != c.Token {
		return nil, errors.New("api: Token must be printable ASCII without spaces around it, or it cannot be sent in a header")
	}
	s := &Server{
		node: c.Node, store: c.Store, stream: c.Stream, snapshot: c.Snapshot, log: c.Logger, version: c.Version,
		clock: c.Clock, told: c.Told, guard: newGuard(c), tls: c.TLS, scheme: "http", drained: make(chan struct{}), keepAlive: eventKeepAlive,
		redirect:    c.NotLeader == "redirect",
		servedBy:    []string{c.Node.Status().Address},
		origin:      http.NewCrossOriginProtection(),
		inFlightMax: int64(c.InFlightMax),
		peerStats:   c.PeerStats,
	}
	s.watcher = live.Watch(liveSource{s})
	if c.TLS != nil {
		s.scheme = "https"
		c.Dial = c.TLS.Dial(c.Dial)
	}
	s.forward = newForwarder(c.Dial, c.Token)
	var err error
	if s.metrics, err = newMetrics(s, c); err != nil {
		return nil, err
	}
	s.system = s.routes()
	return s, nil
}

// HTTPServer returns a server with the time limits and the header limit of a member; the caller gives it
// a listener. A hijacked stream is not concerned by the limits: net/http clears its deadlines.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       connectionTimeout,
		WriteTimeout:      connectionTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    2 * headerBytesMax, // beyond it net/http answers 431 itself, with a line of text
		ErrorLog:          log.New(&s.guard.connections, "", 0),
	}
}

// Listener is the one to give to the server of HTTPServer: with TLS, if it is configured.
func (s *Server) Listener(l net.Listener) net.Listener {
	if s.tls == nil {
		return l
	}
	return tls.NewListener(l, s.tls.Server())
}

// Drain makes the member not ready and refuses new requests for keys with 503, so that clients go elsewhere
// while those under way end, and ends the streams of events. Call it before http.Server.Shutdown.
func (s *Server) Drain() {
	if !s.draining.Swap(true) {
		close(s.drained)
	}
}

// Close ends the idle connections to other members, and waits until the live page asks nobody any more. Streams of it must
// have ended: by Drain, and http.Server.Shutdown or Close.
func (s *Server) Close() {
	s.watcher.Close()
	s.forward.transport.CloseIdleConnections()
}

// exchange is one request and its reply. It remembers what the log line and the metrics need.
type exchange struct {
	http.ResponseWriter
	r      *http.Request
	id     string // X-Request-ID
	route  string // label of the metrics
	code   int    // 0 until the header is written
	failed string // code of the failure
}

func (x *exchange) WriteHeader(code int) {
	if x.code == 0 {
		x.code = code
	}
	x.ResponseWriter.WriteHeader(code)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.code == 0 {
		x.code = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// Header values that are the same in every reply. net/http does not write to them.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"} // a cache between client and member would answer with old values
)

// ServeHTTP gives every request an id, headers, a metric and a log line.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refused := checkHeaders(r)
	if refused == nil {
		refused = s.guard.check(r)
	}
	if handler := s.ofPeers(r); handler != nil && refused == nil {
		handler.ServeHTTP(w, r) // it takes the connection over, or sets time limits: no wrapper
		return
	}
	began := time.Now()
	x := s.exchange(w, r)
	defer s.finish(x, began)
	if refused != nil {
		if refused.status == http.StatusUnauthorized {
			x.Header()["Www-Authenticate"] = []string{`Bearer realm="raftlab"`}
		}
		s.fail(x, refused)
		return
	}
	if err := s.origin.Check(r); err != nil {
		s.fail(x, refuse(http.StatusForbidden, "cross_origin", "a page of another site may not write here"))
		return
	}
	if f := s.astray(r); f != nil {
		s.fail(x, f)
		return
	}
	s.dispatch(x)
}

// exchange gives a request its id, and its reply the headers that each has.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{ResponseWriter: w, r: r, id: requestID(r.Header), route: "none"}
	h := w.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Raft-Served-By"] = s.servedBy
	return x
}

// RefuseStream answers who asked for a stream between members in vain: see peer.Config.Refuse.
func (s *Server) RefuseStream(w http.ResponseWriter, r *http.Request, status int, reason string) {
	x := s.exchange(w, r)
	x.route = r.URL.Path
	defer s.finish(x, time.Now())
	s.fail(x, refuse(status, "stream_refused", "%s", strings.TrimPrefix(reason, "peer: ")))
}

// ofPeers is the handler of a stream between members, or nil if the request is for no such.
func (s *Server) ofPeers(r *http.Request) http.Handler {
	switch {
	case r.URL.Path == streamPath && r.Method == http.MethodGet:
		return s.stream
	case r.URL.Path == snapshotStreamPath && r.Method == http.MethodPost:
		return s.snapshot
	}
	return nil
}

// finish turns a panic into a 500, then counts and logs.
func (s *Server) finish(x *exchange, began time.Time) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.log.Error("bug in a handler", "request_id", x.id, "method", x.r.Method, "path", x.r.URL.EscapedPath(), "panic", p, "stack", string(debug.Stack()))
		if x.code != 0 {
			panic(http.ErrAbortHandler) // half a reply must not look like a whole one
		}
		s.fail(x, &failure{status: http.StatusInternalServerError, code: "bug", unknown: true,
			message: "this is a bug of the server; it is not known whether the request was done"})
	}
	took := time.Since(began)
	s.metrics.observe(x.route, x.r.Method, x.code, took)
	if s.log.Enabled(x.r.Context(), slog.LevelDebug) {
		s.log.Debug("request", "request_id", x.id, "method", x.r.Method, "path", x.r.URL.EscapedPath(), "code", x.code,
			"failure", x.failed, "took", took, "from", x.r.RemoteAddr, "forwarded", x.r.Header.Get("Raft-Forwarded") != "")
	}
}

// body answers with bytes. To HEAD it says how many there would be.
func (s *Server) body(x *exchange, status int, contentType string, body []byte) {
	h := x.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.Write(body) // an error means that the client is gone
	}
}

// text answers with lines for a person.
func (s *Server) text(x *exchange, status int, lines string) {
	x.Header().Set("Content-Length", strconv.Itoa(len(lines)))
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		io.WriteString(x, lines)
	}
}
