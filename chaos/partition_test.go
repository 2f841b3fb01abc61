package chaos

import (
	"strings"
	"testing"

	"raftlab/harness"
)

// isolated is n1 cut off from four others, with packets between it and each of the named ones.
func isolated(bit ...string) *partition {
	p := &partition{apart: true, links: isolate(five, []string{"n1"}), dropped: map[harness.Link]uint64{}}
	for _, link := range p.links {
		p.dropped[link] = 0
	}
	for _, other := range bit {
		p.dropped[harness.Link{From: other, To: "n1"}] = 7
	}
	return p
}

func TestAPartitionNeedsARuleForEveryLinkAndPacketsBetweenTheTargetAndAMajority(t *testing.T) {
	without := func(p *partition, links ...harness.Link) *partition {
		for _, link := range links {
			delete(p.dropped, link)
		}
		return p
	}
	for name, c := range map[string]struct {
		seen *partition
		want Outcome
		says string
	}{
		"all four":                {isolated("n2", "n3", "n4", "n5"), Installed, "28 packets dropped by 8 rules"},
		"three of four":           {isolated("n2", "n3", "n5"), Installed, "21 packets dropped by 8 rules"},
		"two of four":             {isolated("n2", "n3"), Indeterminate, "the rules between n1 and n4 n5 dropped nothing"},
		"one rule of eight bites": {isolated("n2"), Indeterminate, "between n1 and n3 n4 n5 dropped nothing"},
		"a link without a rule": {without(isolated("n2", "n3", "n4", "n5"), harness.Link{From: "n1", To: "n4"}), Indeterminate,
			"no rule was found for n1 → n4"},
		"links that nobody named": {&partition{apart: true}, Indeterminate, "not known which links"},
	} {
		e := injected(Observations{World: "docker", Before: probes(running), During: probes(running), After: probes(running)}).judge(c.seen)
		if e.Outcome != c.want || !strings.Contains(e.Says, c.says) {
			t.Errorf("%s: got %s %q, want %s with %q", name, e.Outcome, e.Says, c.want, c.says)
		}
	}
}

func TestARingAndABridgeNeedPacketsOnMostOfTheirLinks(t *testing.T) {
	for name, links := range map[string][]harness.Link{"ring": ring(five), "bridge": bridge(five, []string{"n3"}, 2), "parts": bridge(five, []string{"n3"}, 4)} {
		dropped := make(map[harness.Link]uint64)
		for _, link := range links {
			dropped[link] = 0
		}
		want := len(links)/4 + 1 // of half as many pairs
		for bit := 0; bit <= want; bit++ {
			seen := &partition{links: links, dropped: dropped}
			e := injected(Observations{World: "docker", Before: probes(running), During: probes(running), After: probes(running)}).judge(seen)
			if (e.Outcome == Installed) != (bit == want) || bit < want && !strings.Contains(e.Says, "dropped nothing") {
				t.Errorf("%s: %d of %d pairs: %s %s", name, bit, len(links)/2, e.Outcome, e.Says)
			}
			for _, link := range links {
				if dropped[link] == 0 && dropped[harness.Link{From: link.To, To: link.From}] == 0 {
					dropped[link] = 3
					break
				}
			}
		}
	}
}

// In a ring everybody sees a majority and nobody sees all; over a bridge only the bridge does.
func TestARingLeavesEachMemberAMajority(t *testing.T) {
	for n := 4; n <= 9; n++ {
		all := view(n, 0).Members
		e := Effect{Cut: ring(all)}
		for _, m := range all {
			if reach := e.reach(m, all); 2*reach <= n || reach == n {
				t.Errorf("of %d, %s reaches %d", n, m, reach)
			}
		}
		e = Effect{Cut: bridge(all, []string{"n2"}, 2)}
		for _, m := range all {
			if reach := e.reach(m, all); (reach == n) != (m == "n2") || 2*reach < n {
				t.Errorf("over the bridge, of %d, %s reaches %d", n, m, reach)
			}
		}
		e = Effect{Cut: bridge(all, []string{"n2"}, n)}
		for _, m := range all {
			if e.Loses(m, all) == (m == "n2") || m != "n2" && e.reach(m, all) != 2 {
				t.Errorf("of %d, all apart but for the bridge, %s reaches %d", n, m, e.reach(m, all))
			}
		}
	}
	if _, err := ParseSchedule(strings.NewReader("seed 1\nat 1s ring for 2s\nend 4s")); err != nil {
		t.Error(err)
	}
	s := Schedule{Seed: 1, Events: []Event{{When: At(1), For: 1, Fault: Fault{Kind: Ring, Target: All}}}, End: 2}
	if err := s.Fits([]string{"n1", "n2", "n3"}); err == nil || !strings.Contains(err.Error(), "ring at n1 n2 n3 cuts no link") {
		t.Errorf("a ring of three: %v", err)
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
