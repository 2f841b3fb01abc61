package main

import (
	"slices"
	"strings"
	"testing"

	"raftlab/harness"
)

// The README kills n1 and then cuts the leader off: a member that does not run has no address that a rule could name.
func TestWhatDoesNotRunIsLeftOutOfAPartitionAndRefusedElsewhere(t *testing.T) {
	states := map[string]harness.ProcessState{"n1": harness.Exited, "n2": harness.Running, "n3": harness.Paused, "n4": harness.Running}
	groups, idle := running([][]string{{"n2"}, {"n1", "n3", "n4"}}, states)
	if !slices.Equal(groups[0], []string{"n2"}) || !slices.Equal(groups[1], []string{"n3", "n4"}) || !slices.Equal(idle, []string{"n1"}) {
		t.Errorf("%v, and %v does not run", groups, idle)
	}
	for _, c := range []struct {
		verb   string
		groups [][]string
		want   string
	}{
		{"partition", groups, ""},
		{"partition", [][]string{nil, {"n2"}}, "nobody on one side of it runs"},
		{"kill", [][]string{{"n1"}}, "kill: n1 does not run: raftlab fault heal starts it"},
		{"pause", [][]string{{"n2", "n1"}}, "pause: n1 does not run"},
		{"pause", [][]string{{"n3"}}, "pause: n3 is paused already"},
		{"kill", [][]string{{"n3"}}, ""},
		{"pause", [][]string{{"n2", "n4"}}, ""},
	} {
		err := possible(c.verb, c.groups, states)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.verb, c.groups, err, c.want)
		}
	}
}
