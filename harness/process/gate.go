package process

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

var errDeadline = os.ErrDeadlineExceeded

// gate is one direction between two members. While it is shut nothing passes: when shut returns, no byte that
// was not passed before will be, until open.
type gate struct {
	mu       sync.Mutex
	way      chan struct{} // closed while the gate is open
	shutters int           // cuts that hold it shut
	held     uint64        // chunks, stream ends and connections withheld so far, in all cuts
	writing  int           // writes that are passing now
	idle     *sync.Cond
	carriers map[*net.TCPConn]int // receiving ends of the streams that go this way
}

func newGate() *gate {
	g := &gate{way: make(chan struct{}), carriers: map[*net.TCPConn]int{}}
	g.idle = sync.NewCond(&g.mu)
	close(g.way)
	return g
}

// shut holds the gate shut until an open of its own, and says what was withheld before. It also stops writes under
// way: one to a receiver that does not read (a paused process) would otherwise hold us up, and end in the middle of the
// cut.
func (g *gate) shut() (before uint64) {
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

// open takes back one shut.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutters--; g.shutters == 0 {
		close(g.way)
	}
}

func (g *gate) withheld() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// withhold counts what has come and may not pass.
func (g *gate) withhold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutters > 0 {
		g.held++
	}
}

// passable is closed while the gate is open.
func (g *gate) passable() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.way
}

// pass runs one write (or the end of a stream) while the gate is open; it waits for that if need be.
func (g *gate) pass(ctx context.Context, write func() error) error {
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

func (g *gate) join(conn *net.TCPConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.carriers[conn]++
}

func (g *gate) leave(conn *net.TCPConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.carriers[conn]--; g.carriers[conn] == 0 {
		delete(g.carriers, conn)
	}
}

// errReceiver means that the receiving end of a stream is gone, which its sender learns only through the gate of
// the other direction.
var errReceiver = errors.New("process: relay: receiver is gone")

// carry moves bytes both ways until both have ended, or one has broken.
func carry(ctx context.Context, br *bufio.Reader, client, server *net.TCPConn, there, back *gate) {
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
	direction := func(src io.Reader, dst *net.TCPConn, g, other *gate) {
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
func pump(ctx context.Context, src io.Reader, dst *net.TCPConn, g *gate, readers *sync.WaitGroup) error {
	g.join(dst)
	defer g.leave(dst)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan []byte, queueChunks)
	var readErr error // written before queue is closed
	readers.Go(func() {
		defer close(queue)
		readErr = read(ctx, src, queue, g)
	})
	for chunk := range queue {
		if err := write(ctx, dst, g, chunk); err != nil {
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

func read(ctx context.Context, src io.Reader, queue chan<- []byte, g *gate) error {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			g.withhold()
			select {
			case queue <- append([]byte(nil), buffer[:n]...):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			g.withhold()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func write(ctx context.Context, dst *net.TCPConn, g *gate, chunk []byte) error {
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
		if refused != nil && !errors.Is(refused, errDeadline) { // a deadline is shut's, see there
			return errReceiver
		}
	}
	return nil
}
