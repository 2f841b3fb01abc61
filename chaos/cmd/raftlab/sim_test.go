package main

import (
	"strings"
	"testing"
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
