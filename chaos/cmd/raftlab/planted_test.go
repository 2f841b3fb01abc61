package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"raftlab/chaos/mutants"
)

// What a patch says is for it must be something that `raftlab run` takes.
func TestTheScenarioOfEveryMutantIsOne(t *testing.T) {
	all, err := mutants.All()
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range all {
		if m.Scenario == "" {
			continue
		}
		named++
		var o options
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		o.register(flags)
		words := strings.Fields(m.Scenario)
		if err := flags.Parse(append(words[1:], "--backend", "docker", "--mutant", m.ID)); err != nil {
			t.Errorf("%s: %v", m.ID, err)
			continue
		}
		o.scenario = words[0]
		if err := o.take(flags); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		} else if err := o.validate(false); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
	}
	if named < 50 {
		t.Errorf("only %d mutants name a scenario", named)
	}
}
