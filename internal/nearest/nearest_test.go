package nearest

import "testing"

func TestTheHintNamesWhatWasMeantOrWhereAllAre(t *testing.T) {
	scenarios := []string{"default", "partition-leader", "partition-minority", "kill-leader", "kill-all", "pause-leader", "pause-follower", "slow-link", "lossy-link", "messy-link", "one-way", "halves", "bridge"}
	for _, c := range []struct {
		word       string
		known      []string
		list, want string
	}{
		{"defualt", scenarios, "they are in a list", "did you mean default?"},
		{"kill-leadr", scenarios, "they are in a list", "did you mean kill-leader?"},
		{"KILL-ALL", scenarios, "they are in a list", "did you mean kill-all?"},
		{"partition", scenarios, "they are in a list", "did you mean partition-leader or partition-minority?"},
		{"link", scenarios, "they are in a list", "did you mean slow-link or lossy-link or messy-link?"},
		{"earthquake", scenarios, "they are in a list", "they are in a list"},
		{"", scenarios, "they are in a list", "they are in a list"},
		{"nosuch", []string{"one", "two"}, "", "use one, two"},
		{"tow", []string{"one", "two"}, "", "did you mean two?"},
		{"xy", []string{"one", "two"}, "", "use one, two"},
	} {
		if got := Hint(c.word, c.known, c.list); got != c.want {
			t.Errorf("%q: %q, want %q", c.word, got, c.want)
		}
	}
}
