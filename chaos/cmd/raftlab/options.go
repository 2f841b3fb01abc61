package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"raftlab/chaos"
	"raftlab/chaos/mutants"
)

// notEmpty refuses --seed "": a script whose variable is not set must not run something else.
func notEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" && err == nil {
			err = usage("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// take notes what was given, and refuses what would be ignored.
func (o *options) take(flags *pflag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *pflag.Flag) { // in the order of their names
		given[f.Name] = true
		switch f.Name {
		case "system":
			o.given = append(o.given, "--system", o.system)
		case "workload", "image", "binary", "out", "leader-within", "served-within", "converge-within", "terms-max":
			o.given = append(o.given, "--"+f.Name, f.Value.String())
		}
	})
	if o.untilFail && !given["count"] {
		return usage("--until-fail wants --count: how often to run at most")
	}
	for flag, bound := range map[string]time.Duration{"leader-within": o.bounds.Leader, "served-within": o.bounds.Client, "converge-within": o.bounds.Converge} {
		if given[flag] && bound <= 0 {
			return usage("--%s %v must be above zero", flag, bound)
		}
	}
	o.loadOf(given)
	o.disks = sync.OnceValue(o.checkDisks)
	var err error
	if o.store, err = findStore(o.system); err != nil {
		return err
	}
	if !given["image"] {
		o.image = o.store.image
	}
	if !slices.Contains(chaos.Workloads, o.workload) {
		return usage("--workload %q is not known; use one of %s", o.workload, strings.Join(chaos.Workloads, ", "))
	}
	system := o.store.open(o.image, o.binary)
	defer system.Close()
	if err := chaos.CanAsk(system, o.workload); err != nil {
		return usage("--workload %s, --system %s: %w", o.workload, o.system, err)
	}
	switch {
	case o.backend != "auto" && o.backend != "docker" && o.backend != "process":
		return usage("--backend %q is none of auto, docker, process", o.backend)
	case given["for"] && o.faults == "":
		return usage("--for is for --faults; a scenario and a schedule have an end of their own")
	case given["image"] && given["binary"]:
		return usage("give --image, for docker, or --binary, for process, not both")
	case given["image"] && o.backend == "process":
		return usage("--image is for docker; the backend process takes --binary")
	case given["binary"] && o.backend == "docker":
		return usage("--binary is for process; the backend docker takes --image")
	case given["image"]:
		o.backend = "docker"
	case given["binary"]:
		o.backend = "process"
	}
	return nil
}

// loadOf takes what was not given from the scenario. One that nobody knows is refused later.
func (o *options) loadOf(given map[string]bool) {
	scenario, err := chaos.FindScenario(o.scenario)
	if err != nil || given["schedule"] || given["faults"] {
		return
	}
	load := scenario.Load.Or(chaos.DefaultLoad)
	if !given["clients"] {
		o.clients = load.Clients
	}
	if !given["keys"] {
		o.keys = load.Keys
	}
	if !given["rate"] {
		o.rate = load.Rate
	}
	if !given["at-leader"] {
		o.atLeader = min(load.AtLeader, o.clients)
	}
}

// validate names the first bad option with its rule, and draws what was left open.
func (o *options) validate(both bool) error {
	var seed uint64 = rand.Uint64N(1_000_000)
	if o.seedText != "" {
		var err error
		if seed, err = strconv.ParseUint(o.seedText, 10, 63); err != nil {
			return usage("--seed %q is not a whole number from 0 to 2^63-1", o.seedText)
		}
	}
	for _, bound := range []struct {
		flag          string
		value, lo, hi int
	}{
		{"nodes", o.nodes, nodesMin, nodesMax}, {"clients", o.clients, 1, clientsMax}, {"keys", o.keys, 1, keysMax},
		{"at-leader", o.atLeader, 0, o.clients}, {"count", o.count, 1, countMax},
		{"terms-max", o.bounds.Terms, 0, countMax},
	} {
		if bound.value < bound.lo || bound.value > bound.hi {
			return usage("--%s %d must be from %d to %d", bound.flag, bound.value, bound.lo, bound.hi)
		}
	}
	if !(o.rate > 0 && o.rate <= 100_000) {
		return usage("--rate %v must be above 0 and at most 100000", o.rate)
	}
	if both {
		return usage("give one of a scenario, --schedule and --faults, not two of them")
	}
	if o.mutant != "" && o.system != stores[0].name {
		return usage("--mutant %s is a bug of raftd, not of %s: leave --system out", o.mutant, o.system)
	}
	if o.mutant != "" {
		m, err := mutants.Find(o.mutant)
		if err != nil {
			return usage("%w", err)
		}
		o.planted = &m
	}
	return o.plan(seed)
}

