package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/julienschmidt/httprouter"
)

const (
	streamPath         = "/__pyraft/stream"
	snapshotStreamPath = "/__pyraft/snapshot/stream"
	identityPath       = "/__pyraft/identity"
	peerPrefix         = "/__pyraft/peer/"
	keysPath           = "/v1/kv"
	keysPrefix         = "/v1/kv/"
	keyMethods         = "GET, HEAD, PUT, DELETE, OPTIONS"
)

// reserved reports whether a decoded path belongs to the system. Decoded on purpose: /%5f_pyraft/peers is
// the same resource as /__pyraft/peers, for us as for every proxy in between.
func reserved(path string) bool {
	switch path {
	case "", "/", "*", "/livez", "/healthz", "/readyz", "/readyz/leader", "/metrics", "/version", "/favicon.ico", "/robots.txt", "/__pyraft", "/v1":
		return true
	}
	return strings.HasPrefix(path, "/__pyraft/") || strings.HasPrefix(path, "/v1/")
}

// dispatch stands in front of httprouter, because httprouter v1.3.0 cannot hold these routes: it panics on
// /:key beside /healthz or /__pyraft/…, and it matches the decoded path, so that /a%2Fb would be two segments.
func (s *Server) dispatch(x *exchange) {
	path := x.r.URL.Path
	if key, ok := strings.CutPrefix(path, keysPrefix); ok {
		x.route = "/v1/kv/{key}"
		s.serveKey(x, key, true)
		return
	}
	if reserved(path) {
		s.system.ServeHTTP(x, x.r)
		return
	}
	raw := strings.TrimPrefix(x.r.URL.EscapedPath(), "/")
	if strings.Contains(raw, "/") {
		s.fail(x, refuse(http.StatusNotFound, "not_found", "no such route; a key at the root is one path segment: write / as %%2F, or use /v1/kv/…"))
		return
	}
	key, err := url.PathUnescape(raw)
	if err != nil {
		s.fail(x, refuse(http.StatusBadRequest, "bad_key", "the key cannot be decoded: %v", err))
		return
	}
	x.route = "/{key}"
	s.serveKey(x, key, false)
}

// serveKey switches over the methods of a key. Under /v1/kv an empty value is allowed; at the root it is
// refused, because there it most often means that a redirect lost the body.
func (s *Server) serveKey(x *exchange, key string, emptyAllowed bool) {
	if x.r.Method == http.MethodOptions {
		x.Header().Set("Allow", keyMethods)
		x.WriteHeader(http.StatusNoContent)
		return
	}
	if !s.admit(x) {
		return
	}
	defer s.inFlight.Add(-1)
	f := checkKey(key)
	if f == nil {
		switch x.r.Method {
		case http.MethodGet, http.MethodHead:
			f = s.readKey(x, key)
		case http.MethodPut:
			f = s.putKey(x, key, emptyAllowed)
		case http.MethodDelete:
			f = s.deleteKey(x, key)
		default:
			x.Header().Set("Allow", keyMethods)
			f = refuse(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not a method of a key; use GET, HEAD, PUT or DELETE", x.r.Method)
		}
	}
	if f != nil {
		s.fail(x, f)
	}
}

// admit bounds the requests under way: it counts one more, or answers that there are too many.
func (s *Server) admit(x *exchange) bool {
	if s.draining.Load() {
		s.fail(x, unavailable("shutting_down", "this member is shutting down; ask another"))
		return false
	}
	if s.inFlight.Add(1) > s.inFlightMax {
		s.inFlight.Add(-1)
		s.fail(x, &failure{status: http.StatusTooManyRequests, code: "too_many_requests", retry: true,
			message: "too many requests are under way at this member; slow down and try again"})
		return false
	}
	return true
}

// routes registers the system routes. Redirects are off: a redirect of a PUT loses its body in many clients,
// and /HEALTHZ is a key.
func (s *Server) routes() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	router.HandleMethodNotAllowed = true
	router.HandleOPTIONS = true
	router.GlobalOPTIONS = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	router.NotFound = http.HandlerFunc(s.noSuchRoute)
	router.MethodNotAllowed = http.HandlerFunc(s.noSuchMethod)

	get := func(path string, serve func(*exchange) *failure) {
		handle := s.handle(path, func(x *exchange, _ httprouter.Params) *failure { return serve(x) })
		router.GET(path, handle)
		router.HEAD(path, handle)
	}
	get("/", s.home)
	get("/livez", s.alive)
	get("/healthz", s.alive)
	get("/readyz", s.ready)
	get("/readyz/leader", s.readyLeader)
	get("/metrics", s.serveMetrics)
	get("/version", s.serveVersion)
	get("/robots.txt", s.robots)
	get(identityPath, s.identity)
	get("/__pyraft/peers", s.peers)
	get("/__pyraft/status", s.status)
	get("/__pyraft/events", s.events)
	get(viewPath, s.view)
	get(livePath, s.live)
	get(keysPath, s.list)
	post := func(path string, serve func(*exchange) *failure) {
		router.POST(path, s.handle(path, func(x *exchange, _ httprouter.Params) *failure { return serve(x) }))
	}
	post("/__pyraft/snapshot", s.takeSnapshot)
	post("/__pyraft/leader", s.transfer)

	if s.clock != nil {
		s.labRoutes(router, get, post)
	}

	// A catch-all and not /:address, so that an address with a slash is a bad address and not a missing route.
	const route = "/__pyraft/peer/{address}"
	router.PUT(peerPrefix+"*address", s.handle(route, s.addPeer))
	router.DELETE(peerPrefix+"*address", s.handle(route, s.removePeer))
	return router
}

// handle adapts one of our handlers to httprouter.
func (s *Server) handle(route string, serve func(*exchange, httprouter.Params) *failure) httprouter.Handle {
	return func(w http.ResponseWriter, _ *http.Request, params httprouter.Params) {
		x := w.(*exchange)
		x.route = route
		if f := serve(x, params); f != nil {
			s.fail(x, f)
		}
	}
}

func (s *Server) noSuchRoute(w http.ResponseWriter, r *http.Request) {
	x := w.(*exchange)
	if r.Method == http.MethodPut || r.Method == http.MethodDelete {
		x.Header()["Allow"] = []string{""} // RFC 9110 §10.2.1: empty means that no method is allowed
		s.fail(x, reservedName(r.URL.Path))
		return
	}
	s.fail(x, refuse(http.StatusNotFound, "not_found", "no such route"))
}

func (s *Server) noSuchMethod(w http.ResponseWriter, r *http.Request) {
	x := w.(*exchange)
	if (r.Method == http.MethodPut || r.Method == http.MethodDelete) && r.URL.Path != "/" && r.URL.Path != keysPath {
		s.fail(x, reservedName(r.URL.Path))
		return
	}
	s.fail(x, refuse(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not a method of this route; Allow lists them", r.Method))
}

func reservedName(path string) *failure {
	return refuse(http.StatusMethodNotAllowed, "reserved_name", "reserved name; use %s%s", keysPrefix, strings.TrimPrefix((&url.URL{Path: path}).EscapedPath(), "/"))
}
