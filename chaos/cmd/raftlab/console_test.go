package main

import (
	"strings"
	"testing"
	"time"

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
