package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"raftlab/chaos"
)

// console prints lines, and on a terminal keeps one line below them that says how the run is going. Anywhere else there
// are only lines: what reads them must not meet a cursor that moves.
type console struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool // a terminal that can clear a line
	color bool
	width int
	shown bool // there is a status line now
}

func newConsole(out io.Writer) *console {
	c := &console{out: out, width: 80}
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" {
		return c
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return c // a file or a pipe
	}
	if c.live = true; size.Col > 20 {
		c.width = int(size.Col)
	}
	c.color = os.Getenv("NO_COLOR") == "" // https://no-color.org
	return c
}

const clearLine = "\r\x1b[K"

// line prints text for good.
func (c *console) line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	fmt.Fprintln(c.out, text)
}

// status shows how it is going, in the place of what it showed before.
func (c *console) status(p chaos.Progress) {
	if !c.live {
		return
	}
	text := fmt.Sprintf("%6.1fs  %d ok of %d", p.At.Seconds(), p.OK, p.Total)
	if p.Leader != "" {
		text += "  leader " + p.Leader
	}
	if p.Fault != "" {
		text += "  " + p.Fault
	}
	for utf8.RuneCountInString(text) >= c.width {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	io.WriteString(c.out, text)
	c.shown = true
}

// end takes the status line away.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
}

func (c *console) clear() {
	if c.shown {
		io.WriteString(c.out, clearLine)
		c.shown = false
	}
}

// verdict is the word in its colour.
func (c *console) verdict(v chaos.Verdict) string {
	word := fmt.Sprintf("%-7s", v)
	code := map[chaos.Verdict]int{chaos.Pass: 32, chaos.Fail: 31}[v]
	if !c.color {
		return word
	}
	if code == 0 {
		code = 33
	}
	return fmt.Sprintf("\x1b[1;%dm%s\x1b[0m", code, word)
}
