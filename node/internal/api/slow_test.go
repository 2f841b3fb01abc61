package api

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestSlowBodiesTakeNoRoomFromOthers: requests whose bodies do not come are not counted as under way, and end with a
// clear answer.
func TestSlowBodiesTakeNoRoomFromOthers(t *testing.T) {
	const inFlight = 4
	m := one(t, func(c *Config) { c.InFlightMax = inFlight })
	var slow []net.Conn
	for range 3 * inFlight {
		conn, err := net.Dial("tcp", m.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT /slow?timeout=300ms HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n")
		slow = append(slow, conn)
	}
	for range 20 {
		do(t, m, "PUT", "/k", "v").want(t, http.StatusOK)
		do(t, m, "GET", "/k", "").want(t, http.StatusOK)
	}
	for _, conn := range slow {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 12)
		if _, err := conn.Read(b); err != nil || string(b) != "HTTP/1.1 408" {
			t.Errorf("a body that did not come was answered %q (%v), want 408", b, err)
		}
	}
	do(t, m, "GET", "/slow", "").want(t, http.StatusNotFound)
}
