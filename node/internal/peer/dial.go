package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"raftlab/raft"
)

// The headers of a handshake. Ids are 16 hex digits.
const (
	headerCluster = "Raftlab-Cluster" // of a refusal too: that of who refuses
	headerFrom    = "Raftlab-From"
	headerTo      = "Raftlab-To"
	headerAddress = "Raftlab-Address"
	headerEcho    = "Raftlab-Echo" // of the answer: "1", echo frames come back; a member of an older version has none
)

var errNoCluster = errors.New("peer: we belong to no cluster yet")

// refusedError is the answer of a peer that does not want our stream.
type refusedError struct {
	status  int
	reason  string
	cluster string // of who refuses, as far as it says
}

// refusal reads an answer that is not the one that was hoped for: an error of the API, or a line of text.
func refusal(response *http.Response) *refusedError {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what came of it will do
	var body struct{ Message string }
	if json.Unmarshal(text, &body) == nil && body.Message != "" {
		text = []byte(body.Message)
	}
	return &refusedError{response.StatusCode, strings.TrimSpace(string(text[:min(len(text), 512)])), response.Header.Get(headerCluster)}
}

func (e *refusedError) Error() string { return fmt.Sprintf("peer: %d %s", e.status, e.reason) }

// connect dials and shakes hands. The reader holds what came behind the peer's answer.
func (s *sender) connect() (net.Conn, *bufio.Reader, error) {
	cluster := s.t.cfg.Cluster()
	if cluster == 0 {
		return nil, nil, errNoCluster
	}
	conn, err := s.t.dial(s.context, s.address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(s.context, func() { _ = conn.Close() })
	defer stop()
	replies, err := s.handshake(conn, cluster)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, replies, nil
}

func (t *Transport) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.DialTimeout)
	defer cancel()
	conn, err := t.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	setUserTimeout(conn, userTimeout)
	return conn, nil
}

// handshakeHeader says who we are and who is meant.
func (t *Transport) handshakeHeader(to raft.ID, cluster raft.ClusterID) http.Header {
	h := http.Header{headerCluster: {hexID(uint64(cluster))}, headerFrom: {hexID(uint64(t.cfg.Self))}, headerTo: {hexID(uint64(to))}}
	if t.cfg.Token != "" {
		h.Set("Authorization", "Bearer "+t.cfg.Token)
	}
	if t.cfg.Address != "" {
		h.Set(headerAddress, t.cfg.Address)
	}
	return h
}

func (s *sender) handshake(conn net.Conn, cluster raft.ClusterID) (*bufio.Reader, error) {
	request := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: s.address, Path: Path}, Host: s.address,
		Header: s.t.handshakeHeader(s.id, cluster),
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", Protocol)
	if err := conn.SetDeadline(time.Now().Add(s.t.cfg.DialTimeout)); err != nil {
		return nil, err
	}
	if err := request.Write(conn); err != nil {
		return nil, fmt.Errorf("peer: handshake: %w", err)
	}
	replies := bufio.NewReader(conn)
	response, err := http.ReadResponse(replies, request)
	if err != nil {
		return nil, fmt.Errorf("peer: handshake: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(response)
	}
	if response.Header.Get("Upgrade") != Protocol {
		return nil, &refusedError{status: response.StatusCode, reason: "switched to " + strconv.Quote(response.Header.Get("Upgrade"))}
	}
	s.mu.Lock()
	s.echo.spoken = response.Header.Get(headerEcho) == "1"
	s.mu.Unlock()
	return replies, conn.SetDeadline(time.Time{})
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }
