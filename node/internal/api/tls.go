package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// TLS is what a member needs to speak TLS, on both sides of a connection. With a CA it is mutual between
// members: each shows its certificate, and takes only certificates of this CA. Clients need none; the CA must
// sign members only, because whoever holds one of its certificates is one.
type TLS struct {
	certificate tls.Certificate
	members     *x509.CertPool // nil: members are verified as any server is, and show nothing when they call
}

// LoadTLS reads PEM files. caFile may be empty. A certificate that other members would refuse is an error now,
// and not a cluster that does not form later.
func LoadTLS(certificateFile, keyFile, caFile string) (*TLS, error) {
	certificate, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("api: load certificate %s with key %s: %w", certificateFile, keyFile, err)
	}
	t := &TLS{certificate: certificate}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("api: load CA: %w", err)
	}
	t.members = x509.NewCertPool()
	if !t.members.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("api: load CA: %s holds no certificate in PEM", caFile)
	}
	if err := t.fit(); err != nil {
		return nil, fmt.Errorf("api: certificate %s and CA %s: %w", certificateFile, caFile, err)
	}
	return t, nil
}

// Covers says why other members, who dial this address, would not take the certificate for this one's; nil if they do.
func (t *TLS) Covers(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("api: address %s: %w", address, err)
	}
	if err := t.certificate.Leaf.VerifyHostname(host); err != nil {
		return fmt.Errorf("api: other members dial %s and would refuse this certificate: %w; make one with that name, or say with --advertise another address", address, err)
	}
	return nil
}

// fit reports why other members would refuse the certificate.
func (t *TLS) fit() error {
	leaf := t.certificate.Leaf
	if leaf == nil {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, der := range t.certificate.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	for _, use := range []struct {
		usage x509.ExtKeyUsage
		name  string
	}{{x509.ExtKeyUsageServerAuth, "serverAuth"}, {x509.ExtKeyUsageClientAuth, "clientAuth"}} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: t.members, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use.usage}})
		if err != nil {
			return fmt.Errorf("other members would refuse it (a member is server and client, so it needs both extended key usages; checked %s): %w", use.name, err)
		}
	}
	return nil
}

// Mutual reports that members show each other certificates.
func (t *TLS) Mutual() bool { return t.members != nil }

// Server is for the listener. A client may come without a certificate; which routes it then cannot ask for is
// decided for each request. HTTP/1.1 only: streams between members take connections over.
func (t *TLS) Server() *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{t.certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if t.members != nil {
		c.ClientCAs, c.ClientAuth = t.members, tls.VerifyClientCertIfGiven
	}
	return c
}

// Client is for connections to other members.
func (t *TLS) Client() *tls.Config {
	c := &tls.Config{RootCAs: t.members, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if t.members != nil {
		c.Certificates = []tls.Certificate{t.certificate}
	}
	return c
}

// Dial wraps a dial to other members: the connection that comes out has done its handshake, and the member at
// the other end has proved that it is the one at this address. Who uses it speaks HTTP on it as if it were plain.
func (t *TLS) Dial(dial dialFunc) dialFunc {
	config := t.Client()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		if c.ServerName, _, err = net.SplitHostPort(address); err != nil {
			c.ServerName = address
		}
		conn := tls.Client(plain, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, fmt.Errorf("api: TLS with %s: %w", address, err)
		}
		return conn, nil
	}
}
