package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"raftlab/chaos"
	"raftlab/node/sim"
)

// One seed cannot see everything: with --marks that is no PASS, and is what CI asks of a thousand.
func TestWhatNoSeedHasSeenWasNotTested(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"sim", "--seed", "1", "--seeds", "1", "--html", "none"}, 0, "PASS"},
		{[]string{"sim", "--seed", "1", "--seeds", "1", "--html", "none", "--marks"}, 2, "UNKNOWN: what no seed has seen"},
	} {
		ran := invoke(t, nil, c.args...)
		if ran.code != c.code || !strings.Contains(ran.stdout, "never seen: ") || !strings.Contains(ran.stdout, c.says) {
			t.Errorf("raftlab %s: exit code %d, want %d and %q:\n%s%s", strings.Join(c.args, " "), ran.code, c.code, c.says, ran.stdout, ran.stderr)
		}
	}
}

// What cannot be done is said, with the code for it; what was found is never hidden by it.
func TestWhatTheSimulatorCannotDoIsSaid(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plan := sim.Draw(3)
	whole := plan.String()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--seed", "3", "--marks"}, 64, "--marks is for many seeds"},
		{[]string{"--seed", "3", "--seeds", "2", "--trace"}, 64, "neither --seeds nor --for"},
		{[]string{"--seed", "3", "--shrink"}, 64, "this run passes, there is nothing to shrink"},
		{[]string{"--seed", "3", "--html", filepath.Join(dir, "none", "a.html")}, 3, "--html: "},
		{[]string{"--plan", file("empty", "# nothing\n")}, 64, "there is nothing in it"},
		{[]string{"--plan", file("twice", whole+"members 3\n")}, 64, "members is given twice"},
		{[]string{"--plan", file("word", strings.Replace(whole, "members ", "members x", 1))}, 64, `cannot be read: invalid syntax`},
		{[]string{"--plan", file("share", whole+"fault 1s pause leader for -1s n 0\n")}, 64, "no time of it may be negative"},
		{[]string{"--plan", file("loss", regexp.MustCompile(`(?m)^loss .*`).ReplaceAllString(whole, "loss NaN"))}, 64, "loss NaN must be a share"},
		{[]string{"--plan", file("value", regexp.MustCompile(`(?m)^value .*`).ReplaceAllString(whole, "value 999999999999"))}, 64, "none above"},
		{[]string{"--plan", file("until", regexp.MustCompile(`(?m)^until .*`).ReplaceAllString(whole, "until 100000h"))}, 64, "at most 1h"},
	} {
		args := append([]string{"sim"}, c.args...)
		if !slices.Contains(args, "--html") {
			args = append(args, "--html", "none")
		}
		ran := invoke(t, nil, args...)
		if ran.code != c.code || !strings.Contains(ran.stdout+ran.stderr, c.says) {
			t.Errorf("raftlab %s: exit code %d, want %d and %q:\n%s%s", strings.Join(args, " "), ran.code, c.code, c.says, ran.stdout, ran.stderr)
		}
	}
}

// A seed that fails once and then does not is the worst that a simulator can show of itself: no PASS.
func TestASeedThatIsNotTheSameRunTwiceIsAFailure(t *testing.T) {
	var said strings.Builder
	before := sim.Result{Failure: &sim.Failure{Check: "planted", Message: "once"}}
	err := simReport(simOptions{html: "none"}, sim.Draw(3), "--seed 3", &before, &said)
	var e exit
	if !errors.As(err, &e) || e.code != chaos.ExitFail || !strings.Contains(said.String(), "FAIL not the same run twice") {
		t.Errorf("%v\n%s", err, said.String())
	}
}
