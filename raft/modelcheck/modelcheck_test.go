package modelcheck

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

// The flags set the bounds of TestTheBound; README.md lists bounds that were completed.
var (
	asked  = Bounds{}
	order  = flag.String("order", "breadth", "breadth, depth or walks")
	seed   = flag.Uint64("seed", 1, "of -order walks")
	giveUp = flag.Duration("for", 10*time.Minute, "give up after so long")
)

func init() {
	for _, f := range []struct {
		name  string
		value *int
		usual int
	}{
		{"members", &asked.Members, ciBound.Members}, {"spares", &asked.Spares, ciBound.Spares}, {"terms", &asked.Terms, ciBound.Terms},
		{"commands", &asked.Commands, ciBound.Commands}, {"crashes", &asked.Crashes, ciBound.Crashes},
		{"heartbeats", &asked.Heartbeats, ciBound.Heartbeats}, {"step-downs", &asked.StepDowns, ciBound.StepDowns}, {"reads", &asked.Reads, ciBound.Reads}, {"changes", &asked.Changes, ciBound.Changes},
		{"transfers", &asked.Transfers, ciBound.Transfers}, {"slow-disk", &asked.SlowDisk, ciBound.SlowDisk}, {"append-bytes", &asked.AppendBytes, ciBound.AppendBytes},
		{"depth", &asked.Depth, 0}, {"states", &asked.States, 0},
	} {
		flag.IntVar(f.value, f.name, f.usual, "bound; see Bounds")
	}
	flag.BoolVar(&asked.PreVote, "pre-vote", ciBound.PreVote, "explore the messages of pre-votes")
}

// ciBound is what every run of the tests completes.
var ciBound = Bounds{Members: 3, Terms: 2, Crashes: 1, Heartbeats: 1}

func TestTheBound(t *testing.T) {
	how := map[string]Order{"breadth": BreadthFirst, "depth": DepthFirst, "walks": Walks}
	o, known := how[*order]
	if !known {
		t.Fatalf("-order %s is none of breadth, depth, walks", *order)
	}
	if *giveUp <= 0 {
		t.Fatalf("-for %v must be positive", *giveUp)
	}
	result, err := Search(Options{Bounds: asked, Order: o, Seed: *seed, For: *giveUp, Progress: func(r Result) {
		if testing.Verbose() {
			fmt.Println(r)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v\n%v", asked, result)
	if v := result.Violation; v != nil {
		t.Errorf("%v, after %d steps\n\n%s", v.Err, v.Steps, v.Script)
	} else if !result.Complete && o != Walks {
		t.Errorf("the bound was not completed")
	}
}

// small bounds turn one knob each, and are completed in every run of the tests too.
var small = []Bounds{
	{Members: 3, Terms: 1, Commands: 1, Crashes: 1},
	{Members: 3, Terms: 2, Commands: 1},
	{Members: 3, Terms: 1, Commands: 1, Changes: 1},
	{Members: 2, Spares: 1, Terms: 1, Changes: 2},
	{Members: 3, Terms: 1, Reads: 1},
	{Members: 3, Terms: 1, Crashes: 1, SlowDisk: 2},
	{Members: 3, Terms: 1, PreVote: true},
	{Members: 3, Terms: 2, StepDowns: 1},
	{Members: 3, Terms: 2, Transfers: 1},
	{Members: 2, Terms: 3, Commands: 1, Crashes: 1},
	{Members: 4, Terms: 1, Commands: 1},
	{Members: 1, Terms: 3, Commands: 3, Crashes: 3, Reads: 2},
}

func TestSmallBoundsAreCompleted(t *testing.T) {
	for _, b := range small {
		result, err := Search(Options{Bounds: b, For: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v\n%v", b, result)
		if v := result.Violation; v != nil {
			t.Errorf("%v: %v\n\n%s", b, v.Err, v.Script)
		} else if !result.Complete {
			t.Errorf("%v: not completed", b)
		}
	}
}
