package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// raftdBinary is one build of raftd, and the name of its rows.
type raftdBinary struct{ name, path string }

// options is the command line of a run.
type options struct {
	raftd       []raftdBinary
	systems     []string
	ops         []string
	connections []int
	reps        int
	measure     time.Duration
	warmup      time.Duration
	pause       time.Duration
	keys        int
	valueBytes  int
	contentType string
	verify      int
	cores       int
	seed        uint64
	dir         string
	disk        string
	json        string
	profile     string
	command     string // that repeats this run
}

const usage = `raftbench measures raftd beside etcd, over HTTP and over gRPC, and beside a bare HTTP handler.

  raftbench -raftd bin/raftd          everything, about ten minutes
  raftbench -raftd bin/raftd -quick   1 and 64 connections, about a minute
  raftbench -raftd new=bin/raftd -raftd old=/somewhere/raftd -systems raftd -conns 64
                                      two builds, interleaved

`

var (
	allSystems = []string{speakRaftd, speakEtcdHTTP, speakEtcdGRPC, speakBare}
	allOps     = []string{opPut, opGet}
)

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{command: commandLine(args)}
	var systems, ops, connections string
	var quick bool
	f := flag.NewFlagSet("raftbench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage); f.PrintDefaults() }
	f.Func("raftd", "`[name=]path` of raftd; may be given again to compare builds", func(v string) error {
		name, path, named := strings.Cut(v, "=")
		if !named {
			name, path = speakRaftd, v
		}
		o.raftd = append(o.raftd, raftdBinary{name, path})
		return nil
	})
	f.StringVar(&systems, "systems", strings.Join(allSystems, ","), "what to measure")
	f.StringVar(&ops, "ops", strings.Join(allOps, ","), "put, get or both")
	f.StringVar(&connections, "conns", "1,16,64,256", "numbers of connections")
	f.IntVar(&o.reps, "reps", 5, "repetitions")
	f.DurationVar(&o.measure, "time", 3*time.Second, "measured time of each cell")
	f.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before it")
	f.DurationVar(&o.pause, "pause", 100*time.Millisecond, "rest after it")
	f.BoolVar(&quick, "quick", false, "1 and 64 connections, 3 repetitions of 0.7 s; flags given beside it hold")
	f.IntVar(&o.keys, "keys", 10_000, "how many keys there are")
	f.IntVar(&o.valueBytes, "value", 256, "bytes of a value")
	f.StringVar(&o.contentType, "type", "application/json", "content type that raftd is sent; the values are JSON strings")
	f.IntVar(&o.verify, "verify", 200, "how many keys to read back after each PUT cell")
	f.IntVar(&o.cores, "cores", 2, "cores for everything together; 0 for all")
	f.Uint64Var(&o.seed, "seed", 1, "of the choice of keys")
	f.StringVar(&o.dir, "dir", ".", "where to make the directory for data, which is removed; on a real disk")
	f.StringVar(&o.disk, "disk", "", "its disk in /proc/diskstats, if it is not found")
	f.StringVar(&o.json, "json", "", "`file` for every measurement, a line each")
	f.StringVar(&o.profile, "profile", "", "`directory` for CPU profiles of raftd's leader; needs a raftd with --pprof")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("bench: unexpected argument %q", f.Arg(0))
	}
	if quick {
		given := make(map[string]bool)
		f.Visit(func(x *flag.Flag) { given[x.Name] = true })
		set := func(name string, do func()) {
			if !given[name] {
				do()
			}
		}
		set("conns", func() { connections = "1,64" })
		set("reps", func() { o.reps = 3 })
		set("time", func() { o.measure = 700 * time.Millisecond })
		set("warmup", func() { o.warmup = 200 * time.Millisecond })
		set("verify", func() { o.verify = 100 })
	}
	return o, o.complete(systems, ops, connections)
}

// complete takes the lists apart and names the first option that cannot be used.
func (o *options) complete(systems, ops, connections string) (err error) {
	if o.systems, err = choose("systems", systems, allSystems); err != nil {
		return err
	}
	if o.ops, err = choose("ops", ops, allOps); err != nil {
		return err
	}
	for _, word := range strings.Split(connections, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 10_000 {
			return fmt.Errorf("bench: -conns %q must be numbers from 1 to 10000, with commas between", connections)
		}
		o.connections = append(o.connections, n)
	}
	switch {
	case slices.Contains(o.systems, speakRaftd) && len(o.raftd) == 0:
		return errors.New("bench: say with -raftd where raftd is, or leave it out of -systems")
	case o.reps < 1 || o.measure < 100*time.Millisecond || o.warmup < 0 || o.pause < 0:
		return errors.New("bench: -reps must be at least 1, -time at least 100ms, -warmup and -pause not negative")
	case o.keys < slices.Max(o.connections):
		return fmt.Errorf("bench: -keys %d must be at least the connections, %d: each writes keys of its own", o.keys, slices.Max(o.connections))
	case o.valueBytes < valueBytesMin || o.valueBytes > replyBytesMax/4:
		return fmt.Errorf("bench: -value %d must be from %d to %d", o.valueBytes, valueBytesMin, replyBytesMax/4)
	}
	for i, r := range o.raftd {
		for _, other := range o.raftd[:i] {
			if other.name == r.name {
				return fmt.Errorf("bench: two -raftd are called %q; write name=path", r.name)
			}
		}
		if r.name == "" || strings.ContainsAny(r.name, "/|") || slices.Contains(allSystems[1:], r.name) {
			return fmt.Errorf("bench: -raftd: %q is no name for a build", r.name)
		}
		// The members run in a directory of their own.
		if o.raftd[i].path, err = filepath.Abs(r.path); err != nil {
			return err
		}
		if _, err := os.Stat(o.raftd[i].path); err != nil {
			return fmt.Errorf("bench: -raftd: %w", err)
		}
	}
	return nil
}

func choose(name, list string, from []string) ([]string, error) {
	words := strings.Split(list, ",")
	for i, word := range words {
		if !slices.Contains(from, word) || slices.Contains(words[:i], word) {
			return nil, fmt.Errorf("bench: -%s %q must be some of %s", name, list, strings.Join(from, ","))
		}
	}
	return words, nil
}

// commandLine is what to paste into a shell.
func commandLine(args []string) string {
	words := []string{os.Args[0]}
	for _, a := range args {
		if strings.ContainsAny(a, " \t\n'\"$&;|<>()*?`\\") || a == "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}
