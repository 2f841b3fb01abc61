package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is a CA of the test's own.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.certificate, a.key = a.sign(t, "ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign writes name.pem and name-key.pem. The first that it signs is its own.
func (a *authority) sign(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	must(os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	signed, err := x509.ParseCertificate(der)
	must(err)
	return signed, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// member signs a certificate for members on the loopback address.
func (a *authority) member(t *testing.T, name string) *TLS {
	t.Helper()
	a.sign(t, name, memberCertificate())
	loaded, err := LoadTLS(a.file(name), a.file(name+"-key"), a.file("ca"))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func memberCertificate() *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "member"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// client trusts the CA, and shows the certificates.
func (a *authority) client(certificates ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &http.Client{
		CheckRedirect: client.CheckRedirect,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates}},
	}
}

// logged is a log that a test can read.
type logged struct {
	sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) count(text string) int {
	l.Lock()
	defer l.Unlock()
	return strings.Count(l.Buffer.String(), text)
}

const token = "s3cret.Token 1" // a space within is no trouble

var bearer = []string{"Authorization", "Bearer " + token}

func TestToken(t *testing.T) {
	members, _ := three(t, func(c *Config) {
		c.Token = token
		c.Stream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "stream") })
		c.Snapshot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "snapshot") })
	}, bearer...)
	leader, follower := members[0], members[1]
	last := leader.node.Status().Last
	for _, route := range [][2]string{
		{"GET", "/"}, {"GET", "/k"}, {"HEAD", "/k"}, {"PUT", "/k"}, {"DELETE", "/k"}, {"OPTIONS", "/k"}, {"PATCH", "/k"},
		{"GET", "/v1/kv/k"}, {"PUT", "/v1/kv/k"}, {"GET", "/v1/kv"}, {"GET", "/metrics"}, {"GET", "/version"}, {"GET", "/nothing/here"},
		{"PUT", "/__pyraft/peer/x:1"}, {"DELETE", "/__pyraft/peer/" + follower.address}, {"GET", "/__pyraft/peers"}, {"GET", "/__pyraft/status"},
		{"GET", "/__pyraft/identity"}, {"GET", "/__pyraft/events"}, {"POST", "/__pyraft/leader"}, {"POST", "/__pyraft/snapshot"},
		{"GET", streamPath}, {"POST", snapshotStreamPath}, {"GET", "/%5f_pyraft/stream"}, {"PUT", "/livez/x"}, {"GET", "/LIVEZ"},
	} {
		for _, shown := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + token + "x", "Bearer " + token[1:], "Basic " + token, token} {
			for _, m := range []*member{leader, follower} {
				headers := []string{"Authorization", shown}
				if shown == "" {
					headers = nil
				}
				r := do(t, m, route[0], route[1], "v", headers...)
				if r.code != 401 || r.h.Get("Www-Authenticate") != `Bearer realm="raftlab"` {
					t.Fatalf("%s with %q: %d %v", r.what, shown, r.code, r.h)
				}
				if route[0] != "HEAD" {
					r.failed(t, 401, "unauthorized")
				}
			}
		}
	}
	if now := leader.node.Status().Last; now != last {
		t.Errorf("the log grew from %d to %d", last, now)
	}
	for _, path := range []string{"/livez", "/healthz", "/readyz", "/readyz?verbose", "/robots.txt"} {
		do(t, follower, "GET", path, "").want(t, 200)
	}
	do(t, follower, "PUT", "/k", "v", bearer...).want(t, 200) // forwarded with the member's own
	do(t, follower, "GET", "/k", "", "Authorization", "bearer  "+token).want(t, 200)
	if home := do(t, follower, "GET", "/", "", bearer...).want(t, 200).body; strings.Contains(home, token) || !strings.Contains(home, `Bearer $TOKEN`) {
		t.Errorf("home:\n%s", home)
	}
	for path, want := range map[string]string{"GET " + streamPath: "stream", "POST " + snapshotStreamPath: "snapshot"} {
		method, path, _ := strings.Cut(path, " ")
		if r := do(t, leader, method, path, "", bearer...).want(t, 200); r.body != want {
			t.Errorf("%s: %q", path, r.body)
		}
	}
	for _, bad := range []string{"two\nlines", " around ", "umläut"} {
		if _, err := New(Config{Node: leader.node, Store: leader.store, Token: bad}); err == nil {
			t.Errorf("token %q, which cannot be sent, was taken", bad)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	ours := ca.member(t, "member")
	var log logged
	members, _ := three(t, func(c *Config) {
		c.TLS, c.Token = ours, token
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Stream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "stream") })
		c.Snapshot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "snapshot") })
	}, bearer...)
	follower := members[1]
	base := "https://" + follower.address
	plain, asMember := ca.client(), ca.client(ours.certificate)

	// A client needs the token and no certificate; the follower shows both to the leader.
	doWith(t, plain, base, "PUT", "/k", "v", bearer...).want(t, 200)
	doWith(t, plain, base, "PUT", "/k", "v").failed(t, 401, "unauthorized")
	doWith(t, asMember, base, "PUT", "/k", "v").failed(t, 401, "unauthorized") // a certificate is not a client's token
	if r := doWith(t, plain, base, "PUT", "/k?redirect", "v", bearer...).want(t, 307); r.h.Get("Location") != "https://"+members[0].address+"/k?redirect" {
		t.Errorf("Location: %s", r.h.Get("Location"))
	}
	if home := doWith(t, plain, base, "GET", "/", "", bearer...).body; !strings.Contains(home, base+"/keyx") {
		t.Errorf("home:\n%s", home)
	}
	// What members do wants their certificate.
	for _, c := range [][3]string{{"GET", streamPath, "stream"}, {"POST", snapshotStreamPath, "snapshot"}} {
		for range 2 {
			doWith(t, plain, base, c[0], c[1], "", bearer...).failed(t, 403, "certificate_required")
		}
		if r := doWith(t, asMember, base, c[0], c[1], "").want(t, 200); r.body != c[2] {
			t.Errorf("%s: %q", c[1], r.body)
		}
	}
	doWith(t, plain, base, "PUT", "/k", "v", append([]string{forwardedHeader, "1"}, bearer...)...).failed(t, 403, "certificate_required")
	doWith(t, asMember, base, "PUT", "/k", "v", append([]string{forwardedHeader, "1"}, bearer...)...).failed(t, 503, "not_leader")
	if n := log.count("refused a peer without a certificate"); n != 1 {
		t.Errorf("%d lines for five refusals of one host, want 1", n)
	}
	// A certificate of another CA does not get through the handshake, in either direction.
	theirs := other.member(t, "member")
	stranger := ca.client()
	stranger.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &theirs.certificate, nil // although the server names another CA
	}
	for range 3 {
		if r, err := stranger.Get(base + "/livez"); err == nil {
			r.Body.Close()
			t.Error("a certificate of another CA was taken")
		}
	}
	eventually(t, "the handshake is logged", func() bool { return log.count("TLS handshake error") > 0 })
	if n := log.count("TLS handshake error"); n != 1 {
		t.Errorf("%d lines for three handshakes of one host, want 1", n)
	}
	if _, err := theirs.Dial((&net.Dialer{}).DialContext)(t.Context(), "tcp", follower.address); err == nil {
		t.Error("a server of another CA was taken")
	}
	if r := do(t, follower, "GET", "/k", ""); r.code != 400 {
		t.Errorf("plain HTTP: %d", r.code)
	}
}

