package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA of our own, and the files that it has written.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	a.key, a.cert = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a key and a certificate, and writes both; the first one is signed by itself.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer, parent := key, c
	if a.cert != nil {
		signer, parent = a.key, a.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestMembersWithMutualTLSAndAToken: three members speak only TLS, know each other by certificates of one CA, and
// clients by a token. A stranger with the right address and neither gets nowhere.
func TestMembersWithMutualTLSAndAToken(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "member", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err := os.WriteFile(a.file("token"), []byte("open-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := []string{"--tls-cert", a.file("member.pem"), "--tls-key", a.file("member.key"), "--tls-ca", a.file("ca.pem"), "--token-file", a.file("token")}
	members := launchSecure(t, 3, a.file("ca.pem"), secure)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}}}
	ask := func(method, url, token, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		reply, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer reply.Body.Close()
		b, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(b)
	}
	for _, m := range members { // through followers too: the forwarded request shows certificate and token
		if code, body := ask("PUT", "https://"+m.address+"/k", "open-sesame", "v"); code != http.StatusOK {
			t.Errorf("PUT with the token: %d %s", code, body)
		}
	}
	url := "https://" + members[1].address + "/k"
	if code, body := ask("GET", url, "open-sesame", ""); code != http.StatusOK || body != "v" {
		t.Errorf("GET with the token: %d %s", code, body)
	}
	for name, token := range map[string]string{"no token": "", "another token": "open-barley"} {
		if code, body := ask("PUT", url, token, "stolen"); code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, body := ask("GET", "http://"+members[1].address+"/k", "open-sesame", ""); code == http.StatusOK {
		t.Errorf("without TLS: %d %s", code, body)
	}
	if code, body := ask("GET", "https://"+members[1].address+"/__pyraft/stream", "open-sesame", ""); code != http.StatusForbidden {
		t.Errorf("a stream without a certificate: %d %s", code, body)
	}
	// Echoes go through the encrypted streams too, and each peer has its round trips.
	deadline, metrics := time.Now().Add(10*time.Second), ""
	for strings.Count(metrics, "\nraft_peer_rtt_seconds_count{") < 2 && time.Now().Before(deadline) {
		_, metrics = ask("GET", "https://"+members[0].address+"/metrics", "open-sesame", "")
		time.Sleep(20 * time.Millisecond)
	}
	if n := strings.Count(metrics, "\nraft_peer_rtt_seconds_count{"); n != 2 {
		t.Errorf("%d peers have round trips, want 2:\n%s", n, metrics)
	}
}

// TestWhoIsNotLetInIsToldWhy: that the members want a token, speak TLS, or would not take the certificate for this
// member's, and what to do about it.
func TestWhoIsNotLetInIsToldWhy(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "member", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	tls := []string{"--tls-cert", a.file("member.pem"), "--tls-key", a.file("member.key"), "--tls-ca", a.file("ca.pem")}
	secure := launch(t, freeAddress(t), t.TempDir(), append(tls, "--token", "open-sesame")...)
	secure.awaitReady("--url", "https://"+secure.address, "--tls-ca", a.file("ca.pem"))
	join := []string{"--join", secure.address, "--join-timeout", "300ms"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no token":      {append(join, tls...), "it wants a token, and this member has none or another; give it the cluster's with --token-file"},
		"another token": {append(append(join, "--token", "open-barley"), tls...), "it wants a token"},
		"no TLS":        {append(join, "--token", "open-sesame"), "it speaks TLS; give this member --tls-cert, --tls-key and --tls-ca"},
		"another name":  {append(tls, "--advertise", "n77:8000"), "other members dial n77:8000 and would refuse this certificate"},
	} {
		data := filepath.Join(t.TempDir(), "new")
		out, err := exec.Command(program, append([]string{"--listen", freeAddress(t), "--data", data}, c.args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.says) || strings.Contains(string(out), "leave --join out") {
			t.Errorf("%s: %v, %s; want %q", name, err, out, c.says)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: it left a data directory", name)
		}
	}
}

// launchSecure starts members that speak TLS; the others join the first, and all are ready.
func launchSecure(t *testing.T, n int, ca string, secure []string) (members []*member) {
	t.Helper()
	for i := range n {
		args := secure
		if i > 0 {
			args = append(args[:len(args):len(args)], "--join", members[0].address)
		}
		m := launch(t, freeAddress(t), t.TempDir(), args...)
		m.awaitReady("--url", "https://"+m.address, "--tls-ca", ca)
		members = append(members, m)
	}
	return members
}
