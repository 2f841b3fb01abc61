package chaos

import (
	"strings"
	"testing"

	"raftlab/harness"
)

// isolated is n1 cut off from four others, with packets between it and each of the named ones.
func isolated(bit ...string) Observations {
	o := Observations{World: "docker", Before: probes(running), During: probes(running), After: probes(running),
		Links: isolate([]string{"n1", "n2", "n3", "n4", "n5"}, []string{"n1"}), Dropped: map[harness.Link]uint64{}}
	for _, link := range o.Links {
		o.Dropped[link] = 0
	}
	for _, other := range bit {
		o.Dropped[harness.Link{From: other, To: "n1"}] = 7
	}
	return o
}

func TestAPartitionNeedsARuleForEveryLinkAndPacketsBetweenTheTargetAndAMajority(t *testing.T) {
	without := func(o Observations, links ...harness.Link) Observations {
		for _, link := range links {
			delete(o.Dropped, link)
		}
		return o
	}
	for name, c := range map[string]struct {
		seen Observations
		want Outcome
		says string
	}{
		"all four":                {isolated("n2", "n3", "n4", "n5"), Installed, "28 packets dropped by 8 rules"},
		"three of four":           {isolated("n2", "n3", "n5"), Installed, "21 packets dropped by 8 rules"},
		"two of four":             {isolated("n2", "n3"), Indeterminate, "the rules between n1 and n4 n5 dropped nothing"},
		"one rule of eight bites": {isolated("n2"), Indeterminate, "between n1 and n3 n4 n5 dropped nothing"},
		"a link without a rule": {without(isolated("n2", "n3", "n4", "n5"), harness.Link{From: "n1", To: "n4"}), Indeterminate,
			"no rule was found for n1 → n4"},
		"links that nobody named": {Observations{Before: probes(running), After: probes(running)}, Indeterminate, "not known which links"},
	} {
		e := judgePartition([]string{"n1"}, c.seen)
		if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
			t.Errorf("%s: got %s %q, want %s with %q", name, e.Outcome, e.Says, c.want, c.says)
		}
	}
}

func TestTheLeaderWithOneMoreLeavesAMajority(t *testing.T) {
	partners := make(map[string]bool)
	for seed := range uint64(100) {
		got, err := LeaderMinority.Resolve(view(5, 2), Random(seed, targetStream))
		if err != nil || len(got) != 2 || got[0] != "n2" && got[1] != "n2" || got[0] >= got[1] {
			t.Fatalf("seed %d: %v, %v", seed, got, err)
		}
		partners[got[0]], partners[got[1]] = true, true
	}
	if len(partners) != 5 {
		t.Errorf("100 seeds picked only among %v", partners)
	}
	for n, want := range map[int]int{3: 1, 4: 1, 5: 2, 9: 2} {
		if got, err := LeaderMinority.Resolve(view(n, 1), Random(1, targetStream)); err != nil || len(got) != want {
			t.Errorf("of %d: %v, %v; want %d", n, got, err, want)
		}
	}
	if _, err := LeaderMinority.Resolve(view(5, 0), Random(1, targetStream)); err == nil {
		t.Error("without a leader it picked somebody")
	}
}
