package harness

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"raftlab/harness/internal/stream"
)

// ClientSide is the end of a Link at which the clients are: Link{ClientSide, "n2"} is what they say to n2.
const ClientSide = "clients"

// Front stands between the clients of a load and the members, in the lab itself and so in every world, and can cut the
// clients from a member whose peers still hear it. It is a Cluster whose endpoints are its own; give it to the Load, and
// the cluster itself to everybody else. Close ends the front only.
type Front struct {
	Cluster

	mu    sync.Mutex
	sides map[string]*side

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// side is the way between the clients and one member.
type side struct {
	listener    net.Listener
	there, back *stream.Gate
}

// NewFront listens once for every member of c.
func NewFront(c Cluster) (*Front, error) {
	f := &Front{Cluster: c, sides: map[string]*side{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	for _, node := range Names(c) {
		if _, err := f.side(node); err != nil {
			f.Close(f.ctx)
			return nil, err
		}
	}
	return f, nil
}

// side is the way to a member: a new one where it has come since.
func (f *Front) side(node string) (*side, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sides[node]; s != nil {
		return s, nil
	}
	if f.ctx.Err() != nil || !slices.Contains(Names(f.Cluster), node) {
		return nil, fmt.Errorf("harness: front: there is no member %q", node)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("harness: front: %w", err)
	}
	s := &side{listener: l, there: stream.NewGate(), back: stream.NewGate()}
	f.sides[node] = s
	f.running.Go(func() { f.accept(node, s) })
	return s, nil
}

// Endpoint is where the front listens for this member.
func (f *Front) Endpoint(_ context.Context, node string) (string, error) {
	s, err := f.side(node)
	if err != nil {
		return "", err
	}
	return s.listener.Addr().String(), nil
}

// Close ends every connection. The cluster goes on.
func (f *Front) Close(context.Context) error {
	f.mu.Lock()
	f.cancel()
	for _, s := range f.sides {
		s.listener.Close()
	}
	f.mu.Unlock()
	f.running.Wait()
	return nil
}

func (f *Front) accept(node string, s *side) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // the front is closed
		}
		client := conn.(*net.TCPConn)
		f.running.Go(func() {
			defer client.Close()
			defer context.AfterFunc(f.ctx, func() { client.Close() })()
			if server := f.dial(node); server != nil {
				defer context.AfterFunc(f.ctx, func() { server.Close() })()
				stream.Carry(f.ctx, bufio.NewReader(client), client, server, s.there, s.back)
			}
		})
	}
}

// frontDialTimeout is what a client's own dialler would have.
const frontDialTimeout = time.Second

// dial finds the member where it is now. A client whose member does not answer sees its connection end.
func (f *Front) dial(node string) *net.TCPConn {
	ctx, cancel := context.WithTimeout(f.ctx, frontDialTimeout)
	defer cancel()
	endpoint, err := f.Cluster.Endpoint(ctx, node)
	if err != nil {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return nil
	}
	return conn.(*net.TCPConn)
}

// CutClients withholds everything between the clients and these members, both ways, until it is healed.
func (f *Front) CutClients(nodes []string) (Cut, error) {
	c := &frontCut{gates: map[Link]*stream.Gate{}, before: map[Link]uint64{}}
	for _, node := range nodes {
		s, err := f.side(node)
		if err != nil {
			return nil, err
		}
		c.gates[Link{ClientSide, node}], c.gates[Link{node, ClientSide}] = s.there, s.back
	}
	for link, gate := range c.gates {
		c.before[link] = gate.Shut()
	}
	return c, nil
}

type frontCut struct {
	gates map[Link]*stream.Gate

	mu     sync.Mutex
	before map[Link]uint64
}

func (c *frontCut) Dropped(context.Context) (map[Link]uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := maps.Clone(c.before)
	for link, before := range c.before {
		dropped[link] = c.gates[link].Withheld() - before
	}
	return dropped, nil
}

func (c *frontCut) Heal(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for link := range c.before {
		c.gates[link].Open()
	}
	clear(c.before)
	return nil
}
