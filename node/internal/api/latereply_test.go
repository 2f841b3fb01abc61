package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestTheRefusalOfASlowBodyComesInTime: who is refused while the rest of a body is still to come is told so soon, and not
// when the connection's time is over, more than a minute later.
func TestTheRefusalOfASlowBodyComesInTime(t *testing.T) {
	m := one(t, nil)
	for _, c := range []struct {
		target string
		length string
		want   int
	}{
		{"/k?timeout=100ms", "5", http.StatusRequestTimeout},
		{"/k?timeout=never", "5", http.StatusBadRequest}, // before the body is looked at
		{"/k?timeout=60s", "5000000", http.StatusRequestEntityTooLarge},
		{"/livez", "5", http.StatusMethodNotAllowed},
	} {
		conn, err := net.Dial("tcp", m.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "PUT "+c.target+" HTTP/1.1\r\nHost: x\r\nContent-Length: "+c.length+"\r\n\r\nab"); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: no reply: %v", c.target, err)
			continue
		}
		response.Body.Close()
		if response.StatusCode != c.want || !response.Close {
			t.Errorf("%s: %s, connection closed: %v; want %d and a closed one", c.target, response.Status, response.Close, c.want)
		}
	}
}
