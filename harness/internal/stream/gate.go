// Package stream carries TCP streams in both directions, each through a gate that can withhold, delay and slow what passes.
package stream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Gate is one direction between two ends. While it is shut nothing passes: when Shut returns, no byte that
// was not passed before will be, until Open. It is safe for concurrent use.
type Gate struct {
	mu       sync.Mutex
	way      chan struct{} // closed while the gate is open
	shutters int           // cuts that hold it shut
	held     uint64        // chunks, stream ends and connections withheld so far, in all cuts
	writing  int           // writes that are passing now
	idle     *sync.Cond
	carriers map[*net.TCPConn]int // receiving ends of the streams that go this way
	shapes   []*Shaped
}

// NewGate makes an open one.
func NewGate() *Gate {
	g := &Gate{way: make(chan struct{}), carriers: map[*net.TCPConn]int{}}
	g.idle = sync.NewCond(&g.mu)
	close(g.way)
	return g
}

// Shut holds the gate shut until an Open of its own, and says what was withheld before. It also stops writes under
// way: one to a receiver that does not read (a paused process) would otherwise hold us up, and end in the middle of the
// cut.
func (g *Gate) Shut() (before uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before = g.held
	g.shutters++
	if g.shutters > 1 {
		return before
	}
	g.way = make(chan struct{})
	for conn := range g.carriers {
		conn.SetWriteDeadline(time.Unix(1, 0))
	}
	for g.writing > 0 {
		g.idle.Wait()
	}
	for conn := range g.carriers {
		conn.SetWriteDeadline(time.Time{})
	}
	return before
}

// Open takes back one Shut.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutters--; g.shutters == 0 {
		close(g.way)
	}
}

// Withheld counts chunks, stream ends and connections so far.
func (g *Gate) Withheld() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// Withhold counts what has come and may not pass.
func (g *Gate) Withhold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutters > 0 {
		g.held++
	}
}

// Passable is closed while the gate is open.
func (g *Gate) Passable() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.way
}

// pass runs one write (or the end of a stream) while the gate is open; it waits for that if need be.
func (g *Gate) pass(ctx context.Context, write func() error) error {
	for {
		g.mu.Lock()
		if g.shutters == 0 {
			g.writing++
			g.mu.Unlock()
			err := write()
			g.mu.Lock()
			g.writing--
			g.idle.Broadcast()
			g.mu.Unlock()
			return err
		}
		way := g.way
		g.mu.Unlock()
		select {
		case <-way:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Gate) join(conn *net.TCPConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.carriers[conn]++
}

func (g *Gate) leave(conn *net.TCPConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.carriers[conn]--; g.carriers[conn] == 0 {
		delete(g.carriers, conn)
	}
}

// errReceiver means that the receiving end of a stream is gone, which its sender learns only through the gate of
// the other direction.
var errReceiver = errors.New("stream: receiver is gone")

// chunks bound what is held for one direction of one connection, as a socket's send buffer would; then the sender blocks.
const (
	queueChunks = 64
	chunkBytes  = 32 << 10
)

// Carry moves bytes both ways until both have ended, or one has broken. What was read from client before is in br.
func Carry(ctx context.Context, br *bufio.Reader, client, server *net.TCPConn, there, back *Gate) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broken := func() { // as a reset would: both ends learn at once
		client.SetLinger(0)
		server.SetLinger(0)
		client.Close()
		server.Close()
		cancel()
	}
	var both, readers sync.WaitGroup
	direction := func(src io.Reader, dst *net.TCPConn, g, other *Gate) {
		both.Go(func() {
			err := pump(ctx, src, dst, g, &readers)
			switch {
			case err == nil:
				// The end of the stream has passed; the other direction may go on.
			case errors.Is(err, errReceiver):
				if other.pass(ctx, func() error { return nil }) == nil {
					broken()
				}
			default:
				broken()
			}
		})
	}
	direction(br, server, there, back)
	direction(server, client, back, there)
	both.Wait()
	client.Close()
	server.Close()
	readers.Wait()
}

// pump moves one direction through its gate, in order. It returns nil once the end of the stream has passed,
// errReceiver when dst refuses, and the sender's error, through the gate as well, when the stream broke. Its
// reader may be blocked in a read when it returns; it ends once src is closed.
func pump(ctx context.Context, src io.Reader, dst *net.TCPConn, g *Gate, readers *sync.WaitGroup) error {
	g.join(dst)
	defer g.leave(dst)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan chunk, queueChunks)
	var readErr error // written before queue is closed
	readers.Go(func() {
		defer close(queue)
		readErr = read(ctx, src, queue, g)
	})
	for c := range queue {
		if err := c.wait(ctx); err != nil {
			return err
		}
		if err := write(ctx, dst, g, c.bytes); err != nil {
			return err
		}
	}
	return g.pass(ctx, func() error {
		if readErr != nil {
			return readErr
		}
		if dst.CloseWrite() != nil {
			return errReceiver
		}
		return nil
	})
}

func read(ctx context.Context, src io.Reader, queue chan<- chunk, g *Gate) error {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			g.Withhold()
			select {
			case queue <- g.shape(append([]byte(nil), buffer[:n]...)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			g.Withhold()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func write(ctx context.Context, dst *net.TCPConn, g *Gate, chunk []byte) error {
	for len(chunk) > 0 {
		var n int
		var refused error
		err := g.pass(ctx, func() error {
			n, refused = dst.Write(chunk)
			return nil
		})
		if err != nil {
			return err
		}
		chunk = chunk[n:]
		if refused != nil && !errors.Is(refused, os.ErrDeadlineExceeded) { // a deadline is Shut's, see there
			return errReceiver
		}
	}
	return nil
}