// Without a CA, TLS is for the server's side only, and nobody is asked for a certificate.
func TestTLSWithoutCA(t *testing.T) {
	ca := newAuthority(t, "ours")
	ca.sign(t, "member", memberCertificate())
	loaded, err := LoadTLS(ca.file("member"), ca.file("member-key"), "")
	if err != nil || loaded.Mutual() {
		t.Fatalf("%v", err)
	}
	m := one(t, func(c *Config) { c.TLS = loaded })
	doWith(t, ca.client(), "https://"+m.address, "PUT", "/k", "v").want(t, 200)
	if _, err := loaded.Dial((&net.Dialer{}).DialContext)(t.Context(), "tcp", m.address); err == nil {
		t.Error("a certificate that no known CA signed was taken")
	}
}

func TestCertificatesThatMembersWouldRefuse(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	sign := func(name string, change func(*x509.Certificate)) [3]string {
		c := memberCertificate()
		change(c)
		ca.sign(t, name, c)
		return [3]string{ca.file(name), ca.file(name + "-key"), ca.file("ca")}
	}
	good := sign("good", func(*x509.Certificate) {})
	if err := os.WriteFile(ca.file("text"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files [3]string
		says  string
	}{
		"no certificate":   {[3]string{ca.file("none"), good[1], good[2]}, "no such file"},
		"no key":           {[3]string{good[0], ca.file("none"), good[2]}, "no such file"},
		"no CA":            {[3]string{good[0], good[1], ca.file("none")}, "no such file"},
		"key of another":   {[3]string{good[0], ca.file("ca-key"), good[2]}, "does not match"},
		"CA is no PEM":     {[3]string{good[0], good[1], ca.file("text")}, "holds no certificate"},
		"another CA":       {[3]string{good[0], good[1], other.file("ca")}, "unknown authority"},
		"server only":      {sign("server", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), "clientAuth"},
		"client only":      {sign("client", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), "serverAuth"},
		"expired just now": {sign("expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired"},
	} {
		_, err := LoadTLS(c.files[0], c.files[1], c.files[2])
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "api: ") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := LoadTLS(good[0], good[1], good[2]); err != nil {
		t.Errorf("the good one: %v", err)
	}
}
