package peer

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"raftlab/raft"
)

// Without the time-out a cut link, which answers nothing, would hold a stream for minutes.
func TestAStreamBoundsUnacknowledgedBytes(t *testing.T) {
	dialed := make(chan net.Conn, 100)
	b := newNode(t, 2, nil)
	a := newNode(t, 1, func(c *Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				dialed <- conn
			}
			return conn, err
		}
	})
	a.SetMembers([]raft.Member{b.member()})
	a.connected(t, 2)
	raw, err := (<-dialed).(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	value := 0
	if e := raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if got := time.Duration(value) * time.Millisecond; got != userTimeout {
		t.Fatalf("TCP_USER_TIMEOUT is %v, want %v", got, userTimeout)
	}
}
