package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"raftlab/harness"
)

// pair is an open stream that n1 has dialled to n2 through the relay.
type pair struct {
	relay  *relay
	proxy  string // of n1
	n1, n2 *net.TCPConn
	accept <-chan *net.TCPConn
	target string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *net.TCPConn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn.(*net.TCPConn)
		}
	}()
	r, proxy := relayOf(t, "127.0.0.1:1", l.Addr().String())
	t.Cleanup(func() {
		r.close()
		l.Close()
		for conn := range accepted {
			conn.Close()
		}
	})
	p := &pair{relay: r, proxy: proxy, accept: accepted, target: l.Addr().String()}
	p.n1 = p.dial(t)
	p.await200(t, p.n1, 2*time.Second)
	p.n2 = <-accepted
	t.Cleanup(func() { p.n1.Close(); p.n2.Close() })
	return p
}

// relayOf has n1 and n2 at these addresses, and says where n1's proxy is.
func relayOf(t *testing.T, n1, n2 string) (*relay, string) {
	t.Helper()
	r := newRelay()
	proxy, err := r.add("n1", n1)
	if err == nil {
		_, err = r.add("n2", n2)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, proxy
}

// dial sends the CONNECT without waiting for the answer.
func (p *pair) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", p.target, p.target)
	return conn.(*net.TCPConn)
}

func (p *pair) await200(t *testing.T, conn net.Conn, d time.Duration) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(d))
	defer conn.SetReadDeadline(time.Time{})
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %v %v", resp, err)
	}
}

func (p *pair) cut(t *testing.T, links ...harness.Link) *cut {
	t.Helper()
	c, err := p.relay.cut(links)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withheld(c *cut, link harness.Link) uint64 {
	dropped, _ := c.Dropped(context.Background())
	return dropped[link]
}

func receives(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("received %q, want %q: %v", got[:n], want, err)
	}
}

func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("something came over a cut link: %d bytes, %v", n, err)
	}
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

var (
	there = harness.Link{From: "n1", To: "n2"}
	back  = harness.Link{From: "n2", To: "n1"}
)

// A cut is one-way, counted, and gives back in order what it has withheld.
func TestOneWayCutWithholdsOneDirection(t *testing.T) {
	p := newPair(t)
	send(t, p.n1, "before ")
	receives(t, p.n2, "before ")
	cut := p.cut(t, there)
	send(t, p.n1, "during ")
	silent(t, p.n2)
	send(t, p.n2, "other way")
	receives(t, p.n1, "other way")
	if !eventually(func() bool { return withheld(cut, there) > 0 }) {
		t.Fatal("nothing was counted")
	}
	p.relay.restore()
	send(t, p.n1, "after")
	receives(t, p.n2, "during after")
}

// Two cuts share a link: it is open again when both are healed, and each counts from its own beginning.
func TestALinkInTwoCutsIsOpenWhenBothAreHealed(t *testing.T) {
	p := newPair(t)
	first := p.cut(t, there)
	send(t, p.n1, "one ")
	if !eventually(func() bool { return withheld(first, there) == 1 }) {
		t.Fatal("the first cut counted nothing")
	}
	second := p.cut(t, there, back)
	if n := withheld(second, there); n != 0 {
		t.Errorf("the second cut counts %d from before it began", n)
	}
	first.Heal(t.Context())
	first.Heal(t.Context()) // it is healed already, and takes nothing from the other
	send(t, p.n1, "two")
	silent(t, p.n2)
	if dropped, _ := first.Dropped(t.Context()); len(dropped) != 0 {
		t.Errorf("the healed cut still has rules: %v", dropped)
	}
	if !eventually(func() bool { return withheld(second, there) == 1 }) {
		t.Fatalf("the second cut counted %d", withheld(second, there))
	}
	second.Heal(t.Context())
	receives(t, p.n2, "one two")
}

// What is delayed comes in order, measured, and late also by what a loss costs.
func TestAShapedLinkIsSlowAndSaysHowSlow(t *testing.T) {
	p := newPair(t)
	c := &Cluster{relay: p.relay}
	for name, shape := range map[string]harness.Shape{
		"delay": {Delay: 100 * time.Millisecond}, "loss": {Loss: 1e-9, Delay: 100 * time.Millisecond}, "rate": {Rate: 50},
	} {
		s, err := c.Shape(t.Context(), []harness.Link{there, there}, shape)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		send(t, p.n1, "slow ")
		receives(t, p.n2, "slow ")
		if took := time.Since(began); took < 95*time.Millisecond {
			t.Errorf("%s: 5 bytes came after %v", name, took)
		}
		began = time.Now()
		send(t, p.n2, "other way")
		receives(t, p.n1, "other way")
		passed, err := s.Passed(t.Context())
		if got := passed[there]; err != nil || len(passed) != 1 || got.Packets != 1 || got.Bytes != 5 || got.Released != 1 || got.Held < 95*time.Millisecond {
			t.Errorf("%s: %+v %v", name, passed, err)
		}
		s.Heal(t.Context())
		s.Heal(t.Context())
		send(t, p.n1, "fast")
		receives(t, p.n2, "fast")
		if left, _ := s.Passed(t.Context()); len(left) != 0 {
			t.Errorf("%s: healed, and yet %v", name, left)
		}
	}
	lossy, err := c.Shape(t.Context(), []harness.Link{there}, harness.Shape{Loss: 0.99})
	if err != nil {
		t.Fatal(err)
	}
	send(t, p.n1, "lost")
	if !eventually(func() bool { passed, _ := lossy.Passed(t.Context()); return passed[there].Lost == 1 }) {
		t.Error("nothing was lost")
	}
	for _, shape := range []harness.Shape{{Reorder: 0.5}, {Duplicate: 0.5}} {
		if _, err := c.Shape(t.Context(), []harness.Link{there}, shape); !errors.Is(err, harness.ErrUnsupported) {
			t.Errorf("%+v: %v", shape, err)
		}
	}
}

