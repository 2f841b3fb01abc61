package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raftlab/chaos"
)

func TestTheStatusLineIsForTerminalsOnly(t *testing.T) {
	going := chaos.Progress{At: 12300 * time.Millisecond, OK: 40, Total: 50, Leader: "n2", Fault: "fault #1 partition leader " + strings.Repeat("x", 80)}
	var plain, live strings.Builder
	for out, c := range map[*strings.Builder]*console{&plain: newConsole(&plain), &live: {out: &live, live: true, color: true, width: 40}} {
		c.status(going)
		c.line("a line")
		c.status(going)
		c.end()
		out.WriteString(c.verdict(chaos.Fail))
	}
	if plain.String() != "a line\nFAIL   " {
		t.Errorf("plain: %q", plain.String())
	}
	status := "  12.3s  40 ok of 50  leader n2  fault #1 partition"[:39]
	if want := status + clearLine + "a line\n" + status + clearLine + "\x1b[1;31mFAIL   \x1b[0m"; live.String() != want {
		t.Errorf("live: %q\nwant  %q", live.String(), want)
	}
}

// A real terminal has the status line and colours, unless it or its user wants none.
func TestATerminalIsFoundAndNOCOLORIsHeard(t *testing.T) {
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 132}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		term, noColor string
		out           *os.File
		live, color   bool
	}{
		{"xterm", "", terminal, true, true}, {"xterm", "1", terminal, true, false}, {"dumb", "", terminal, false, false}, {"", "", terminal, false, false}, {"xterm", "", pipe(t), false, false},
	} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColor)
		if got := newConsole(c.out); got.live != c.live || got.color != c.color || got.live && got.width != 132 {
			t.Errorf("TERM=%s NO_COLOR=%s: live %v, colour %v, %d wide", c.term, c.noColor, got.live, got.color, got.width)
		}
	}
}

func pipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}
