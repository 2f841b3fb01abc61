package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where it was measured: without that, the numbers say nothing.
type machine struct {
	cpu, kernel, disk, etcd string
	raftd                   []string
	cores                   int
	syncs                   float64 // a second, of one file, with nothing else running here
}

func describeMachine(o options, dir, disk string, cores int) machine {
	m := machine{cpu: "unknown CPU", disk: disk, etcd: etcdVersion(), cores: cores}
	if m.cores == 0 {
		m.cores = runtime.NumCPU()
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := bytes.Cut(info, []byte("model name"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if name := strings.Trim(string(line), "\t :"); name != "" {
			m.cpu = name
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.kernel = unix.ByteSliceToString(name.Release[:])
	}
	if m.disk == "" {
		m.disk = "a disk that /proc/diskstats does not tell"
	}
	for _, r := range o.raftd {
		m.raftd = append(m.raftd, r.name+" "+buildOf(r.path))
	}
	m.syncs, _ = syncRate(dir, 300*time.Millisecond)
	return m
}

// quietMax is how much CPU others may have used, in cores, before a cell counts as disturbed.
const quietMax = 0.25

// demand is what raftlab asks of itself against etcd over HTTP: at least, and hoped for. Against gRPC: 1.
var demand = map[string]map[int][2]float64{
	opPut: {1: {1.3, 1.8}, 16: {2, 3.5}, 64: {2.5, 4}, 256: {2.5, 3.8}},
	opGet: {1: {2.5, 4.3}, 16: {2.5, 3.6}, 64: {2, 2.9}, 256: {2, 3.3}},
}

// series is one number of every repetition of a cell, NaN where it was not measured.
func (c *comparison) series(op string, connections int, system string, of func(cell) float64) []float64 {
	s := slices.Repeat([]float64{math.NaN()}, c.reps)
	for _, m := range c.cells {
		if m.Op == op && m.Connections == connections && m.System == system {
			s[m.Rep] = of(m)
		}
	}
	return s
}

func rate(m cell) float64 { return float64(m.Ops) / m.Seconds }

func (c *comparison) report(to io.Writer) {
	w := bufio.NewWriter(to)
	defer w.Flush()
	m := c.machine
	fmt.Fprintf(w, "%s, Linux %s on %s, %d cores for everything, data on %s: %.0f fdatasync/s of one file before the run.\n",
		time.Now().Format(time.DateOnly), m.kernel, m.cpu, m.cores, m.disk, m.syncs)
	fmt.Fprintf(w, "%s; etcd %s; %s. Three members each. %d keys, %d-byte values, %s; %d × %v after %v.\n",
		orNone(m.raftd), m.etcd, runtime.Version(), c.keys, c.valueBytes, c.contentType, c.reps, c.measure, c.warmup)
	fmt.Fprintf(w, "%s\n\n", c.noise())
	c.reportCells(w)
	c.reportRatios(w)
	fmt.Fprintf(w, "%s\n\nRepeat: `%s`\n", c.verdict(), c.command)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no raftd"
	}
	return strings.Join(names, "; ")
}

func (c *comparison) noise() string {
	var others, neighbours []float64
	disturbed := 0
	for _, m := range c.cells {
		neighbours = append(neighbours, m.CPUNeighbours/m.Seconds)
		other := m.CPUOther / m.Seconds
		if others = append(others, other); other > quietMax {
			disturbed++
		}
	}
	s := spreadOf(others)
	text := fmt.Sprintf("Others on this machine used %.2f [%.2f–%.2f] cores; in %d of %d cells more than %.2f. The systems that waited for their turn used %.2f.",
		s.median, s.min, s.max, disturbed, len(c.cells), quietMax, spreadOf(neighbours).median)
	if disturbed*10 > len(c.cells) {
		text += " **The machine was not quiet: read nothing into absolute numbers, and little into ratios.**"
	}
	return text
}

func (c *comparison) reportCells(w io.Writer) {
	fmt.Fprint(w, "Medians [min–max]. CPU is seconds of each process in a second; µs/op is all members' CPU.\n\n")
	fmt.Fprint(w, "| op | conns | system | ops/s | p50 ms | p99 ms | CPU leader | CPU followers | CPU load | µs/op | flushes/s | KiB/op to disk | CPU others |\n")
	fmt.Fprint(w, "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, op := range c.ops {
		for _, n := range c.connections {
			for _, s := range c.systems {
				c.reportCell(w, op, n, s.name)
			}
		}
	}
	fmt.Fprintln(w)
}

func (c *comparison) reportCell(w io.Writer, op string, n int, system string) {
	of := func(number func(cell) float64) spread { return spreadOf(c.series(op, n, system, number)) }
	perSecond := func(number func(cell) float64) func(cell) float64 {
		return func(m cell) float64 { return number(m) / m.Seconds }
	}
	ops := of(rate)
	if math.IsNaN(ops.median) {
		return
	}
	milliseconds := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	var followers []string
	for i := range 2 {
		f := of(perSecond(func(m cell) float64 {
			if i < len(m.CPUFollowers) {
				return m.CPUFollowers[i]
			}
			return math.NaN()
		}))
		if !math.IsNaN(f.median) {
			followers = append(followers, fmt.Sprintf("%.2f", f.median))
		}
	}
	perOp := of(func(m cell) float64 {
		cpu := m.CPULeader
		for _, f := range m.CPUFollowers {
			cpu += f
		}
		return cpu / float64(m.Ops) * 1e6
	})
	flushes := of(perSecond(func(m cell) float64 { return orNaN(m.Flushes) }))
	written := of(func(m cell) float64 { return orNaN(m.DiskBytes) / 1024 / float64(m.Ops) })
	fmt.Fprintf(w, "| %s | %d | %s | %.0f [%.0f–%.0f] | %.2f | %.2f | %.2f | %s | %.2f | %.0f | %s | %s | %.2f |\n",
		strings.ToUpper(op), n, system, ops.median, ops.min, ops.max,
		of(func(m cell) float64 { return milliseconds(m.P50) }).median, of(func(m cell) float64 { return milliseconds(m.P99) }).median,
		of(perSecond(func(m cell) float64 { return m.CPULeader })).median, strings.Join(followers, " "),
		of(perSecond(func(m cell) float64 { return m.CPUSeconds })).median, perOp.median, known("%.0f", flushes.median), known("%.1f", written.median),
		of(perSecond(func(m cell) float64 { return m.CPUOther })).median)
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func known(format string, v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// reportRatios compares the first system with each other one.
func (c *comparison) reportRatios(w io.Writer) {
	if len(c.systems) < 2 {
		return
	}
	first, others := c.systems[0], c.systems[1:]
	asked := first.protocol == speakRaftd && slices.ContainsFunc(others, func(s system) bool { return s.protocol == speakEtcdHTTP || s.protocol == speakEtcdGRPC })
	fmt.Fprintf(w, "Operations a second of %s, divided by those of its neighbour in the same repetition: median [min–max].\n\n", first.name)
	fmt.Fprint(w, "| op | conns |")
	for _, s := range others {
		fmt.Fprintf(w, " / %s |", s.name)
	}
	if asked {
		fmt.Fprint(w, " asked of raftd |")
	}
	fmt.Fprint(w, "\n|---|--:|", strings.Repeat("--:|", len(others)))
	if asked {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprintln(w)
	for _, op := range c.ops {
		for _, n := range c.connections {
			fmt.Fprintf(w, "| %s | %d |", strings.ToUpper(op), n)
			medians := make(map[string]float64)
			of := c.series(op, n, first.name, rate)
			for _, s := range others {
				r := spreadOf(ratios(of, c.series(op, n, s.name, rate)))
				medians[s.protocol] = r.median
				fmt.Fprintf(w, " %.2f [%.2f–%.2f] |", r.median, r.min, r.max)
			}
			if asked {
				fmt.Fprintf(w, " %s |", strings.Join(judge(op, n, medians), ", "))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

// judge holds the medians against what is asked.
func judge(op string, connections int, medians map[string]float64) (said []string) {
	say := func(protocol, what string, least float64) {
		if median, ok := medians[protocol]; ok {
			answer := "no"
			if median >= least {
				answer = "yes"
			}
			said = append(said, fmt.Sprintf("%s %.1f: %s", what, least, answer))
		}
	}
	if d, ok := demand[op][connections]; ok {
		say(speakEtcdHTTP, "HTTP at least", d[0])
		say(speakEtcdHTTP, "aim", d[1])
	}
	say(speakEtcdGRPC, "gRPC", 1)
	return said
}

// verdict is whether what was measured was also done.
func (c *comparison) verdict() string {
	read, wrong, failed, changed, ops := c.filled, 0, 0, 0, 0
	for _, m := range c.cells {
		read, wrong, failed, ops = read+m.Verified, wrong+m.Wrong, failed+m.Errors, ops+m.Ops
		if m.LeaderChanged {
			changed++
		}
	}
	return fmt.Sprintf("%d operations counted, %d failed. Of %d sampled keys, read back from all members in turn, %d held another value than the last acknowledged one. "+
		"Leader changed in %d cells. Planned cells measured: %d of %d.", ops, failed, read+wrong, wrong, changed, len(c.cells), c.planned())
}

// doubts is an error if any operation failed or any value was wrong: such a run proves nothing.
func (c *comparison) doubts() error {
	for _, m := range c.cells {
		if m.Errors > 0 || m.Wrong > 0 {
			return errors.New("bench: " + strings.TrimSpace(fmt.Sprintf("%s, %s with %d connections:%s", m.System, m.Op, m.Connections, m.remark())))
		}
	}
	return nil
}