// The kernel of a dead process says goodbye; behind a cut nobody hears it.
func TestEndOfStreamIsWithheld(t *testing.T) {
	p := newPair(t)
	p.cut(t, back, there)
	p.n2.SetLinger(0)
	p.n2.Close()
	silent(t, p.n1)
	p.relay.restore()
	p.n1.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := p.n1.Read(make([]byte, 1)); err == nil {
		t.Fatal("n1 did not learn after the restore that n2 is gone")
	}
}

// A write that found the receiver's window full must not go on in the middle of the cut.
func TestCutStopsAWriteToAReceiverThatDoesNotRead(t *testing.T) {
	p := newPair(t)
	var total int64
	for buffer := make([]byte, 1<<20); ; { // until every buffer on the way is full
		p.n1.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := p.n1.Write(buffer)
		total += int64(n)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if err != nil && total > 0 { // with nothing written the time was gone before the write began
			break
		}
	}
	p.cut(t, there)
	// What the receiving kernel had is there; then nothing more comes until the restore.
	var got int64
	buffer := make([]byte, 1<<20)
	for give := time.Now().Add(10 * time.Second); ; {
		p.n2.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := p.n2.Read(buffer)
		got += int64(n)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if err != nil && (got > 0 || time.Now().After(give)) {
			break
		}
	}
	if got == 0 || got >= total {
		t.Fatalf("received %d of %d bytes during the cut", got, total)
	}
	p.relay.restore()
	p.n1.CloseWrite()
	p.n2.SetReadDeadline(time.Now().Add(5 * time.Second))
	rest, err := io.Copy(io.Discard, p.n2)
	if err != nil || got+rest != total {
		t.Fatalf("received %d + %d bytes of %d: %v", got, rest, total, err)
	}
}

// SYN needs one direction and its answer the other.
func TestDialHangsWhileEitherDirectionIsCut(t *testing.T) {
	for _, link := range []harness.Link{there, back} {
		t.Run(link.From+" to "+link.To, func(t *testing.T) {
			p := newPair(t)
			cut := p.cut(t, link)
			patient, impatient := p.dial(t), p.dial(t)
			silent(t, patient)
			impatient.CloseWrite()
			impatient.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := impatient.Read(make([]byte, 1)); err != io.EOF { // the relay has noticed
				t.Fatalf("the dialler that gave up is still served: %v", err)
			}
			if !eventually(func() bool { return withheld(cut, link) == 2 }) {
				t.Fatalf("counted %d", withheld(cut, link))
			}
			p.relay.restore()
			p.await200(t, patient, 2*time.Second)
			(<-p.accept).Close()
			select {
			case conn := <-p.accept:
				t.Fatalf("the dialler that gave up was connected from %s", conn.RemoteAddr())
			default:
			}
		})
	}
}

func TestRelayServesMembersOnly(t *testing.T) {
	p := newPair(t)
	conn, err := net.Dial("tcp", p.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("%v %v", resp, err)
	}
}

func TestDeadTargetIsRefusedAtOnce(t *testing.T) {
	r, proxy := relayOf(t, "127.0.0.1:1", "127.0.0.1:2")
	defer r.close()
	p := &pair{relay: r, proxy: proxy, target: "127.0.0.1:2"}
	resp, err := http.ReadResponse(bufio.NewReader(p.dial(t)), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Fatalf("%v %v", resp, err)
	}
}

// Go's net/http sends no loopback address to a proxy: a member that dials through it must be able to say a name.
func TestAMemberIsReachedByItsNameToo(t *testing.T) {
	p := newPair(t)
	_, port, _ := net.SplitHostPort(p.target)
	p.target = net.JoinHostPort("n2", port)
	byName := p.dial(t)
	p.await200(t, byName, 2*time.Second)
	other := <-p.accept
	defer other.Close()
	send(t, byName, "hello")
	receives(t, other, "hello")
	p.cut(t, harness.Link{From: "n1", To: "n2"})
	send(t, byName, "late")
	silent(t, other)
}
