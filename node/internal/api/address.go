package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"raftlab/raft"
)

// Address checks host:port, at which members reach each other, and writes it in one way, so that a member has one
// address. The error says what is wrong with it.
func Address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "address "+text+": "))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", errors.New("the port is not a number from 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return "", errors.New("no one can be dialled there")
		}
		return net.JoinHostPort(ip.String(), port), nil
	}
	if host == "" || len(host) > 253 {
		return "", errors.New("the host is missing or too long")
	}
	for _, c := range host {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return "", fmt.Errorf("%q cannot be in a host name", c)
		}
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// peerAddress is Address for a request.
func peerAddress(text string) (string, *failure) {
	address, err := Address(text)
	if err != nil {
		return "", refuse(http.StatusBadRequest, "bad_address", "address %q: %v; it must be host:port, as n2:8000 or [::1]:8001", text, err)
	}
	return address, nil
}

// memberAt finds the member at an address in its one writing. The first member of a cluster has its address from its
// command line, in whatever writing stood there.
func memberAt(c raft.Configuration, address string) (raft.Member, bool) {
	for _, m := range c.Members {
		if sameAddress(m, address) {
			return m, true
		}
	}
	return raft.Member{}, false
}

func sameAddress(m raft.Member, address string) bool {
	written, err := Address(m.Address)
	return m.Address == address || err == nil && written == address
}
