package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"raftlab/harness"
	"raftlab/harness/internal/stream"
)

// relay stands between the members: each dials its peers through an HTTP CONNECT proxy of its own, so the
// listener says who speaks and the CONNECT target says to whom.
//
// A cut link withholds what is sent on it, in order, and lets it go when the link is restored. It does
// not drop: a TCP stream with a hole in it would be corrupt, and a real network does not make holes either, for the
// sender's kernel keeps what was not acknowledged and sends it again after the heal. So a member that stays
// connected gets old messages late, which is what its checks of term and sender are for. The end of a
// stream is withheld too: nobody behind a cut learns that a process has died. A new connection needs both
// directions (SYN, and SYN with ACK), so it hangs while either is cut, until the heal or until the dialler gives up.
//
// Two things differ from packets that are dropped (package docker). There a one-way cut also stops the
// acknowledgements of the other direction; here the other direction of an open stream goes on. And there a
// heal is followed by the sender's back-off; here everything arrives at once.
type relay struct {
	mu    sync.Mutex
	owner map[string]string // address of a member -> its name; also of those that were dropped
	// aliases are other ways to name an address: Go's net/http sends no loopback address to a proxy, so a member that
	// cannot choose how it dials goes by names.
	aliases map[string]string // name:port -> address
	gates   map[harness.Link]*stream.Gate
	cuts    map[*cut]bool // in force

	ctx       context.Context // ends with the relay
	cancel    context.CancelFunc
	listeners []net.Listener
	running   sync.WaitGroup
}

func newRelay() *relay {
	r := &relay{owner: map[string]string{}, aliases: map[string]string{}, gates: map[harness.Link]*stream.Gate{}, cuts: map[*cut]bool{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// add opens the proxy of a member, and says where. Gates are never taken away: a cut may hold them.
func (r *relay) add(node, address string) (proxy string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("process: relay: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.owner {
		if other != node {
			r.gates[harness.Link{From: node, To: other}] = stream.NewGate()
			r.gates[harness.Link{From: other, To: node}] = stream.NewGate()
		}
	}
	r.owner[address] = node
	if _, port, err := net.SplitHostPort(address); err == nil {
		r.aliases[net.JoinHostPort(node, port)] = address
	}
	r.listeners = append(r.listeners, l)
	r.running.Go(func() { r.accept(node, l) })
	return l.Addr().String(), nil
}

// way is the address that a CONNECT names, empty where it is no member's, and the gates on the way there and back.
func (r *relay) way(from, host string) (address string, there, back *stream.Gate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	address = host
	if alias, ok := r.aliases[host]; ok {
		address = alias
	}
	to, known := r.owner[address]
	switch {
	case !known:
		return "", nil, nil
	case from == to: // a member may dial its own address: that is no link
		return address, stream.NewGate(), stream.NewGate()
	}
	return address, r.gates[harness.Link{From: from, To: to}], r.gates[harness.Link{From: to, To: from}]
}

func (r *relay) close() {
	r.cancel()
	r.mu.Lock()
	for _, l := range r.listeners {
		l.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) accept(from string, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if r.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select { // out of file descriptors, most likely: let some connections end
			case <-r.ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		r.running.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(r.ctx, func() { conn.Close() })
			defer stop()
			r.serve(from, conn.(*net.TCPConn))
		})
	}
}

// serve answers one CONNECT and then carries bytes until both directions have ended.
func (r *relay) serve(from string, client *net.TCPConn) {
	br := bufio.NewReader(client)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	address, there, back := r.way(from, req.Host)
	switch {
	case req.Method != http.MethodConnect:
		fmt.Fprint(client, "HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n")
		return
	case address == "":
		fmt.Fprint(client, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if !r.awaitOpen(client, there, back) {
		return
	}
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		fmt.Fprint(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	stop := context.AfterFunc(r.ctx, func() { server.Close() })
	defer stop()
	if _, err := fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	stream.Carry(r.ctx, br, client, server, there, back)
}

// awaitOpen returns when neither direction is cut, or false when the dialler gave up or the relay closes.
func (r *relay) awaitOpen(client *net.TCPConn, there, back *stream.Gate) bool {
	for _, g := range []*stream.Gate{there, back} {
		select {
		case <-g.Passable():
			continue
		default:
		}
		g.Withhold()
		// The dialler says nothing before it has its answer, so a read ends only when it gives up.
		gone := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				close(gone)
			}
		})
		open := false
		select {
		case <-g.Passable():
			open = true
		case <-gone:
		case <-r.ctx.Done():
		}
		client.SetReadDeadline(time.Unix(1, 0))
		watch.Wait()
		client.SetReadDeadline(time.Time{})
		if !open {
			return false
		}
	}
	return true
}
