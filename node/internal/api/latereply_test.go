package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestTheReplyToASlowBodyComesInTime: who stops in the middle of a body is told so when the request's time is over, and
// not when the connection's is, more than a minute later.
func TestTheReplyToASlowBodyComesInTime(t *testing.T) {
	m := one(t, nil)
	conn, err := net.Dial("tcp", m.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /k?timeout=100ms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestTimeout || !response.Close {
		t.Errorf("%s, connection closed: %v; want 408 and a closed one", response.Status, response.Close)
	}
}
