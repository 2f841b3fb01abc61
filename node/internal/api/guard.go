package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
)

// guard decides who may ask, before anything else looks at a request.
//
//   - With a token, every route but those of openPaths wants it. Members show it to each other as clients do.
//   - With a CA, what only members do (streams, snapshots, forwarded requests) wants a certificate that the CA
//     signed. For a stream it is enough: it proves more than a token that every client has.
//   - With neither everybody may do everything, which is for a loopback address only.
type guard struct {
	token       *[sha256.Size]byte // hash of the token, so that a comparison tells nothing of its length
	certificate bool               // wanted of members
	connections onceLog
}

func newGuard(c Config) *guard {
	g := &guard{certificate: c.TLS != nil && c.TLS.Mutual(), connections: onceLog{log: c.Logger, seen: map[string]bool{}}}
	if c.Token != "" {
		sum := sha256.Sum256([]byte(c.Token))
		g.token = &sum
	}
	return g
}

// openPaths say whether the process runs, and no more. What restarts it should not need a secret.
var openPaths = map[string]bool{"/livez": true, "/healthz": true, "/readyz": true, "/readyz/leader": true, "/robots.txt": true, "/favicon.ico": true}

// check is nil if the request may be served.
func (g *guard) check(r *http.Request) *failure {
	path := r.URL.Path
	stream := path == streamPath || path == snapshotStreamPath
	if g.certificate && (stream || r.Header.Get(forwardedHeader) != "") {
		if !verified(r) {
			g.connections.once(r.RemoteAddr, "refused a peer without a certificate of our CA", "path", path)
			return refuse(http.StatusForbidden, "certificate_required", "this is for members, who show a certificate of the cluster's CA; clients ask without %s", forwardedHeader)
		}
		if stream {
			return nil
		}
	}
	if g.token == nil || openPaths[path] {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	if stream {
		g.connections.once(r.RemoteAddr, "refused a peer without the token", "path", path)
	}
	return refuse(http.StatusUnauthorized, "unauthorized", "the token is missing or wrong; send it as Authorization: Bearer TOKEN")
}

// verified reports that the caller has shown a certificate, and that our CA signed it.
func verified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// onceLog writes each line once for each host: a peer that is refused comes back several times a second.
type onceLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[string]bool
}

const onceLogLinesMax = 1024

func (l *onceLog) once(remote, message string, args ...any) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	l.mu.Lock()
	if len(l.seen) >= onceLogLinesMax {
		clear(l.seen) // hosts are many: do not remember without bound
	}
	known := l.seen[host+" "+message]
	l.seen[host+" "+message] = true
	l.mu.Unlock()
	if !known {
		l.log.Warn(message, append([]any{"remote", remote}, args...)...)
	}
}

// Write takes what net/http has to say of connections, such as
// "http: TLS handshake error from 127.0.0.1:4711: remote error: tls: bad certificate".
func (l *onceLog) Write(line []byte) (int, error) {
	message := strings.TrimSpace(string(line))
	before, rest, ok := strings.Cut(message, " from ")
	remote, reason, okay := strings.Cut(rest, ": ")
	if !ok || !okay || !strings.Contains(before, "TLS handshake error") {
		l.log.Warn(message)
		return len(line), nil
	}
	l.once(remote, before+": "+reason)
	return len(line), nil
}
