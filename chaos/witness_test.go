package chaos

import (
	"strings"
	"testing"
	"time"

	"raftlab/linearizability"
)

// claims is a put that was acknowledged and a read after it, of a member that says which part of the log it saw.
func claims(readAt uint64) []linearizability.Operation {
	return []linearizability.Operation{
		{ID: 1, Process: 1, Node: "n1", Kind: linearizability.Put, Key: "x", Value: "x1", Call: 1 * time.Millisecond, Return: 2 * time.Millisecond,
			Result: linearizability.Result{Outcome: linearizability.OK, Index: 5}},
		{ID: 2, Process: 2, Node: "n2", Kind: linearizability.Get, Key: "y", Call: 3 * time.Millisecond, Return: 4 * time.Millisecond,
			Result: linearizability.Result{Outcome: linearizability.OK, Index: readAt}},
	}
}

func TestTheClaimedOrderIsACheckOfItsOwn(t *testing.T) {
	if c := witnessed(linearizability.Witness(claims(5), nil), "this system's logs cannot be asked", linearizability.Pass); c.Verdict != Pass || !strings.Contains(c.Looked, "cannot be asked") {
		t.Errorf("an honest order: %+v", c)
	}
	// Two keys: each alone is linearizable, so porcupine passes. The claim is false all the same.
	c := witnessed(linearizability.Witness(claims(4), nil), "", linearizability.Pass)
	if c.Verdict != Fail || !strings.Contains(c.Reason, "the claimed order is false") || !strings.Contains(c.Reason, "clients alone could not have noticed") {
		t.Errorf("a false order: %+v", c)
	}
	none := claims(0)
	none[0].Index = 0
	if c := witnessed(linearizability.Witness(none, nil), "", linearizability.Pass); c.Verdict != Nothing || word(c.Verdict) != "-" {
		t.Errorf("no order at all: %+v", c)
	}
	broken := linearizability.Witness(append(claims(5), claims(5)...), nil)
	if c := witnessed(broken, "", linearizability.Pass); c.Verdict != Unknown {
		t.Errorf("an ill-formed history: %+v", c)
	}
}

func TestNothingToLookAtWeighsNothing(t *testing.T) {
	for _, v := range []Verdict{Pass, Environment, Unknown, Fail} {
		if Worst(Nothing, v) != v || Worst(v, Nothing) != v {
			t.Errorf("%s and nothing is %s", v, Worst(Nothing, v))
		}
	}
	if v := Worst(Nothing, Nothing); v != Unknown {
		t.Errorf("nothing at all is %s", v)
	}
}