// plan draws the schedule from the scenario or the list of faults, or reads it from the file.
func (o *options) plan(seed uint64) error {
	switch {
	case o.faults != "":
		return o.compose(seed)
	case o.scheduleFile == "":
		scenario, err := chaos.FindScenario(o.scenario)
		if err != nil {
			return usage("%w", err)
		}
		o.schedule, o.cannot = scenario.Schedule(seed, o.kind())
		return o.fits("scenario " + o.scenario)
	}
	file, err := os.Open(o.scheduleFile)
	if err != nil {
		return usage("--schedule: %w", err)
	}
	defer file.Close()
	if o.schedule, err = chaos.ParseSchedule(file); err != nil {
		return usage("--schedule %s: %w", o.scheduleFile, cited{err})
	}
	if o.seedText != "" {
		o.schedule.Seed = seed
	}
	o.scenario = "schedule"
	return o.fits("--schedule " + o.scheduleFile)
}

// compose draws the schedule from --faults. What was asked for by name and cannot be had here is refused.
func (o *options) compose(seed uint64) error {
	faults, err := chaos.ParseFaults(o.faults)
	if err != nil {
		return usage("--faults: %w", err)
	}
	if o.lasting < lastingMin || o.lasting > lastingMax {
		return usage("--for %v must be from %v to %v", o.lasting, lastingMin, lastingMax)
	}
	for _, f := range faults {
		if err := f.Able(o.kind()); err != nil {
			return environment("--faults: %w", err)
		}
	}
	o.scenario, o.schedule = "composed", chaos.Compose(faults, o.lasting, seed)
	return o.fits("--faults")
}

// fits refuses a schedule for other members than the ones that there will be.
func (o *options) fits(what string) error {
	var members []string
	for i := range o.nodes {
		members = append(members, fmt.Sprintf("n%d", i+1))
	}
	if err := o.schedule.Fits(members); err != nil {
		return usage("%s: %w", what, cited{err})
	}
	return nil
}

// cited is an error about a schedule whose file was named already.
type cited struct{ error }

func (c cited) Error() string {
	return strings.TrimPrefix(c.error.Error(), chaos.ErrSchedule.Error()+": ")
}
func (c cited) Unwrap() error { return c.error }

// again is the command that runs the same once more, as it was called this time.
func (o *options) again() string {
	words := append(program(os.Args[0]), "run")
	switch {
	case o.scheduleFile != "":
		words = append(words, "--schedule", o.scheduleFile)
	case o.faults != "":
		words = append(words, "--faults", o.faults, "--for", o.lasting.String())
	default:
		words = append(words, o.scenario)
	}
	words = append(words, strings.Fields(fmt.Sprintf("--seed %d --nodes %d --clients %d --keys %d --rate %g --at-leader %d --backend %s",
		o.schedule.Seed, o.nodes, o.clients, o.keys, o.rate, o.atLeader, o.backend))...)
	if o.mutant != "" {
		words = append(words, "--mutant", o.mutant)
	}
	words = append(words, o.given...)
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}

// program is how this one was called. What `go run` has built is gone when somebody reads it.
func program(called string) []string {
	if strings.Contains(called, string(filepath.Separator)+"go-build") {
		return []string{"go", "run", "raftlab/chaos/cmd/raftlab"}
	}
	return []string{called}
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%"
	if word != "" && strings.Trim(word, safe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
