package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPacketsAreShapedInARealKernel(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		inOwnNamespace(t)
		return
	}
	loopbackUp(t)
	listener, err := net.ListenPacket("udp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	arrives := func(d time.Duration) (string, bool) {
		buffer := make([]byte, 10)
		listener.SetReadDeadline(time.Now().Add(d))
		n, _, err := listener.ReadFrom(buffer)
		return string(buffer[:n]), err == nil
	}
	send := func(texts ...string) time.Time {
		conn, err := net.Dial("udp4", listener.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range texts {
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
		}
		return time.Now()
	}
	const patience, never = 5 * time.Second, 200 * time.Millisecond

	s := shape(t, "--delay", "100ms")
	sent := send("one", "two")
	for _, want := range []string{"one", "two"} {
		if got, ok := arrives(patience); !ok || got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if took := time.Since(sent); took < 95*time.Millisecond {
		t.Errorf("the delay was %v", took)
	}
	if p := s.passed(); p.Packets != 2 || p.Released != 2 || p.Held < 190*time.Millisecond || p.Bytes == 0 {
		t.Errorf("delayed: %+v", p)
	}
	s.stop()

	s = shape(t, "--loss", "1")
	send("lost")
	if got, ok := arrives(never); ok {
		t.Errorf("%q was not lost", got)
	}
	if p := s.passed(); p.Lost != 1 {
		t.Errorf("lost: %+v", p)
	}
	s.stop()

	s = shape(t, "--duplicate", "1")
	send("twice")
	for range 2 {
		if got, ok := arrives(patience); !ok || got != "twice" {
			t.Fatalf("got %q", got)
		}
	}
	if got, ok := arrives(never); ok {
		t.Errorf("the copy was copied: %q", got)
	}
	s.stop()

	s = shape(t, "--reorder", "1", "--delay", "150ms")
	send("first", "second")
	if got, _ := arrives(patience); got != "second" {
		t.Errorf("nothing was overtaken: %q came first", got)
	}
	if p := s.passed(); p.Reordered != 1 {
		t.Errorf("reordered: %+v", p)
	}
	s.stop() // what waits leaves
	if got, _ := arrives(patience); got != "first" {
		t.Errorf("what waited at the end is lost: %q", got)
	}

	s = shape(t, "--rate", "1000")
	sent = send("0123456789", "0123456789", "0123456789") // 38 bytes each with their headers
	for range 3 {
		arrives(patience)
	}
	if took := time.Since(sent); took < 110*time.Millisecond || took > 2*time.Second {
		t.Errorf("114 bytes at 1000 bytes a second took %v", took)
	}
	s.stop()
	sent = send("free")
	if got, ok := arrives(patience); !ok || got != "free" || time.Since(sent) > 90*time.Millisecond {
		t.Errorf("after all: %q after %v", got, time.Since(sent))
	}
}

// shaping is `agent shape` in this process.
type shaping struct {
	t     *testing.T
	stdin *io.PipeWriter
	lines *bufio.Scanner
	done  chan error
}

func shape(t *testing.T, args ...string) shaping {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	s := shaping{t: t, stdin: stdin, lines: bufio.NewScanner(stdout), done: make(chan error, 1)}
	go func() {
		err := run(append([]string{"shape", "--peer", "127.0.0.2/out"}, args...), in, out)
		out.CloseWithError(errors.Join(err, io.EOF))
		s.done <- err
	}()
	if !s.lines.Scan() || s.lines.Text() != `"ready"` {
		t.Fatalf("%q %v", s.lines.Text(), <-s.done)
	}
	return s
}

func (s shaping) passed() Passed {
	s.t.Helper()
	fmt.Fprintln(s.stdin)
	var p []Passed
	if !s.lines.Scan() || json.Unmarshal(s.lines.Bytes(), &p) != nil || len(p) != 1 {
		s.t.Fatalf("%q", s.lines.Text())
	}
	return p[0]
}

func (s shaping) stop() {
	s.t.Helper()
	s.stdin.Close()
	if err := <-s.done; err != nil {
		s.t.Fatal(err)
	}
}

func TestABadShapeIsUsage(t *testing.T) {
	for _, args := range []string{"", "--peer x", "--peer 10.0.0.1 --loss much", "--peer 10.0.0.1 now", "--peer 10.0.0.1 --number 0"} {
		if err := run(append([]string{"shape"}, strings.Fields(args)...), nil, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
