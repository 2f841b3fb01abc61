package peer

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"raftlab/node/internal/wire"
	"raftlab/raft"
)

// slowConn delays what is read from it: a longer link.
type slowConn struct {
	net.Conn
	delay time.Duration
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(c.delay)
	return n, err
}

// The round trip is that of the link, also while messages go on, and it is new on a new stream.
func TestARoundTripIsTimed(t *testing.T) {
	const delay = 20 * time.Millisecond
	two := newNode(t, 2, nil)
	var told atomic.Int64
	one := newNode(t, 1, func(c *Config) {
		c.RoundTrip = func(id raft.ID, took time.Duration) {
			if id == 2 && took >= delay {
				told.Add(1)
			}
		}
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return slowConn{conn, delay}, err
		}
	})
	one.SetMembers([]raft.Member{two.member()})
	eventually(t, "several round trips, and messages between them", func() bool {
		one.Send([]raft.Message{one.message(2, 1)})
		return told.Load() >= 3 && one.peer(2).RoundTrip >= delay
	})
	if got := one.peer(2).RoundTrip; got > 5*time.Second {
		t.Errorf("a round trip on loopback took %v", got)
	}
	one.SetMembers(nil)
	if got := one.peer(2); got.RoundTrip != 0 {
		t.Errorf("%v is left of a peer that is gone", got)
	}
}

// A member of an older version answers no echo. It is asked for none, and its streams live.
func TestAnOlderMemberIsNotAskedForEchoes(t *testing.T) {
	strange := make(chan uint16, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var kept atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				from := bufio.NewReader(conn)
				if _, err := http.ReadRequest(from); err != nil {
					return
				}
				_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n\r\n"))
				var frame [8]byte
				for {
					if _, err := from.Read(frame[:]); err != nil {
						return
					}
					if frame != [8]byte{} {
						strange <- 1
						return
					}
					kept.Add(1)
					_, _ = conn.Write(wire.AppendKeepAlive(nil))
				}
			}()
		}
	}()
	one := newNode(t, 1, nil)
	one.SetMembers([]raft.Member{{ID: 2, Address: listener.Addr().String()}})
	eventually(t, "five keep-alives", func() bool { return kept.Load() >= 5 })
	select {
	case <-strange:
		t.Error("it got a frame that is no keep-alive")
	default:
	}
	if got := one.peer(2); got.RoundTrip != 0 || got.Connects != 1 {
		t.Errorf("%+v, want no round trip and one connection", got)
	}
}
